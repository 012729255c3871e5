//! The peers of `examples/database-agent`: its database, its broker and its agent, each a process of its own, started from the
//! example's own files.

use super::{CONVERSATION, Process, Server, environment, root};
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The example's folder.
#[must_use]
pub fn example() -> PathBuf {
    root().join("examples/database-agent")
}

/// A program of the environment, installed when it is not there yet (80 MB on the disk, 20 s).
fn program(name: &str) -> Command {
    Command::new(environment("database-venv", "peers/requirements-database.txt").join("bin").join(name))
}

fn script(name: &str) -> Command {
    let mut command = program("python");
    command.arg(example().join(name));
    command
}

/// Starts the database, whose tokens are made with this secret.
///
/// # Panics
/// When it does not listen in time.
pub async fn database(secret: &str) -> Server {
    let mut command = script("database.py");
    command.arg("0").env("DATASETTE_SECRET", secret).stdin(Stdio::null());
    Server::started("database", command).await
}

/// Starts the broker with its private JWK, the database's secret and the proxy's.
///
/// # Panics
/// When it does not listen in time.
pub async fn broker(key: &Path, secret: &str, client: &str) -> Server {
    let mut command = script("broker.py");
    command
        .arg(key)
        .args(["serve", "0"])
        .env("DATASETTE_SECRET", secret)
        .env("BROKER_CLIENT_SECRET", client)
        .stdin(Stdio::null());
    Server::started("database-broker", command).await
}

/// Has the broker open a session; gives its token.
///
/// # Panics
/// When it does not.
#[must_use]
pub fn open(key: &Path, subject: &str, session: &str) -> String {
    said(script("broker.py").arg(key).args(["open", subject, session]))
}

/// What Datasette's own command makes of its secret: a token that is good for everything.
///
/// # Panics
/// When it makes none.
#[must_use]
pub fn unrestricted(secret: &str, subject: &str) -> String {
    said(program("datasette").args(["create-token", subject, "--secret", secret, "--expires-after", "60"]))
}

fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("it is installed");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a token").trim_end().to_owned()
}

/// The example's agent at work.
pub struct Agent(Process);

impl Agent {
    /// Starts it with a session's token and nothing else, and with the proxy's address, the broker's and the database's.
    #[must_use]
    pub fn start(token: &str, urls: [String; 3]) -> Self {
        let mut command = script("agent.py");
        command.args(urls).env_clear().env("SESSION_TOKEN", token).stdin(Stdio::piped());
        Self(Process::start("database-agent", &mut command))
    }

    /// Waits until it has tried everything and wants to know that its session is over; gives its environment as the system has it,
    /// where the system tells.
    ///
    /// # Panics
    /// When it does not get there in time.
    pub async fn waits(&mut self) -> Option<String> {
        let waits = |it: &mut Process| {
            let ended = it.child.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "it ended with {ended:?}:\n{}\n{}", it.output("stdout"), it.output("stderr"));
            it.output("stdout").ends_with("press Enter\n").then_some(())
        };
        self.0.until(CONVERSATION, waits).await;
        let environment = fs::read(format!("/proc/{}/environ", self.0.child.id())).ok()?;
        Some(String::from_utf8_lossy(&environment).into_owned())
    }

    /// Presses Enter; gives all that it has written, and what of that to its standard error.
    ///
    /// # Panics
    /// When it does not end well and in time.
    pub async fn goes_on(mut self) -> (String, String) {
        let terminal = self.0.child.stdin.as_mut().expect("its standard input is open");
        writeln!(terminal).expect("it reads what is typed");
        let dir = self.0.dir.clone();
        let (said, well) = self.0.end(CONVERSATION).await;
        let errors = fs::read_to_string(dir.join("stderr")).unwrap_or_default();
        assert!(well, "{said}\n{errors}");
        (said, errors)
    }
}
