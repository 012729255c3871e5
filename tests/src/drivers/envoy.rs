//! The .wasm in a real Envoy, in real time: one Envoy for a cases file.

use super::{Ran, Seen};
use crate::{
    access_log::AccessLog,
    client::{Call, Protocol},
    envoy::{Envoy, Setup, Update},
    raw,
    upstream::{Received, Upstream},
    wasm,
};
use chaperone_authoring::{
    cases::{Action, Case, Exchange, Plan, check, with_generation},
    outcome::{Decision, Outcome, client_reason},
    request::Request,
};
use serde_json::Value;
use std::{
    cell::Cell,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// How long the workers may take to follow the main thread after an update.
const FOLLOW: Duration = Duration::from_secs(3);

/// Why a case cannot be put to this Envoy: its clock is the machine's, it has one worker, and its upstream says what it says.
#[must_use]
pub fn cannot(plan: &Plan, case: &Case) -> Option<&'static str> {
    if case.moves_clock(plan) {
        return Some("moves the clock");
    }
    if case.opens_streams() {
        return Some("leaves streams open");
    }
    if case.names_workers() {
        return Some("names a second worker");
    }
    if case.fetches(plan) {
        return Some("has something fetched");
    }
    if case.shows_certificates() {
        return Some("shows a client certificate: see envoy_binding.rs");
    }
    if case.plays_redirects() {
        return Some("plays a redirect: see envoy_controls.rs");
    }
    case.scripts_replies().then_some("scripts a reply")
}

/// An Envoy with one worker, which makes it as deterministic as the other drivers, under a plan's policy.
pub struct Driver {
    envoy: Envoy,
    upstream: Upstream,
    log: AccessLog,
    /// Of the configurations sent so far: no two are the same bytes.
    generation: Cell<u64>,
}

impl Driver {
    /// Starts Envoy and its upstream.
    pub async fn start(plan: &Plan) -> Self {
        let upstream = Upstream::start().await;
        let environment: Vec<_> = plan.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let policy: Value = serde_json::from_slice(&plan.policy_json).expect("a plan's policy is JSON");
        let envoy = Envoy::start(Setup {
            name: "corpus",
            policy: &policy,
            wasm: wasm::chaperone(),
            upstream: upstream.address(),
            workers: 1,
            environment: &environment,
            other_settings: &[],
        })
        .await;
        let log = AccessLog(envoy.access_log());
        Self { envoy, upstream, log, generation: Cell::new(1_000) }
    }

    /// Runs a case; afterwards the plan's own policy is back.
    pub async fn case(&self, plan: &Plan, case: &Case) -> Ran {
        let mut ran = Ran { seen: Vec::new(), mismatches: Vec::new() };
        let mut updated = None;
        for step in &case.steps {
            match &step.action {
                Action::Configure(policy) => {
                    self.configure(policy).await;
                    updated = Some(Instant::now());
                }
                Action::Open { .. } | Action::Publish(_) | Action::Look(_) => panic!("{}: see `cannot`", step.location),
                Action::Send { exchange, expect } => {
                    let (outcome, mismatches) = loop {
                        let outcome = self.send(exchange).await;
                        let mismatches = check(expect, &outcome);
                        let following = updated.is_some_and(|since| since.elapsed() < FOLLOW);
                        if mismatches.is_empty() || !following {
                            break (outcome, mismatches);
                        }
                        sleep(Duration::from_millis(20)).await;
                    };
                    ran.seen.push(Seen::under(plan, &outcome));
                    ran.mismatches
                        .extend(mismatches.iter().map(|mismatch| format!("{}: {}: {mismatch}", step.location, case.name)));
                }
            }
        }
        if updated.is_some() {
            self.configure(&plan.policy_json).await;
            sleep(Duration::from_millis(300)).await;
        }
        ran
    }

    async fn configure(&self, policy: &[u8]) {
        self.generation.set(self.generation.get() + 1);
        let policy = with_generation(policy, self.generation.get());
        let policy: Value = serde_json::from_slice(&policy).expect("a policy is JSON");
        assert_eq!(self.envoy.update(&policy).await, Update::Applied, "Envoy takes a policy that compiles");
    }

