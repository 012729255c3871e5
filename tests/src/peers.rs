//! Real peers: servers and clients of official SDKs (MCP; gRPC, gRPC-Web and Connect) as processes of their own, and the public
//! conformance suite of MCP.
//!
//! Everything is pinned, installed once under the build folder, and bounded in time; a process ends with what holds it.

pub mod conformance;
pub mod database;
mod node;
pub mod postgres;
pub mod rpc;

use crate::{access_log::AccessLog, envoy, install, root, scenario::Scenario, target};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Python reads some hundred modules before a server listens, on a machine that may be busy.
const START: Duration = Duration::from_secs(60);
/// A whole conversation takes 3 s; each of its steps has its own, shorter bound.
const CONVERSATION: Duration = Duration::from_secs(120);

/// Which of the official Python SDKs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sdk {
    /// mcp 1: up to 2025-11-25, by the version that it asks for.
    One,
    /// mcp 2: `legacy` (2025-11-25), `auto`, and 2026-07-28.
    Two,
}

impl Sdk {
    /// Its Python, installed when it is not there yet (70 MB on the disk, 20 s).
    ///
    /// # Panics
    /// When it cannot be installed: no test is skipped for that.
    #[must_use]
    pub fn python(self) -> PathBuf {
        let (name, requirements) = match self {
            Self::One => ("mcp-venv-1", "peers/requirements-1.txt"),
            Self::Two => ("mcp-venv-2", "peers/requirements-2.txt"),
        };
        environment(name, requirements).join("bin").join("python")
    }

    fn client(self) -> PathBuf {
        script(match self {
            Self::One => "older_client.py",
            Self::Two => "client.py",
        })
    }
}

fn script(name: &str) -> PathBuf {
    root().join("tests").join("peers").join(name)
}

/// A virtual environment with exactly what this file of `tests/` pins.
fn environment(name: &str, requirements: &str) -> PathBuf {
    let wanted = root().join("tests").join(requirements);
    let venv = target().join(name);
    once(name, &wanted, &venv, || {
        eprintln!("chaperone-tests: installing {requirements} into {} (once)", venv.display());
        install::venv(&venv, requirements);
    });
    venv
}

/// Runs `install` unless the folder was made from this very file. Test binaries of two cargo runs may get here at the same time.
fn once(name: &str, wanted: &Path, dir: &Path, install: impl FnOnce()) {
    fs::create_dir_all(target()).expect("the build folder can be written");
    let lock = File::create(target().join(format!("{name}.lock"))).expect("the build folder can be written");
    lock.lock().expect("a lock file can be locked");
    let (wanted, stamp) = (fs::read(wanted).expect("the pins are there"), dir.join("installed-from"));
    if fs::read(&stamp).ok().as_ref() != Some(&wanted) {
        install();
        fs::write(stamp, wanted).expect("the build folder can be written");
    }
}

/// A process whose output goes to files; killed when dropped.
struct Process {
    child: Child,
    what: String,
    dir: PathBuf,
}

