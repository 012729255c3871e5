//! What `make run-envoy` shows: the first example's policy with a key of this run, and four requests that end differently.

use crate::{root, scenario::now};
use policy_host::{source::PolicyDocument, token::RunKeys};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// The example, from the workspace's root.
pub const EXAMPLE: &str = "examples/agent-orders/policy.yaml";

/// The session of the demo's own tokens.
pub const SESSION: &str = "demo-1";

/// A request to paste.
#[derive(Debug, Clone)]
pub struct Line {
    /// What it shows.
    pub what: &'static str,
    /// The status that it gets.
    pub status: u16,
    method: &'static str,
    path: &'static str,
    token: String,
}

impl Line {
    /// For a shell.
    #[must_use]
    pub fn curl(&self, to: SocketAddr) -> String {
        let Self { method, path, token, .. } = self;
        format!("curl -i -X {method} -H 'authorization: Bearer {token}' http://{to}{path}")
    }
}

/// The policy to run, and the lines to print.
#[must_use]
pub fn demo() -> (Value, Vec<Line>) {
    let document = PolicyDocument::read(&root().join(EXAMPLE)).expect("the first example is a valid document");
    let mut policy = document.value().clone();
    let mut keys = RunKeys::for_policy(&policy).expect("randomness");
    keys.add_to(&mut policy);
    let mut token = |session: &str, issued: u64| {
        let claims = json!({
            "iss": "https://broker.example", "aud": "orders", "sub": "agent-7", "sid": session,
            "act": {"sub": "planner"}, "commands": ["orders.*"], "iat": issued, "exp": issued + 600,
        });
        keys.sign(&policy, Some("https://broker.example"), claims.to_string().as_bytes()).expect("randomness")
    };
    let (live, past, ended) = (token(SESSION, now()), token(SESSION, now() - 900), token("s-2041", now()));
    let line = |what, status, method, path, token: &String| Line { what, status, method, path, token: token.clone() };
    let lines = vec![
        line(
            "allowed: what the target received comes back, without the token and with the credential",
            200,
            "GET",
            "/v1/orders",
            &live,
        ),
        line("the command is in the token, but not granted", 403, "DELETE", "/v1/orders/7", &live),
        line("expired", 401, "GET", "/v1/orders", &past),
        line("revoked: the policy names this session", 401, "GET", "/v1/orders", &ended),
    ];
    (policy, lines)
}
