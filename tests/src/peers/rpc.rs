//! Real peers for gRPC, gRPC-Web and Connect: a server, and the clients that their projects publish for Node and for pages.

use super::{CONVERSATION, Process, Server, node, root};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

/// Node reads some hundred files before the first call, on a machine that may be busy.
const OPEN: Duration = Duration::from_secs(60);

fn script(name: &str) -> PathBuf {
    root().join("tests/peers/rpc").join(name)
}

/// Node with a script of `tests/peers/rpc` and the packages (19 MB, 5 s to install).
fn command(name: &str) -> Command {
    let mut command = Command::new(node::node());
    command.arg(script(name)).env("NODE_PATH", node::packages("rpc-peers", "rpc", "clients of Connect, gRPC-Web and gRPC"));
    command
}

/// Starts the server: of all three protocols over HTTP/1.1 and HTTP/2, or with the flag `--grpc` of gRPC alone.
///
/// # Panics
/// When it does not listen in time.
pub async fn server(name: &str, flags: &[&str]) -> Server {
    let mut command = command("server.js");
    command.args(flags).stdin(Stdio::piped());
    Server::started(name, command).await
}

/// A call: how its step is called in the report, the method as the libraries write it, and the token (`""`: none).
pub type Call<'a> = (&'a str, &'a str, &'a str);

/// Clients that are making their calls, all at once; each its own one after the other.
pub struct Conversation(Process);

impl Conversation {
    /// Starts it, with the calls of each client by its name in `clients.js`.
    #[must_use]
    pub fn start(url: &str, calls: &BTreeMap<&str, Vec<Call<'_>>>) -> Self {
        let mut command = command("client.js");
        let plan = json!(calls).to_string();
        Self(Process::start("rpc-clients", command.args([url, &plan]).stdin(Stdio::null())))
    }

    /// Waits until so many streams have had their first message.
    ///
    /// # Panics
    /// When they have not in time.
    pub async fn opened(&mut self, streams: usize) {
        self.0.until(OPEN, |it| (it.output("stdout").matches("open\n").count() >= streams).then_some(())).await;
    }

    /// The report, when all have ended: by client and step `{"ok": …}`, or
    /// `{"code", "message", "audit"}` as the library's own error says.
    ///
    /// # Panics
    /// When there is none in time.
    pub async fn report(self) -> Value {
        let dir = self.0.dir.clone();
        let (said, well) = self.0.end(CONVERSATION).await;
        let told = || format!("{said}\n{}", std::fs::read_to_string(dir.join("stderr")).unwrap_or_default());
        assert!(well, "{}", told());
        said.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_else(|| panic!("no report: {}", told()))
    }
}
