//! One running Envoy: started on the shipped bootstrap, updated by ECDS, asked through its admin interface, killed with its test.

use crate::{canaries::Canaries, client, ecds, install, target};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant, SystemTime},
};
use tokio::time::sleep;

/// A loaded laptop compiles the filter's wasm for some seconds before Envoy says that it is ready.
const START: Duration = Duration::from_secs(60);
/// From the rename to Envoy's verdict; measured at 0.2 s.
const UPDATE: Duration = Duration::from_secs(20);

/// Without hot restart there is no shared memory, so that any number of Envoys live side by side.
const ALONE: &[&str] = &["--disable-hot-restart"];

/// How to start an Envoy.
pub struct Setup<'a> {
    /// Names the folder of its files under `target/envoy-runs`.
    pub name: &'a str,
    /// The policy, or any text (as a JSON string) to be a bad one.
    pub policy: &'a Value,
    /// The filter.
    pub wasm: &'a Path,
    /// The protected target.
    pub upstream: SocketAddr,
    /// Worker threads; each has its own VM.
    pub workers: u32,
    /// The variables of Envoy's environment that reach the filter, and their values.
    pub environment: &'a [(&'a str, &'a str)],
    /// Text of the shipped bootstrap to be exchanged, where a test is about another setting than the shipped one.
    pub other_settings: &'a [(&'a str, &'a str)],
}

/// Names as they stand between the quotes of a list with one; no name is none.
fn names(environment: &[(&str, &str)]) -> String {
    let environment = if environment.is_empty() { &[("CHAPERONE_UNUSED", "")] } else { environment };
    environment.iter().map(|(name, _)| *name).collect::<Vec<_>>().join("\", \"")
}

/// What became of an ECDS update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// The main thread has taken it; the workers follow.
    Applied,
    /// The filter refused it.
    Rejected,
}

/// A running Envoy.
pub struct Envoy {
    child: Child,
    admin: SocketAddr,
    listener: SocketAddr,
    dir: PathBuf,
    ecds_dir: PathBuf,
    wasm: PathBuf,
    /// Names of the variables that reach the filter, as the file has them.
    variables: String,
    /// Their values.
    canaries: Canaries,
}

impl Envoy {
    /// Starts it and waits until it listens.
    ///
    /// # Panics
    /// When it does not get there in time; the message ends with its log.
    pub async fn start(setup: Setup<'_>) -> Self {
        Self::start_as(setup, &|_, bootstrap| bootstrap, ALONE).await
    }

    /// The same with the last word on its bootstrap, which is told the folder of its files, and with other arguments.
    ///
    /// # Panics
    /// When it does not get there in time.
    pub async fn start_as(setup: Setup<'_>, edit: &dyn Fn(&Path, String) -> String, arguments: &[&str]) -> Self {
        let dir = run_dir(setup.name);
        let ecds_dir = dir.join("ecds");
        fs::create_dir_all(&ecds_dir).expect("the build folder can be written");
        ecds::write(&ecds_dir, setup.wasm, setup.policy, &names(setup.environment));
        Self::start_in(dir, ecds_dir, setup, edit, arguments).await
    }

    /// Starts one that watches the same ECDS file as this one; the setup's policy is not used.
    ///
    /// # Panics
    /// When it does not get there in time.
    pub async fn start_beside(&self, setup: Setup<'_>) -> Self {
        self.start_beside_as(setup, &|_, bootstrap| bootstrap, ALONE).await
    }

    /// The same as [`Envoy::start_as`] is to [`Envoy::start`].
    ///
    /// # Panics
    /// When it does not get there in time.
    pub async fn start_beside_as(&self, setup: Setup<'_>, edit: &dyn Fn(&Path, String) -> String, arguments: &[&str]) -> Self {
        Self::start_in(run_dir(setup.name), self.ecds_dir.clone(), setup, edit, arguments).await
    }

