//! Streams that stay open, bodies in pieces, several workers: in filters that can cut and read, and in the one that ships.

use super::{filters, folder, run, text};

const STREAM: &str = r#"  - name: revoked in the middle of a stream
    steps:
      - {open: feed, send: {like: list, get: /v1/orders}, reply: {status: 200, chunks: ["data: 1\n\n"]}}
      - {after: 1s, expect: {feed: open}}
      - {config: {add: {revoked: [{session: s-1}]}}}
      - {expect: {feed: open}}
      - {after: 1s, expect: {feed: {cut: revoked}}}
"#;

#[test]
fn a_stream_that_the_filter_resets_is_cut_for_the_reason_on_record() {
    let folder = folder(STREAM);
    let cutter = filters::cutter(folder.path());
    let output = run(folder.path(), &["--wasm", cutter.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}

#[test]
fn a_stream_that_is_not_cut_or_for_another_reason_is_a_failure() {
    let folder = folder(&STREAM.replace("cut: revoked", "cut: expired").replacen("feed: open", "feed: closed", 1));
    let cutter = filters::cutter(folder.path());
    let output = run(folder.path(), &["--wasm", cutter.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stdout);
    insta::assert_snapshot!(shown.split("no case touches").next().unwrap());
}

#[test]
fn a_stream_of_a_trapped_filter_is_no_cut() {
    let folder = folder(STREAM);
    let sleeper = filters::sleeper(folder.path());
    let output = run(folder.path(), &["--wasm", sleeper.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stdout));
}

#[test]
fn a_request_whose_response_is_cut() {
    let folder = folder(
        r#"  - {name: cut, send: list, reply: {chunks: [one, two]}, expect: {cut: revoked, upstream: {":path": /v1/orders}}}
  - {name: not cut, send: list, expect: {allow: orders.list}}
  - {name: wrong, send: list, reply: {chunks: [one, two]}, expect: {allow: orders.list}}
  - {name: wrong too, send: list, expect: {cut: revoked}}
"#,
    );
    let limiter = filters::limiter(folder.path());
    let output = run(folder.path(), &["--wasm", limiter.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stdout);
    insta::assert_snapshot!(shown.split("no case touches").next().unwrap());
}

#[test]
fn a_body_in_pieces_is_judged_whole() {
    let whole = folder(
        r#"  - name: denied
    send: {token: agent, post: /v1/orders/7/cancel, chunks: ['{"name":"r', 'm"}'], trailers: {x-sum: "1"}}
    expect: {deny: unknown_command, status: 403, upstream_bytes: 0}
  - name: passed
    steps:
      - {open: call, send: {token: agent, post: /v1/orders/7/cancel, chunks: ['{"name":"', 'ls"}']}}
      - {expect: {call: open}}
      - {token: agent, post: /v1/orders/7/cancel, body: 'ls', expect: {allow: orders.cancel, upstream_bytes: 3}}
"#,
    );
    let reader = filters::reader(whole.path());
    let output = run(whole.path(), &["--wasm", reader.to_str().unwrap()]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    // The filter here writes no record for what it lets through: no command; and two bytes are not three.
    insta::assert_snapshot!(shown.split("no case touches").next().unwrap());
}

#[test]
fn the_shipped_filter_keeps_streams_and_each_worker_judges() {
    let folder = folder(
        r#"  - name: streams
    steps:
      - {open: feed, worker: 2, send: list, expect: {allow: orders.list, upstream: {authorization: null}}}
      - {open: ended, send: list, reply: {chunks: [x], trailers: {x-sum: "1"}}}
      - {open: refused, send: {like: list, token: forged}, expect: {deny: signature_invalid, status: 401}}
      - {after: 1m, expect: {feed: open, ended: closed, refused: closed}}
      - {config: {add: {revoked: [{session: s-1}]}}}
      - {send: list, expect: {deny: revoked}}
      - {worker: 2, send: list, expect: {deny: revoked}}
      - {config: {set: {revoked: []}}}
      - {at: 9m, send: list, expect: {allow: orders.list}}
      - {after: 1m, send: list, expect: {deny: expired}}
  - name: a stream has to open
    steps:
      - {open: feed, send: {like: list, token: forged}}
"#,
    );
    let output = run(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stdout);
    insta::assert_snapshot!(shown.split("no case touches").next().unwrap());
}
