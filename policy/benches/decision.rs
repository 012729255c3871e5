//! What a decision costs the core, and that it costs the same however large the policy and the state are.
//!
//! `cargo bench -p chaperone-policy` times it; signatures are marks here, so that what is timed is ours.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a benchmark fails by panicking"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::rc::Rc;

use chaperone_policy::{Decision, End, Exchange, Head, Policy, Source, Timestamp, Worker};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use support::{NOW, claims, compile, context, document, head, token, with, worker};

/// A whole exchange: the head, the response's head, the record.
fn exchange(policy: &Rc<Policy>, worker: &mut Worker, fields: &[(&[u8], &[u8])], allowed: bool) {
    let mut exchange = Exchange::begin(Rc::clone(policy));
    let head = Head { headers: fields, source: Source::Told(b"10.0.0.7:4711"), ..Head::default() };
    let decision = exchange.request(&head, worker, &context(policy, Timestamp::from_seconds(NOW)));
    assert_eq!(matches!(decision, Decision::Forward(_)), allowed);
    black_box(&decision);
    let response: &[(&[u8], &[u8])] = &[(b":status", b"200"), (b"content-type", b"application/json"), (b"content-length", b"3")];
    black_box(exchange.response_edits(response, false));
    black_box(exchange.record(&End { response_code: Some(200), bytes_up: Some(468), bytes_down: Some(712) }));
}

/// The head of a request that a client of the examples sends.
fn request(path: &str, token: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let fields = [
        ("user-agent", "orders-agent/1.4"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, deflate"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "0f6fbd5a-0c3a-4c1e-9d57-0c3a4c1e9d57"),
        ("authorization", &format!("Bearer {token}")),
    ];
    head("GET", path, &fields)
}

fn borrowed(fields: &[(Vec<u8>, Vec<u8>)]) -> Vec<(&[u8], &[u8])> {
    fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect()
}

/// Times the same request again and again (its token is kept), and one whose token is new each time.
fn warm_and_cold(c: &mut Criterion, group: &str, size: usize, document: &Value, path: &str) {
    let policy = compile(document);
    let mut group = c.benchmark_group(group);
    let same = request(path, &token(&claims()));
    let (same, mut kept) = (borrowed(&same), worker());
    exchange(&policy, &mut kept, &same, true);
    group.bench_function(BenchmarkId::new("warm", size), |b| b.iter(|| exchange(&policy, &mut kept, &same, true)));
    let many: Vec<_> = (0..512).map(|n| request(path, &token(&of_session(n)))).collect();
    let many: Vec<_> = many.iter().map(|fields| borrowed(fields)).collect();
    let mut next = 0;
    let mut new = worker();
    group.bench_function(BenchmarkId::new("cold", size), |b| {
        b.iter(|| {
            if next == many.len() {
                (next, new) = (0, worker());
            }
            exchange(&policy, &mut new, &many[next], true);
            next += 1;
        });
    });
    group.finish();
}

fn of_session(number: usize) -> Value {
    let mut claims = claims();
    claims["sid"] = json!(format!("s-{number}"));
    claims["commands"] = json!(["orders.*"]);
    claims
}

/// No pace of signature checks: a cold token each time is what is timed.
fn base() -> Value {
    with(document(), "/limits", json!({"verifications_per_second": 100_000}))
}

fn in_commands(c: &mut Criterion) {
    for size in [10, 100, 1_000, 10_000] {
        let mut document = base();
        for number in 0..size {
            let path = format!("/v1/things-{number}/{{id}}/parts");
            document["commands"][format!("things-{number}.parts")] = json!({"http": {"methods": ["GET"], "path": path}});
        }
        warm_and_cold(c, "commands", size, &document, "/v1/orders/7");
    }
}

fn in_grants(c: &mut Criterion) {
    for size in [10, 100, 1_000] {
        let mut document = base();
        let grants = document["grants"].as_array_mut().unwrap();
        for number in 0..size {
            let when = match number % 3 {
                0 => json!({"subject": format!("robot-{number}")}),
                1 => json!({"subject": format!("team-{number}-*")}),
                _ => json!({"claims": {"role": format!("role-{number}")}, "subject": "agent-*"}),
            };
            grants.insert(0, json!({"name": format!("g-{number}"), "when": when, "allow": ["orders.read"]}));
        }
        warm_and_cold(c, "grants", size, &document, "/v1/orders/7");
    }
}

fn in_revocations(c: &mut Criterion) {
    for size in [0, 1_000, 100_000] {
        let entries: Vec<_> = (0..size).map(|number| json!({"session": format!("gone-{number}")})).collect();
        let document = with(base(), "/revoked", entries.into());
        warm_and_cold(c, "revocations", size, &document, "/v1/orders/7");
    }
}

fn in_sessions(c: &mut Criterion) {
    let policy = compile(&base());
    let mut group = c.benchmark_group("sessions");
    for size in [1, 1_000, 100_000] {
        let mut worker = worker();
        for number in (0..size).rev() {
            let fields = request("/v1/orders/7", &token(&of_session(number)));
            exchange(&policy, &mut worker, &borrowed(&fields), true);
        }
        // The last one is kept as verified, and lives beside all the others.
        let same = request("/v1/orders/7", &token(&of_session(0)));
        let same = borrowed(&same);
        group.bench_function(BenchmarkId::new("warm", size), |b| b.iter(|| exchange(&policy, &mut worker, &same, true)));
    }
    group.finish();
}

fn denials(c: &mut Criterion) {
    let policy = compile(&base());
    let mut group = c.benchmark_group("denials");
    let denied = request("/v1/orders/7/none", &token(&claims()));
    let (denied, mut worker) = (borrowed(&denied), worker());
    group.bench_function("unknown_command", |b| b.iter(|| exchange(&policy, &mut worker, &denied, false)));
    let bare = head("GET", "/v1/orders/7", &[]);
    let bare = borrowed(&bare);
    group.bench_function("token_missing", |b| b.iter(|| exchange(&policy, &mut worker, &bare, false)));
    group.finish();
}

fn compiling(c: &mut Criterion) {
    let mut document = base();
    for number in 0..10_000 {
        let path = format!("/v1/things-{number}/{{id}}/parts");
        document["commands"][format!("things-{number}.parts")] = json!({"http": {"methods": ["GET"], "path": path}});
    }
    document["revoked"] = (0..100_000).map(|number| json!({"session": format!("gone-{number}")})).collect();
    let text = document.to_string();
    let mut group = c.benchmark_group("compile");
    group.sample_size(10);
    group.bench_function("10000 commands and 100000 revocations", |b| b.iter(|| Policy::compile(text.as_bytes()).unwrap()));
    group.finish();
}

criterion_group!(benches, in_commands, in_grants, in_revocations, in_sessions, denials, compiling);
criterion_main!(benches);
