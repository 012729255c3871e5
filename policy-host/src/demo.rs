//! Four requests to try: what `make run` prints, and what is checked before it is printed.

use crate::{
    host::{LogSink, Module},
    replay::Filter,
};
use chaperone_authoring::{
    outcome::{Decision, Outcome},
    published::Published,
    request::Request,
    token::{KeyError, RunKeys},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{fmt, net::SocketAddr};

/// How long the demo's tokens are valid: the session's whole life in the example.
const TOKEN_SECONDS: i64 = 15 * 60;

/// The policy of examples/agent-orders with a key of its own, and four requests with tokens that the key signed.
#[derive(Debug)]
pub struct Demo {
    /// The policy as the filter gets it, with the demo's public key.
    pub policy_json: Vec<u8>,
    /// What the policy has fetched, with the demo's key.
    pub published: Published,
    /// The requests, in the order in which they are told.
    pub requests: Vec<DemoRequest>,
    now: Timestamp,
}

/// One of them.
#[derive(Debug)]
pub struct DemoRequest {
    /// What it shows.
    pub title: &'static str,
    /// What happens, in a few words.
    pub story: &'static str,
    /// HTTP method.
    pub method: &'static str,
    /// Path.
    pub path: &'static str,
    /// The reason of the denial; `None` when it is allowed.
    pub reason: Option<&'static str>,
    /// The status that curl shows.
    pub status: u16,
    token: String,
}

/// Why there is nothing to show.
#[derive(Debug)]
pub enum DemoError {
    /// No key could be made.
    Key(KeyError),
    /// The filter does not decide as the demo says it does.
    Unexpected(String),
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(error) => error.fmt(f),
            Self::Unexpected(what) => write!(f, "{what}; the demo's sessions are those of examples/agent-orders"),
        }
    }
}

impl std::error::Error for DemoError {}

impl Demo {
    /// Makes a key, gives it to the policy in memory, and signs the tokens.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(policy: &Value, now: Timestamp) -> Result<Self, DemoError> {
        let mut keys = RunKeys::for_policy(policy).map_err(DemoError::Key)?;
        let mut token = |session: &str, issued: i64, expires: i64| {
            let issuer = "https://broker.example";
            let claims = json!({
                "iss": issuer, "aud": "orders", "sub": "agent-7", "sid": session, "commands": ["orders.*"],
                "iat": now.as_second() + issued, "exp": now.as_second() + expires,
            });
            keys.sign(policy, Some(issuer), claims.to_string().as_bytes()).map_err(DemoError::Key)
        };
        let live = token("s-1", 0, TOKEN_SECONDS)?;
        let requests = vec![
            DemoRequest {
                title: "allowed",
                story: "200; the upstream got its own credential and x-chaperone-* headers, and never saw the session token",
                method: "GET",
                path: "/v1/orders",
                reason: None,
                status: 200,
                token: live.clone(),
            },
            DemoRequest {
                title: "command denied",
                story: "403 command_not_granted; cancelling is not for this agent, and nothing reached the upstream",
                method: "DELETE",
                path: "/v1/orders/7",
                reason: Some("command_not_granted"),
                status: 403,
                token: live,
            },
            DemoRequest {
                title: "expired",
                story: "401 expired; the session ended a minute before this was printed",
                method: "GET",
                path: "/v1/orders",
                reason: Some("expired"),
                status: 401,
                token: token("s-0", -11 * 60, -60)?,
            },
            DemoRequest {
                title: "revoked",
                story: "401 revoked; the token is good, and the policy ends session s-2041",
                method: "GET",
                path: "/v1/orders",
                reason: Some("revoked"),
                status: 401,
                token: token("s-2041", 0, TOKEN_SECONDS)?,
            },
        ];
        let mut policy = policy.clone();
        keys.add_to(&mut policy);
        let published = Published::of(&policy, &mut keys).map_err(DemoError::Key)?;
        Ok(Self { policy_json: policy.to_string().into_bytes(), published, requests, now })
    }

    /// Sends the four requests through the filter itself, so that nothing is promised that does not happen.
    ///
    /// # Errors
    /// When one of them is decided otherwise, or the filter does not start.
    pub fn rehearse(&self, module: &Module, environment: Vec<(String, String)>) -> Result<(), DemoError> {
        let unexpected = |error: &dyn fmt::Display| DemoError::Unexpected(error.to_string());
        let mut filter =
            Filter::start(module, environment, 1, self.now, LogSink::discard()).map_err(|error| unexpected(&error))?;
        filter.publish(self.published.clone());
        filter.configure(&self.policy_json).map_err(|error| unexpected(&error))?;
        for shown in &self.requests {
            let mut request = Request::new(shown.method, "localhost", shown.path);
            request.headers.push((b"authorization".to_vec(), format!("Bearer {}", shown.token).into_bytes()));
            let Outcome { decision, reason, .. } = filter.send(0, &request);
            let wanted = if shown.reason.is_none() { Decision::Allow } else { Decision::Deny };
            if decision != wanted || reason.as_deref() != shown.reason {
                let reason = reason.unwrap_or_else(|| "no reason".to_owned());
                return Err(DemoError::Unexpected(format!(
                    "\"{}\" is decided otherwise under this policy: {}, {reason}",
                    shown.title,
                    decision.word()
                )));
            }
        }
        Ok(())
    }

    /// The lines to paste, for a proxy at this address.
    #[must_use]
    pub fn lines(&self, address: SocketAddr) -> String {
        let mut out = String::new();
        for shown in &self.requests {
            let method = if shown.method == "GET" { String::new() } else { format!("-X {} ", shown.method) };
            out.push_str(&format!("# {}: {}\n", shown.title, shown.story));
            let DemoRequest { path, token, .. } = shown;
            out.push_str(&format!("curl -i {method}-H 'authorization: Bearer {token}' http://{address}{path}\n\n"));
        }
        out
    }
}