    async fn start_in(
        dir: PathBuf,
        ecds_dir: PathBuf,
        setup: Setup<'_>,
        edit: &dyn Fn(&Path, String) -> String,
        arguments: &[&str],
    ) -> Self {
        let text = edit(&dir, bootstrap(&dir, &ecds_dir, &setup));
        fs::write(dir.join("bootstrap.yaml"), text).expect("the build folder can be written");
        let log = File::create(dir.join("envoy.log")).expect("the build folder can be written");
        let child = Command::new(install::envoy())
            .current_dir(&dir)
            .args(["-c", "bootstrap.yaml", "--admin-address-path", "admin.address"])
            .args(arguments)
            .args(["--concurrency", &setup.workers.to_string()])
            // The default of 10 s is longer than a test wants to wait for its record.
            .args(["--file-flush-interval-msec", "50"])
            .envs(setup.environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle can be cloned"))
            .stderr(log)
            .spawn()
            .expect("the installed envoy can be started");
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let variables = names(setup.environment);
        let canaries = Canaries::of(setup.environment.iter().map(|(_, value)| *value));
        let wasm = setup.wasm.to_path_buf();
        let mut envoy = Self { child, admin: nowhere, listener: nowhere, dir, ecds_dir, wasm, variables, canaries };
        envoy.wait_until_ready().await;
        envoy
    }

    async fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + START;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("Envoy ended with {status}:\n{}", self.log_tail());
            }
            assert!(Instant::now() < deadline, "Envoy was not ready within {START:?}:\n{}", self.log_tail());
            if let Some(listener) = self.probe().await {
                self.listener = listener;
                return;
            }
            sleep(Duration::from_millis(30)).await;
        }
    }

    /// The listener's address once Envoy serves.
    async fn probe(&mut self) -> Option<SocketAddr> {
        self.admin = fs::read_to_string(self.dir.join("admin.address")).ok()?.trim().parse().ok()?;
        if client::get(self.admin, "/ready").await.ok()?.status != 200 {
            return None;
        }
        self.listener("sessions").await
    }

    /// The address of a listener, by its name.
    pub async fn listener(&self, name: &str) -> Option<SocketAddr> {
        let listeners = client::get(self.admin, "/listeners?format=json").await.ok()?.json();
        let socket = listeners["listener_statuses"].as_array()?.iter().find(|one| one["name"] == name)?;
        let port = u16::try_from(socket["local_address"]["socket_address"]["port_value"].as_u64()?).ok()?;
        Some(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// The secrets that its filter was given.
    #[must_use]
    pub fn canaries(&self) -> &Canaries {
        &self.canaries
    }

    /// Where callers connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener
    }

    /// Bytes of memory that the process has in use, as the system counts them; nothing where it has no `/proc`.
    #[must_use]
    pub fn resident_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
    }

    /// The access log.
    #[must_use]
    pub fn access_log(&self) -> PathBuf {
        self.dir.join("access.log")
    }

    /// The folder with the ECDS file, bootstrap and logs.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The ECDS file that it watches.
    #[must_use]
    pub fn ecds_file(&self) -> PathBuf {
        self.ecds_dir.join("ecds.yaml")
    }

    /// Replaces the ECDS file by rename and waits for Envoy's verdict.
    ///
    /// # Panics
    /// When there is none in time.
    pub async fn update(&self, policy: &Value) -> Update {
        const REJECTED: &str = "extension_config_discovery.http_filter.chaperone.update_rejected";
        let before = (self.updates_taken().await, self.stat(REJECTED).await);
        self.write_ecds(policy);
        let deadline = Instant::now() + UPDATE;
        loop {
            if self.stat(REJECTED).await > before.1 {
                return Update::Rejected;
            }
            if self.updates_taken().await > before.0 {
                return Update::Applied;
            }
            assert!(Instant::now() < deadline, "no verdict on the update within {UPDATE:?}:\n{}", self.log_tail());
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// How many versions of the ECDS file it has taken.
    pub async fn updates_taken(&self) -> u64 {
        self.stat("extension_config_discovery.http_filter.chaperone.update_success").await
    }

    /// Replaces the ECDS file by rename, and does not wait.
    pub fn write_ecds(&self, policy: &Value) {
        self.write_ecds_with(policy, &self.wasm, &[]);
    }

    /// The same with another filter, and with other text around the policy.
    pub fn write_ecds_with(&self, policy: &Value, wasm: &Path, other_settings: &[(&str, &str)]) {
        ecds::write_with(&self.ecds_dir, wasm, policy, &self.variables, other_settings);
    }

    /// One counter or gauge.
    ///
    /// # Panics
    /// When Envoy has none of this name.
    pub async fn stat(&self, name: &str) -> u64 {
        let stats = self.stats(name).await;
        *stats.iter().find_map(|(found, value)| (found == name).then_some(value)).unwrap_or_else(|| panic!("no stat {name}"))
    }

    /// All counters and gauges whose name contains `part` (no regular expression: it must be plain).
    pub async fn stats(&self, part: &str) -> Vec<(String, u64)> {
        let text = client::get(self.admin, &format!("/stats?filter={part}")).await.expect("the admin interface answers").text();
        let pair = |line: &str| line.rsplit_once(": ").and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        text.lines().filter_map(pair).collect()
    }

    /// What `config_dump` shows, to look for what must not be in it.
    pub async fn config_dump(&self) -> String {
        client::get(self.admin, "/config_dump").await.expect("the admin interface answers").text()
    }

    /// Envoy's own log so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join("envoy.log")).unwrap_or_default()).into_owned()
    }

    /// How often the filter has trapped. Envoy logs each with the callback; the backtrace is there only for a .wasm with names.
    #[must_use]
    pub fn traps(&self) -> usize {
        self.log()
            .lines()
            .filter(|line| line.contains("[wasm]") && line.contains("Function: proxy_on_") && line.contains(" failed: "))
            .count()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Envoy {
    /// All metrics as they are now; nothing, where it has ended already. Without a runtime, as there may be none any more.
    fn last_stats(&self) -> String {
        let ask = || {
            let mut admin = TcpStream::connect_timeout(&self.admin, Duration::from_secs(2))?;
            admin.set_read_timeout(Some(Duration::from_secs(5)))?;
            admin.write_all(b"GET /stats HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")?;
            let mut text = Vec::new();
            admin.read_to_end(&mut text)?;
            Ok::<_, std::io::Error>(String::from_utf8_lossy(&text).into_owned())
        };
        ask().unwrap_or_default()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let stats = self.last_stats();
        self.child.kill().ok();
        self.child.wait().ok();
        // One panic is enough to say what is wrong.
        if !std::thread::panicking() {
            let read = |name: &str| String::from_utf8_lossy(&fs::read(self.dir.join(name)).unwrap_or_default()).into_owned();
            self.canaries.assert_absent("Envoy's log", &read("envoy.log"));
            self.canaries.assert_absent("the access log", &read("access.log"));
            self.canaries.assert_absent("Envoy's metrics", &stats);
        }
    }
}

fn bootstrap(dir: &Path, ecds_dir: &Path, setup: &Setup<'_>) -> String {
    let text = ecds::fill(
        "bootstrap.yaml",
        &[
            ("LISTEN_ADDRESS", "127.0.0.1"),
            ("LISTEN_PORT", "0"),
            ("ADMIN_PORT", "0"),
            ("UPSTREAM_ADDRESS", &setup.upstream.ip().to_string()),
            ("UPSTREAM_PORT", &setup.upstream.port().to_string()),
            ("ECDS_DIR", &ecds_dir.display().to_string()),
            ("ACCESS_LOG", &dir.join("access.log").display().to_string()),
        ],
    );
    ecds::exchange(text, setup.other_settings)
}

/// A new folder for the files of one run. They outlive it, to be read after a failure, but not for more than an hour.
pub(crate) fn run_dir(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let runs = target().join("envoy-runs");
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    for old in fs::read_dir(&runs).into_iter().flatten().flatten() {
        if old.metadata().and_then(|meta| meta.modified()).is_ok_and(|at| at < hour_ago) {
            fs::remove_dir_all(old.path()).ok();
        }
    }
    let dir = runs.join(format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    fs::remove_dir_all(&dir).ok();
    fs::create_dir_all(&dir).expect("the build folder can be written");
    dir
}
