//! `policy-host serve`: the filter in front of real HTTP.

use super::{Exit, output, wasm, which::Which};
use chaperone_authoring::{published::Published, token::RunKeys};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use policy_host::{
    demo::Demo,
    host::{Clock, FailurePolicy, LogSink, Module, Plugin, ProxyOptions, VmOptions},
    serve::{self, LogEntry, OnLog, Pool, ServeOptions, Upstream},
    site::Site,
};
use std::{
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::net::TcpListener;

/// The policy of `--demo`, when no other is named.
const DEMO_POLICY: &str = "examples/agent-orders/policy.yaml";
/// What the demo's upstream gets for a credential that this process does not have.
const DEMO_CREDENTIAL: &str = "demo-credential-of-the-upstream";

/// How long it waits for what the policy has fetched. Then it listens all the same: a denial says what is missing.
const FIRST_FETCH: Duration = Duration::from_secs(2);

/// Run a local reverse proxy with the filter in it, on HTTP/1.1 and HTTP/2.
#[derive(Debug, Args)]
#[command(after_help = "Example: ORDERS_TOKEN=secret policy-host serve --policy examples/agent-orders/policy.yaml \\
    --upstream http://127.0.0.1:9000

The audit record of each request goes to stdout, one JSON object a line. The variables that the policy's upstream.credential
names are taken from this process's environment. Without --upstream an echo answers with what it was sent.
With --demo the example policy is served with a key of its own and four curl lines are printed to paste.

Any other proxy-wasm filter (ABI 0.1.0, 0.2.0 or 0.2.1) runs too, with the bytes of a file as its configuration:
  policy-host serve --wasm filter.wasm --configuration filter.json --upstream http://127.0.0.1:9000
Its log goes to stderr, and to stdout, for each request, one JSON object: {\"status\", \"details\", \"filter_state\"}.")]
pub(crate) struct Serve {
    /// A policy, or an Envoy file or Kubernetes manifests with one in them.
    #[arg(long, value_name = "POLICY", required_unless_present_any = ["demo", "configuration"])]
    policy: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
    /// The configuration of another filter than Chaperone's, as its bytes are.
    #[arg(long, value_name = "FILE", requires = "wasm", conflicts_with_all = ["policy", "demo"])]
    configuration: Option<PathBuf>,
    /// For another filter: run its body callbacks while it holds the headers (Envoy's allow_on_headers_stop_iteration).
    #[arg(long, requires = "configuration")]
    allow_on_headers_stop_iteration: bool,
    /// A private key, as `token keygen` writes it. Its public half is what a policy's `keys.endpoint` publishes here, and its lists
    /// under `status` say that every token is valid.
    #[arg(long, value_name = "FILE", requires = "policy", conflicts_with = "demo")]
    key: Option<PathBuf>,
    /// Where allowed requests go: http://host:port. Without it: a built-in echo.
    #[arg(long, value_name = "URL")]
    upstream: Option<Upstream>,
    /// Where to listen; port 0 is any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Workers, each with its own VM, as in Envoy.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    workers: u8,
    /// What a trap of the filter means for the requests after it, as Envoy's `failure_policy`.
    #[arg(long, value_name = "POLICY", value_enum, default_value = "reload")]
    failure_policy: OnTrap,
    /// The filter, when it is not the one that this workspace built.
    #[arg(long, value_name = "FILE")]
    wasm: Option<PathBuf>,
    /// Print four requests to try: allowed, command denied, expired, revoked.
    #[arg(long)]
    demo: bool,
}

/// Envoy's third, FAIL_OPEN, lets everything through unjudged, and is not here.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum OnTrap {
    /// 503 until the worker's VM is rebuilt, a second after it was loaded at the earliest: envoy/ecds.yaml, and what `render ecds` prints.
    #[value(alias = "FAIL_RELOAD")]
    Reload,
    /// 503 for ever: Envoy's default where nothing is said, and what `render istio` prints.
    #[value(alias = "FAIL_CLOSED")]
    Closed,
}

impl From<OnTrap> for FailurePolicy {
    fn from(on_trap: OnTrap) -> Self {
        match on_trap {
            OnTrap::Reload => Self::Reload,
            OnTrap::Closed => Self::Closed,
        }
    }
}

impl Serve {
    pub(crate) fn run(&self) -> Exit {
        self.start().unwrap_or_else(|exit| exit)
    }

    fn start(&self) -> Result<Exit, Exit> {
        match &self.configuration {
            Some(file) => self.start_foreign(file),
            None => self.start_policy(),
        }
    }

    /// A filter that is not ours gets its bytes and no environment.
    fn start_foreign(&self, file: &Path) -> Result<Exit, Exit> {
        let configuration = std::fs::read(file).map_err(|error| {
            output::diagnostic(&format!("policy-host: {}: cannot be read: {error}", file.display()));
            Exit::Invalid
        })?;
        let module = wasm::load(self.wasm.as_ref())?;
        let log = LogSink::new(|_, text| output::diagnostic(&format!("filter: {}", text.trim_end())));
        let vm = VmOptions {
            vm_id: "filter".into(),
            log,
            hold_headers_alone: self.allow_on_headers_stop_iteration,
            ..VmOptions::default()
        };
        let plugin = Plugin { name: "filter".into(), root_id: String::new() };
        let pool = self.serving(&module, vm, plugin, &configuration)?;
        self.run_on(pool, None, Arc::new(told))
    }