    async fn send(&self, exchange: &Exchange) -> Outcome {
        let before = self.upstream.count();
        let answer = self.exchange(&exchange.request, &exchange.chunks).await;
        let record = match answer.field("x-chaperone-audit-id") {
            Some(id) => self.log.record(id).await.record,
            // Envoy refused it by itself, before the filter.
            None => Value::Null,
        };
        let said = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let received = (self.upstream.count() > before).then(|| self.upstream.last());
        let decision = if received.is_some() { Decision::Allow } else { Decision::Deny };
        let own = decision == Decision::Deny;
        Outcome {
            decision,
            reason: said("/status_code").filter(|code| code != "allowed"),
            status: own.then_some(answer.status),
            command: said("/api/operation"),
            session: said("/actor/session/uid"),
            upstream_headers: received.as_ref().map(upstream_fields),
            upstream_bytes: Some(received.as_ref().map_or(0, |received| received.body_len as u64)),
            client_reason: own.then(|| client_reason(&answer.body)).flatten(),
            response_body: Some(String::from_utf8_lossy(&answer.body).into_owned()),
            response_headers: own.then_some(answer.fields),
            ..Outcome::undecided(0)
        }
    }

    /// gRPC and trailers need HTTP/2; everything else goes as bytes, for no HTTP library sends most of it.
    async fn exchange(&self, request: &Request, chunks: &[usize]) -> Answered {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let grpc = request.headers.iter().any(|(name, value)| name == b"content-type" && value.starts_with(b"application/grpc"));
        if !grpc && request.trailers.is_empty() {
            // Of the addresses that a case may name, these are the machine's own.
            let from = match request.source_address.map(|address| address.ip()) {
                Some(IpAddr::V4(address)) if address.is_loopback() => address,
                Some(_) | None => Ipv4Addr::LOCALHOST,
            };
            return Answered::of_raw(&raw::http1_from(from, self.envoy.address(), &bytes(request, chunks)).await);
        }
        let mut call =
            Call::new(&text(&request.method), &text(&request.path)).host(&text(&request.authority)).body(request.body.clone());
        for (name, value) in &request.headers {
            call = call.header(&text(name), value);
        }
        for (name, value) in &request.trailers {
            call = call.trailer(&text(name), &text(value));
        }
        let reply = call.send(self.envoy.address(), Protocol::Http2).await;
        let fields: Vec<(String, String)> =
            reply.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect();
        // A gRPC denial says its message in a field; its HTTP status is 200 by that protocol, and the denial's is on record.
        let message = reply.header("grpc-message").map(|message| message.as_bytes().to_vec());
        let body = message.unwrap_or_else(|| reply.body.to_vec());
        let status = match reply.grpc_status() {
            Some(16) => 401,
            Some(7) => 403,
            Some(3) => 400,
            Some(14) => 503,
            _ => reply.status,
        };
        Answered { status, fields, body }
    }
}

/// What the client got.
struct Answered {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answered {
    fn of_raw(reply: &raw::RawReply) -> Self {
        let (head, body) = reply.text.split_once("\r\n\r\n").unwrap_or((&reply.text, ""));
        let field = |line: &str| line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        Self { status: reply.status, fields: head.lines().skip(1).filter_map(field).collect(), body: body.as_bytes().to_vec() }
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// A request as HTTP/1.1. A body in pieces goes in as many chunks; how Envoy hands them to the filter is its own matter.
fn bytes(request: &Request, chunks: &[usize]) -> Vec<u8> {
    let mut bytes = [&request.method[..], b" ", &request.path, b" HTTP/1.1\r\n"].concat();
    let mut line = |name: &[u8], value: &[u8]| bytes.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
    line(b"host", &request.authority);
    for (name, value) in &request.headers {
        line(name, value);
    }
    let has = |wanted: &[u8]| request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
    if !has(b"connection") {
        line(b"connection", b"close");
    }
    if !chunks.is_empty() {
        line(b"transfer-encoding", b"chunked");
    } else if !request.body.is_empty() && !has(b"content-length") {
        line(b"content-length", request.body.len().to_string().as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    if chunks.is_empty() {
        bytes.extend_from_slice(&request.body);
        return bytes;
    }
    let mut rest = request.body.as_slice();
    for length in chunks {
        let (piece, after) = rest.split_at(*length);
        rest = after;
        bytes.extend_from_slice(&[format!("{length:x}\r\n").as_bytes(), piece, b"\r\n"].concat());
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

fn upstream_fields(received: &Received) -> Vec<(String, String)> {
    let pseudo = [(":method", &received.method), (":path", &received.path), (":authority", &received.host)];
    let pseudo = pseudo.map(|(name, value)| (name.to_owned(), value.clone()));
    pseudo.into_iter().chain(received.headers.iter().cloned()).collect()
}
