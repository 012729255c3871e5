//! The code that one request touches: a worker of Envoy is led through a few requests instruction by instruction, as a debugger
//! does it, and each address is noted. What is in no file is code that V8 has made of a filter.
//!
//! Time is mostly reading code: what is touched counts in cache lines. No privilege is needed, as Envoy is our own child.

use crate::load::Load;
use nix::sys::{
    ptrace,
    signal::Signal,
    wait::{WaitPidFlag, WaitStatus, waitpid},
};
use nix::unistd::Pid;
use std::{
    collections::HashSet,
    fs,
    sync::atomic::{AtomicBool, Ordering},
};

/// Steps after which something is wrong.
const MOST: usize = 40_000_000;
/// Bytes of a line of the processor's caches.
const LINE: u64 = 64;

/// What requests touch and run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Touched {
    /// Cache lines of code that V8 made.
    pub(crate) made_lines: usize,
    /// Instructions of that.
    pub(crate) made: usize,
    /// Cache lines of Envoy's own code and its libraries'.
    pub(crate) own_lines: usize,
    pub(crate) own: usize,
}

/// Follows a request through the worker of this process; another one, which comes after it, is not followed.
pub(crate) fn follow(pid: u32, load: &mut Load, request: &[u8], after: &[u8]) -> Result<Touched, String> {
    let worker = worker(pid).ok_or("Envoy has no thread that is called a worker")?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).map_err(|error| error.to_string())?;
    let of_files = files(&maps);
    let done = AtomicBool::new(false);
    let fails = |what: &str, error: nix::Error| format!("{what}: {error}");
    std::thread::scope(|scope| {
        ptrace::seize(worker, ptrace::Options::empty()).map_err(|error| fails("following Envoy", error))?;
        ptrace::interrupt(worker).map_err(|error| fails("stopping Envoy", error))?;
        waitpid(worker, Some(WaitPidFlag::__WALL)).map_err(|error| fails("stopping Envoy", error))?;
        let sent = scope.spawn(|| {
            let sent = load.run(std::iter::once(request));
            done.store(true, Ordering::Release);
            // It waits for something to happen by now: the last step ends with this one.
            sent.and_then(|()| load.run(std::iter::once(after)))
        });
        let (mut made_lines, mut own_lines) = (HashSet::new(), HashSet::new());
        let (mut made, mut own) = (0, 0);
        let mut stepped = Ok(());
        for _ in 0..MOST {
            if done.load(Ordering::Acquire) {
                break;
            }
            let at = ptrace::getregs(worker).map(|registers| registers.rip);
            let step = at.and_then(|at| {
                if of_files.iter().any(|(from, to)| (*from..*to).contains(&at)) {
                    own += 1;
                    own_lines.insert(at / LINE);
                } else {
                    made += 1;
                    made_lines.insert(at / LINE);
                }
                ptrace::step(worker, None)?;
                waitpid(worker, Some(WaitPidFlag::__WALL))
            });
            match step {
                Ok(WaitStatus::Stopped(_, Signal::SIGTRAP) | WaitStatus::PtraceEvent(..)) => {}
                Ok(other) => {
                    stepped = Err(format!("Envoy's worker: {other:?}"));
                    break;
                }
                Err(error) => {
                    stepped = Err(fails("following Envoy", error));
                    break;
                }
            }
        }
        let left = ptrace::detach(worker, None).map_err(|error| fails("letting Envoy go", error));
        sent.join().map_err(|_| "the load ended".to_owned())??;
        stepped?;
        left?;
        Ok(Touched { made_lines: made_lines.len(), made, own_lines: own_lines.len(), own })
    })
}

/// The thread that serves: there is one.
fn worker(pid: u32) -> Option<Pid> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let mut named = tasks.filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.starts_with("wrk:")));
    Some(Pid::from_raw(named.next()?.file_name().to_str()?.parse().ok()?))
}

/// The addresses of code that is in files.
fn files(maps: &str) -> Vec<(u64, u64)> {
    let of_line = |line: &str| {
        let mut parts = line.split_ascii_whitespace();
        let (from, to) = parts.next()?.split_once('-')?;
        let runs = parts.next()?.contains('x');
        let in_file = parts.nth(3).is_some_and(|name| name.starts_with('/') || name.starts_with("[v"));
        let address = |text| u64::from_str_radix(text, 16).ok();
        (runs && in_file).then_some(())?;
        Some((address(from)?, address(to)?))
    };
    maps.lines().filter_map(of_line).collect()
}