impl Process {
    /// Its standard output and error are files of a folder of its own under `target/envoy-runs`.
    fn start(name: &str, command: &mut Command) -> Self {
        let dir = envoy::run_dir(name);
        let file = |name| File::create(dir.join(name)).expect("the build folder can be written");
        let child = command
            .current_dir(&dir)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, what: name.to_owned(), dir }
    }

    fn output(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join(name)).unwrap_or_default()).into_owned()
    }

    /// Asks again and again until there is an answer.
    ///
    /// # Panics
    /// When there is none in time; the message ends with what it said.
    async fn until<T>(&mut self, patience: Duration, mut f: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(found) = f(self) {
                return found;
            }
            assert!(Instant::now() < deadline, "{}: not within {patience:?}:\n{}", self.what, self.output("stderr"));
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for its end; gives its standard output and whether it ended well.
    async fn end(mut self, patience: Duration) -> (String, bool) {
        let status = self.until(patience, |it| it.child.try_wait().expect("a child can be asked")).await;
        (self.output("stdout"), status.success())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A server of `tests/peers`, on loopback at a port of the kernel's choice.
pub struct Server {
    process: Process,
    address: SocketAddr,
}

impl Server {
    /// Starts a script of `tests/peers` (`server.py`) with the flags that it knows: `--json`, `--stateless`, `--page N`.
    ///
    /// # Panics
    /// When it does not listen in time; the message ends with what it said.
    pub async fn start(name: &str, file: &str, flags: &[&str]) -> Self {
        // Its standard input is open for as long as the child is held: it ends with this process, however that ends.
        let mut command = Command::new(Sdk::Two.python());
        command.arg(script(file)).args(flags).stdin(Stdio::piped());
        Self::started(name, command).await
    }

    /// Starts the server of an example, which serves nobody without its credential.
    ///
    /// # Panics
    /// When it does not listen in time; the message ends with what it said.
    pub async fn of_example(file: &Path, (name, value): (&str, &str)) -> Self {
        let mut command = Command::new(Sdk::Two.python());
        command.arg(file).arg("0").env(name, value).stdin(Stdio::piped());
        Self::started("mcp-example-server", command).await
    }

    /// Starts the broker of an example, which signs with this private JWK and asks whoever [says](Self::say) something to it.
    ///
    /// # Panics
    /// When it does not listen in time; the message ends with what it said.
    pub async fn broker(file: &Path, key: &Path) -> Self {
        let mut command = Command::new(Sdk::Two.python());
        command.arg(file).arg(key).arg("0").stdin(Stdio::piped());
        Self::started("mcp-example-broker", command).await
    }

    /// Starts a token endpoint of Authlib's (`token_endpoint.py`), which knows the broker and a client by these JWKs, and another client
    /// by this secret.
    ///
    /// # Panics
    /// When it does not listen in time.
    pub async fn token_endpoint(keys: &Path, secret: &str) -> Self {
        let python = environment("oauth-venv", "peers/requirements-oauth.txt").join("bin").join("python");
        let mut command = Command::new(python);
        command.arg(script("token_endpoint.py")).arg(keys).arg("0").env("CLIENT_SECRET", secret).stdin(Stdio::piped());
        Self::started("token-endpoint", command).await
    }

    /// Types a line at its terminal.
    ///
    /// # Panics
    /// When it reads none any more.
    pub fn say(&mut self, line: &str) {
        let terminal = self.process.child.stdin.as_mut().expect("its standard input is open");
        writeln!(terminal, "{line}").expect("it reads what is typed");
    }

    async fn started(name: &str, mut command: Command) -> Self {
        let mut process = Process::start(name, &mut command);
        let port = process
            .until(START, |it| {
                let ended = it.child.try_wait().expect("a child can be asked");
                assert!(ended.is_none(), "{} ended with {ended:?}:\n{}", it.what, it.output("stderr"));
                it.output("stdout").strip_prefix("ready ")?.strip_suffix('\n')?.parse().ok()
            })
            .await;
        Self { process, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it wrote to its terminal.
    #[must_use]
    pub fn said(&self) -> String {
        self.process.output("stdout")
    }

    /// What it said on its standard error, for the message of a failure.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.output("stderr")
    }
}

/// The endpoint of the servers here, behind an address.
#[must_use]
pub fn url(address: SocketAddr) -> String {
    format!("http://{address}/mcp")
}

/// Has a client hold a conversation, and gives its report: `version`; each step by its name, as `{"ok": …}` or
/// `{"error", "code", "message", "data"}`; `wire`, a list of method, status and media type of each answer; and `ended` where the
/// conversation ended by an error. Without calls, everything of `server.py` is used; a call is `TOOL` or `TOOL={"an": "argument"}`, and
/// its step is `1 TOOL`, `2 TOOL`, and so on.
///
/// # Panics
/// When the client does not end in time, or gives no report.
pub async fn converse(sdk: Sdk, url: &str, era: &str, token: Option<&str>, calls: &[&str]) -> Value {
    let args = [&[url, era], calls].concat();
    let report = run(sdk, &sdk.client(), &args, token.unwrap_or_default()).await;
    serde_json::from_str(&report).unwrap_or_else(|error| panic!("no report ({error}): {report}"))
}

/// Runs a client that takes its token from `MCP_TOKEN`, where there is one; gives what it has written.
///
/// # Panics
/// When it does not end well and in time; the message ends with what it said.
pub async fn run(sdk: Sdk, script: &Path, args: &[&str], token: &str) -> String {
    let mut command = Command::new(sdk.python());
    command.arg(script).args(args).stdin(Stdio::null()).env("MCP_TOKEN", token);
    let process = Process::start("mcp-client", &mut command);
    let dir = process.dir.clone();
    let (said, well) = process.end(CONVERSATION).await;
    assert!(well, "{said}\n{}", fs::read_to_string(dir.join("stderr")).unwrap_or_default());
    said
}

/// Such an Envoy with the shipped wiring before a server, and its log.
pub struct Front {
    /// Envoy.
    pub envoy: envoy::Envoy,
    /// Its access log.
    pub log: AccessLog,
}

impl Front {
    /// Starts it with other text in the shipped bootstrap, where a test needs that.
    pub async fn start(name: &str, policy: &Value, server: &Server, other_settings: &[(&str, &str)]) -> Self {
        let envoy = envoy::Envoy::start(envoy::Setup {
            name,
            policy,
            wasm: crate::wasm::chaperone(),
            upstream: server.address(),
            workers: 2,
            environment: &[crate::scenario::CREDENTIAL],
            other_settings,
        })
        .await;
        let log = AccessLog(envoy.access_log());
        Self { envoy, log }
    }

    /// The endpoint's URL as a client of the proxy knows it.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.envoy.address())
    }
}

/// The scenario's policy with other commands than its own, all granted to its agents.
///
/// # Panics
/// When they are no object.
#[must_use]
pub fn policy(scenario: &Scenario, commands: &Value) -> Value {
    let mut policy = scenario.policy();
    let names: Vec<&String> = commands.as_object().expect("commands by name").keys().collect();
    policy["grants"] = json!([{"name": "agents", "when": {"subject": "agent-*"}, "allow": names}]);
    policy["commands"] = commands.clone();
    policy.as_object_mut().expect("a policy").remove("unmediated");
    policy
}

/// What a client needs besides tools, prompts and resources.
pub const METHODS: [&str; 13] = [
    "initialize",
    "server/discover",
    "ping",
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "subscriptions/listen",
    "completion/complete",
    "logging/setLevel",
    "notifications/*",
    "GET",
    "DELETE",
];

/// All that the servers here have, each tool a command of its own.
#[must_use]
pub fn commands() -> Value {
    let mut commands = json!({"mcp.base": {"mcp": {"path": "/mcp", "methods": METHODS, "answers": true}}});
    for tool in ["search", "read_ticket", "delete_ticket", "close_ticket", "slow"] {
        commands[format!("tickets.{tool}")] = json!({"mcp": {"path": "/mcp", "tools": [tool]}});
    }
    commands["handbook.read"] = json!({"mcp": {"path": "/mcp", "resources": ["docs://handbook/**"], "prompts": ["summarize"]}});
    commands
}