    fn start_policy(&self) -> Result<Exit, Exit> {
        let path = self.policy.clone().unwrap_or_else(|| PathBuf::from(DEMO_POLICY));
        let document = self.which.valid(&path)?;
        let module = wasm::load(self.wasm.as_ref())?;
        let mut environment = wasm::environment(document.value());
        let missing: Vec<String> = wasm::credential_variables(document.value())
            .into_iter()
            .filter(|name| !environment.iter().any(|(known, _)| known == name))
            .collect();
        for name in missing {
            if self.demo {
                environment.push((name, DEMO_CREDENTIAL.to_owned()));
            } else {
                output::diagnostic(&format!(
                    "policy-host: {name} is not set: what would need it is denied (credential_unavailable)"
                ));
            }
        }
        let demo = if self.demo {
            let demo = Demo::new(document.value(), Timestamp::now());
            let demo = demo.and_then(|demo| demo.rehearse(&module, environment.clone()).map(|()| demo));
            Some(demo.map_err(|error| output::failed(&error.to_string()))?)
        } else {
            None
        };
        let published = match &demo {
            Some(demo) => demo.published.clone(),
            None => self.published(document.value())?,
        };
        let fetches = published.urls().count() * usize::from(self.workers);
        let (clusters, site) = Site::clusters(published, Clock::real());
        let vm = VmOptions {
            vm_id: "chaperone".into(),
            environment,
            log: wasm::log(),
            clusters,
            // As the wiring that ships has it: `allow_on_headers_stop_iteration`.
            hold_headers_alone: true,
            ..VmOptions::default()
        };
        let plugin = Plugin { name: "chaperone".into(), root_id: "chaperone".into() };
        let policy = demo.as_ref().map_or_else(|| document.json(), |demo| demo.policy_json.clone());
        let pool = self.serving(&module, vm, plugin, &policy)?;
        // Whoever waits for the line that says where it listens is not to be denied for want of keys.
        let begun = Instant::now();
        while site.answered() < fetches && begun.elapsed() < FIRST_FETCH {
            thread::sleep(Duration::from_millis(5));
        }
        pool.settle();
        self.run_on(pool, demo, Arc::new(record))
    }

    /// What the policy has fetched, by the key that was given. There is no other issuer here.
    fn published(&self, policy: &serde_json::Value) -> Result<Published, Exit> {
        let keys = match &self.key {
            Some(path) => RunKeys::only(policy, &super::key::read(path)?),
            None => RunKeys::default(),
        };
        let published = Published::of(policy, &mut keys.clone()).map_err(|error| output::failed(&error.to_string()))?;
        if self.key.is_none() && !published.is_empty() {
            let urls: Vec<&str> = published.urls().map(|(url, _)| url).collect();
            output::diagnostic(&format!(
                "policy-host: the policy has {} fetched, and there is no issuer here: no token of theirs will be accepted; give one's key with --key FILE (`token keygen`)",
                urls.join(", ")
            ));
        }
        Ok(published)
    }

    fn serving(&self, module: &Module, vm: VmOptions, plugin: Plugin, configuration: &[u8]) -> Result<Pool, Exit> {
        let options = ProxyOptions { vm, plugin, workers: usize::from(self.workers), failure: self.failure_policy.into() };
        let told = |message: &dyn std::fmt::Display| output::diagnostic(&format!("policy-host: {message}"));
        let pool = Pool::start(module, &options).map_err(|trap| {
            told(&trap);
            Exit::Trapped
        })?;
        pool.update(configuration).map_err(|error| {
            told(&error);
            wasm::not_taken(&error)
        })?;
        Ok(pool)
    }

    fn run_on(&self, pool: Pool, demo: Option<Demo>, on_log: OnLog) -> Result<Exit, Exit> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| output::failed(&error.to_string()))?;
        runtime.block_on(self.listen(pool, demo, on_log))
    }

    async fn listen(&self, pool: Pool, demo: Option<Demo>, on_log: OnLog) -> Result<Exit, Exit> {
        let listener = TcpListener::bind(self.listen).await;
        let listener = listener.map_err(|error| output::failed(&format!("cannot listen on {}: {error}", self.listen)))?;
        let address = listener.local_addr().map_err(|error| output::failed(&error.to_string()))?;
        output::diagnostic(&format!("listening on http://{address} (ctrl-c ends it)"));
        if let Some(demo) = demo {
            output::result(&format!("Sessions of the next 15 minutes; paste into another terminal:\n\n{}", demo.lines(address)));
        }
        let upstream = self.upstream.clone().unwrap_or(Upstream::Echo);
        let options = ServeOptions { listener, pool: Arc::new(pool), upstream, on_log };
        serve::run(options, end()).await.map_err(|error| output::failed(&error.to_string()))?;
        Ok(Exit::Fine)
    }
}

/// One line for each request: the filter's record.
fn record(entry: LogEntry) {
    if let Some(trap) = &entry.trap {
        output::diagnostic(trap);
    }
    if let Some(record) = entry.property("session_audit") {
        line(record);
    }
}

/// One line for each request of another filter: what became of it, and what the filter noted.
fn told(entry: LogEntry) {
    if let Some(trap) = &entry.trap {
        output::diagnostic(trap);
    }
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let noted: serde_json::Map<String, serde_json::Value> =
        entry.filter_state.iter().map(|(name, value)| (lossy(name), lossy(value).into())).collect();
    let told = serde_json::json!({"status": entry.status, "details": entry.details, "filter_state": noted});
    line(told.to_string().as_bytes());
}

/// In one write, so that two workers' lines never mix; a reader that hung up does not end the proxy.
fn line(text: &[u8]) {
    let line = [text, b"\n"].concat();
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(&line).and_then(|()| out.flush());
}

/// Ctrl-C, or what a supervisor sends.
async fn end() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! { _ = tokio::signal::ctrl_c() => {}, _ = terminate.recv() => {} }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}
