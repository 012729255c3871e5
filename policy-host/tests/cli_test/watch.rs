//! `--watch`: what is saved is run again within a second.

use super::{MIXED, POLICY, command, folder, write};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

/// Ends the process with the test, by its own id.
struct Watching {
    child: Child,
    lines: Receiver<String>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Watching {
    fn start(folder: &Path, args: &[&str]) -> Self {
        let mut command = command(folder, &[&["--watch", "--format", "json"], args].concat());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { child, lines }
    }

    /// The next run's object, waited for much longer than it should take: how long it did is another matter.
    fn next(&self) -> serde_json::Value {
        serde_json::from_str(&self.lines.recv_timeout(Duration::from_secs(120)).expect("a run")).unwrap()
    }
}

fn failed(run: &serde_json::Value) -> i64 {
    run["failed"].as_i64().unwrap_or_else(|| panic!("{run}"))
}

#[test]
fn a_saved_file_is_run_again_within_a_second() {
    let folder = folder(MIXED);
    let cases = fs::read_to_string(folder.path().join("cases.yaml")).unwrap();
    let watching = Watching::start(folder.path(), &[]);
    assert_eq!(failed(&watching.next()), 2);

    // The best of three: the machine may be busy, but a watch that always takes a second is wrong.
    let right = cases.replace("expect: {deny: command_not_granted, status: 403}", "expect: {allow: orders.read}");
    let best = [&right, &cases, &right].map(|text| {
        let saved = Instant::now();
        write(folder.path(), "cases.yaml", text);
        let run = watching.next();
        assert_eq!(failed(&run), if *text == right { 1 } else { 2 });
        saved.elapsed()
    });
    let best = best.into_iter().min().unwrap();
    assert!(best < Duration::from_secs(1), "{best:?}");

    // As editors save: a new file in the place of the old one.
    write(folder.path(), ".cases.yaml.new", &cases);
    fs::rename(folder.path().join(".cases.yaml.new"), folder.path().join("cases.yaml")).unwrap();
    assert_eq!(failed(&watching.next()), 2);

    // A policy that is wrong is shown and waited for, and so is one that is gone.
    let policy = folder.path().join("policy.yaml");
    write(folder.path(), "policy.yaml", POLICY.replace("max_lifetime: 15m", "max_lifetime: 15"));
    assert_eq!(watching.next()["errors"][0]["line"], 9);
    fs::remove_file(&policy).unwrap();
    assert!(watching.next()["errors"][0]["message"].as_str().unwrap().starts_with("there is no file"));
    write(folder.path(), "policy.yaml", POLICY.replace("[orders.list, orders.read]", "[orders.list]"));
    assert_eq!(failed(&watching.next()), 1);

    // Only what changed is run again; a new file is found.
    write(folder.path(), "more.cases.yaml", &cases);
    let run = watching.next();
    assert_eq!((run["files"].as_array().unwrap().len(), &run["files"][0]["file"]), (1, &"more.cases.yaml".into()));
}

#[test]
fn a_file_that_is_wrong_does_not_keep_others_from_running() {
    let folder = folder(MIXED);
    write(folder.path(), "wrong.cases.yaml", "version: 2\n");
    let watching = Watching::start(folder.path(), &[]);
    assert_eq!(watching.next()["errors"][0]["file"], "wrong.cases.yaml");
    assert_eq!(failed(&watching.next()), 2);
}

#[test]
fn files_that_come_later_are_waited_for() {
    let folder = folder(MIXED);
    let cases = fs::read_to_string(folder.path().join("cases.yaml")).unwrap();
    fs::remove_file(folder.path().join("cases.yaml")).unwrap();
    let watching = Watching::start(folder.path(), &[]);
    assert_eq!(watching.next()["errors"][0]["message"], "no cases file is in here");
    write(folder.path(), "cases.yaml", &cases);
    assert_eq!(failed(&watching.next()), 2);
}
