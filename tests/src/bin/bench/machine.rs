//! The machine: which class it is of, and who runs on which of its cores.

use std::{
    fs,
    process::{Command, Stdio},
};

/// Keeps a process, all threads of it, on one core; `false` when this machine cannot (no `taskset`, only one core).
pub(crate) fn pin(pid: u32, core: usize) -> bool {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    core < cores.max(2)
        && Command::new("taskset")
            .args(["--all-tasks", "--pid", "--cpu-list", &core.to_string(), &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}

/// Cores and processor, in words.
pub(crate) fn class() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| info.lines().find(|line| line.starts_with(name)).and_then(|line| line.split(": ").nth(1));
    let cores = info.lines().filter(|line| line.starts_with("processor")).count();
    let family = (field("cpu family").unwrap_or("?"), field("model\t").unwrap_or("?"));
    let model = field("model name").unwrap_or("unknown processor");
    format!("{cores} cores, {model} (family {}, model {}), Linux {}", family.0, family.1, kernel())
}

fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// Tasks that are running or want to, on average of the last minute: how alone the bench was.
pub(crate) fn load() -> String {
    fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or("?").to_owned()
}
