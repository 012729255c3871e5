//! `make run-envoy` as its user meets it: the four printed lines do what is printed above them, and so does the one that revokes.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::client::{Call, Error, Protocol, Reply};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::{task::spawn_blocking, time::timeout};

/// The program, ended with the test. Its Envoy would outlive a kill: Ctrl-C ends both.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        Command::new("kill").args(["-INT", &self.0.id().to_string()]).status().ok();
        self.0.wait().ok();
    }
}

/// Sends what `curl -i [-X METHOD] -H 'name: value' http://address/path` would; no curl is needed to run the tests.
async fn paste(line: &str) -> Reply {
    try_paste(line).await.expect("a whole answer")
}

/// The same, where the answer may be cut: its session may end in the middle of it.
async fn try_paste(line: &str) -> Result<Reply, Error> {
    let (start, rest) = line.split_once('\'').expect("a quoted header");
    let (header, url) = rest.split_once("' http://").expect("a URL");
    let method = start.split_once("-X ").and_then(|(_, rest)| rest.split(' ').next()).unwrap_or("GET");
    let (address, path) = url.split_once('/').expect("a path");
    let (name, value) = header.split_once(": ").expect("a header");
    let to: SocketAddr = address.parse().expect("an address");
    Call::new(method, &format!("/{path}")).host(address).header(name, value).try_send(to, Protocol::Http1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_lines_do_as_they_say() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_run-envoy")).stdout(Stdio::piped()).spawn().expect("the program starts");
    // Kept to the end: the program goes on printing records.
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let program = Program(child);
    let printed: Vec<String> =
        lines.by_ref().map(|line| line.expect("text")).take_while(|line| !line.starts_with("Each request's record")).collect();
    let after = |comment: &str| printed.iter().skip_while(|line| !line.starts_with(comment)).nth(1).expect("a line to paste");

    let allowed = paste(after("# allowed")).await;
    assert_eq!(allowed.status, 200, "{allowed:?}");
    let text = allowed.text();
    assert!(
        text.contains("Bearer demo-credential-of-the-upstream") && text.contains("x-chaperone-session") && !text.contains("eyJ"),
        "{text}"
    );
    for (comment, status, reason) in
        [("# command denied", 403, "command_not_granted"), ("# expired", 401, "expired"), ("# revoked", 401, "revoked")]
    {
        let reply = paste(after(comment)).await;
        assert_eq!((reply.status, reply.json()["reason"].as_str()), (status, Some(reason)), "{comment}");
    }

    // Over HTTP/2 as well, where a target that answers HEAD with a body breaks the protocol.
    let (_, token) = after("# allowed").split_once("Bearer ").expect("a token");
    let (token, url) = token.split_once("' http://").expect("a URL");
    let (address, path) = url.split_once('/').expect("a path");
    for protocol in Protocol::ALL {
        let head = Call::new("HEAD", &format!("/{path}")).host(address).bearer(token);
        let reply = head.send(address.parse().expect("an address"), protocol).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, ""), "{protocol:?}: {reply:?}");
    }

    let revoke = after("# then revoke");
    let done = Command::new("sh").args(["-c", revoke]).output().expect("a shell");
    assert!(done.status.success(), "{revoke}: {done:?}");
    let file = fs::read_to_string(revoke.rsplit(' ').next().expect("the file's path")).expect("the file that Envoy watches");
    let policies = file.lines().filter(|line| line.contains("s-2041"));
    assert_eq!(policies.count(), 1, "the policy stands there once: {file}");
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut in_a_row = 0;
    while in_a_row < 10 {
        let Ok(reply) = try_paste(after("# allowed")).await else { continue };
        in_a_row = if reply.status == 401 { in_a_row + 1 } else { 0 };
        assert!(Instant::now() < deadline, "still {}", reply.status);
    }
    let reply = paste(after("# revoked")).await;
    assert_eq!((reply.status, reply.json()["reason"].as_str()), (401, Some("revoked")), "what was revoked before still is");
    let of_the_revoked = |line: &String| line.contains("\"status_code\":\"revoked\"") && line.contains("\"uid\":\"s-1\"");
    let printed = spawn_blocking(move || lines.map_while(Result::ok).any(|line| of_the_revoked(&line)));
    let printed = timeout(Duration::from_secs(10), printed).await.expect("the record is printed in time").expect("no panic");
    assert!(printed, "the program ended before it printed the record");
    drop(program);
}
