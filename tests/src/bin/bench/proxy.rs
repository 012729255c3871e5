//! One Envoy under measurement: started, pinned, its CPU time read from the kernel, its counters from its admin interface.

use crate::machine;
use chaperone_tests::{client, install, root, scenario::CREDENTIAL};
use serde_json::Value;
use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

/// Several Envoys compile their wasm at once, perhaps on a busy machine.
const START: Duration = Duration::from_secs(120);

/// A running Envoy; killed when dropped.
pub(crate) struct Proxy {
    child: Child,
    dir: PathBuf,
    admin: SocketAddr,
    listener: SocketAddr,
}

impl Proxy {
    /// Starts it; [`Proxy::wait`] waits until it serves.
    pub(crate) fn start(dir: &Path, name: &str, filters: &Value, record: &str) -> Self {
        let dir = dir.join(name);
        fs::remove_dir_all(&dir).ok();
        fs::create_dir_all(&dir).expect("the build folder can be written");
        let template = fs::read_to_string(root().join("tests/bench/envoy.yaml")).expect("the bench's template is there");
        let filters = filters.to_string();
        let text = template.replace(": ${FILTERS}", &format!(": {filters}")).replace("${RECORD}", record);
        fs::write(dir.join("envoy.yaml"), text).expect("the build folder can be written");
        let log = File::create(dir.join("envoy.log")).expect("the build folder can be written");
        let child = Command::new(install::envoy())
            .current_dir(&dir)
            .args(["-c", "envoy.yaml", "--admin-address-path", "admin.address", "--concurrency", "1"])
            // No shared memory, so that several live side by side.
            .args(["--disable-hot-restart", "--log-level", "warning"])
            .env(CREDENTIAL.0, CREDENTIAL.1)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle can be cloned"))
            .stderr(log)
            .spawn()
            .expect("the installed envoy can be started");
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { child, dir, admin: nowhere, listener: nowhere }
    }

    /// Waits until it serves, then pins it to `core`; was that possible?
    pub(crate) fn wait(&mut self, runtime: &Runtime, core: usize) -> bool {
        let deadline = Instant::now() + START;
        loop {
            let ended = self.child.try_wait().expect("a child can be asked");
            assert!(ended.is_none() && Instant::now() < deadline, "Envoy does not start:\n{}", self.log());
            if let Some(listener) = runtime.block_on(self.probe()) {
                self.listener = listener;
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        machine::pin(self.child.id(), core)
    }

    async fn probe(&mut self) -> Option<SocketAddr> {
        self.admin = fs::read_to_string(self.dir.join("admin.address")).ok()?.trim().parse().ok()?;
        if client::get(self.admin, "/ready").await.ok()?.status != 200 {
            return None;
        }
        let listeners = client::get(self.admin, "/listeners?format=json").await.ok()?.json();
        let address = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
        Some(SocketAddr::from(([127, 0, 0, 1], u16::try_from(address["port_value"].as_u64()?).ok()?)))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener
    }

    /// CPU nanoseconds of all its threads, user and kernel, as the scheduler counts them: `/proc/PID/task/*/schedstat`.
    /// (`utime` and `stime` are the same figure in ticks of 10 ms.)
    pub(crate) fn cpu(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("Envoy runs, on Linux");
        let of_task = |task: PathBuf| {
            let text = fs::read_to_string(task.join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        };
        tasks.flatten().filter_map(|task| of_task(task.path())).sum()
    }

    /// A counter by the end of its name; 0 when Envoy has none.
    pub(crate) fn counter(&self, runtime: &Runtime, name: &str) -> u64 {
        let stats =
            runtime.block_on(client::get(self.admin, &format!("/stats?filter={name}"))).expect("the admin interface answers");
        let value = |line: &str| line.rsplit_once(": ").filter(|(found, _)| found.ends_with(name))?.1.parse::<u64>().ok();
        stats.text().lines().filter_map(value).sum()
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join("envoy.log")).unwrap_or_default()).into_owned()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
