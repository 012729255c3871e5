//! The audit record: one JSON object in the form of OCSF API Activity (class 6003), schema version 1.6.0.

use std::rc::Rc;

use serde::Serialize;

use crate::authenticate::Session;
use crate::check::Findings;
use crate::limits;
use crate::policy::Rules;
use crate::reason::Reason;
use crate::request::{Head, values};
use crate::time::Timestamp;
use crate::worker::Stamp;

/// How a request was judged.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    Allowed,
    Denied(Reason),
    Observed(Reason),
}

impl Outcome {
    pub(crate) fn reason(self) -> Option<Reason> {
        match self {
            Self::Allowed => None,
            Self::Denied(reason) | Self::Observed(reason) => Some(reason),
        }
    }
}

/// Names out of the policy that judged a request. Shared, not borrowed: the record is written when that policy may be gone.
#[derive(Debug, Default)]
pub(crate) struct Named {
    policy: Option<(Rc<str>, Rc<str>)>,
    command: Option<Rc<str>>,
    grant: Option<Rc<str>>,
    /// How the credential that was given is called.
    pub(crate) credential: Option<Rc<str>>,
}

impl Named {
    pub(crate) fn of(rules: Option<&Rules>, findings: &Findings, outcome: Outcome) -> Self {
        let Some(rules) = rules else { return Self::default() };
        let given = matches!(outcome, Outcome::Allowed) && !findings.unmediated && rules.enforces();
        Self {
            policy: Some((Rc::clone(&rules.name), Rc::clone(&rules.revision))),
            command: findings
                .command
                .and_then(|command| rules.commands.get(command.0 as usize))
                .map(|command| Rc::clone(&command.name)),
            grant: findings.grant.and_then(|grant| rules.grants.get(grant)).map(|grant| Rc::clone(&grant.name)),
            credential: rules.credential.as_ref().filter(|_| given).map(|credential| Rc::clone(&credential.reference)),
        }
    }
}

/// What is kept of a request's head for its record.
#[derive(Debug)]
pub(crate) struct Subject {
    at: Timestamp,
    method: String,
    path: String,
    ip: Option<String>,
    port: Option<u16>,
}

/// What is known when an exchange is over.
#[derive(Clone, Copy, Debug, Default)]
pub struct End {
    /// The status that the client got; `None` when it got none.
    pub response_code: Option<u16>,
    /// Bytes of the request, head and body.
    pub bytes_up: Option<u64>,
    /// Bytes of the response, head and body.
    pub bytes_down: Option<u64>,
}

impl Subject {
    pub(crate) fn of(head: &Head<'_>, at: Timestamp) -> Self {
        let first = |name| values(head.headers, name).next().unwrap_or_default();
        // Without the query: it may hold secrets, and takes no part in the decision.
        let path = first(":path").split(|byte| *byte == b'?').next().unwrap_or_default();
        let address = head.source_address.and_then(|address| std::str::from_utf8(address).ok());
        let (ip, port) = match address.map(|address| address.parse::<std::net::SocketAddr>()) {
            Some(Ok(address)) => (Some(address.ip().to_string()), Some(address.port())),
            Some(Err(_)) => (address.and_then(|address| address.parse::<std::net::IpAddr>().ok()).map(|ip| ip.to_string()), None),
            None => (None, None),
        };
        Self { at, method: visible(first(":method")), path: visible(path), ip, port }
    }
}

/// Text that a client chose, safe in any log: ASCII, everything else percent-encoded, bounded.
fn visible(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        if text.len() > limits::RECORD_PATH_BYTES {
            text.push_str("...");
            break;
        }
        if (0x21..=0x7e).contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.extend(crate::path::upper_escape(*byte).map(char::from));
        }
    }
    text
}

#[derive(Debug, Serialize)]
pub(crate) struct Record<'r> {
    metadata: Metadata<'r>,
    category_uid: u32,
    class_uid: u32,
    type_uid: u32,
    activity_id: u32,
    severity_id: u32,
    /// Milliseconds since the epoch.
    time: u64,
    action_id: u32,
    disposition_id: u32,
    status_id: u32,
    status_code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_detail: Option<&'r str>,
    actor: Actor<'r>,
    api: Api<'r>,
    http_request: HttpRequest<'r>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_response: Option<HttpResponse>,
    src_endpoint: Endpoint<'r>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<PolicyName<'r>>,
    unmapped: Unmapped<'r>,
}

#[derive(Debug, Serialize)]
struct Metadata<'r> {
    uid: &'r str,
    version: &'static str,
    product: Product,
    profiles: [&'static str; 1],
}

#[derive(Debug, Serialize)]
struct Product {
    name: &'static str,
    vendor_name: &'static str,
    version: &'static str,
}

#[derive(Debug, Serialize)]
struct Actor<'r> {
    user: User<'r>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idp: Option<Uid<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<ActorSession<'r>>,
}

#[derive(Debug, Serialize)]
struct User<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'r str>,
    /// 0, unknown, when nobody was verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    type_id: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Uid<'r> {
    uid: &'r str,
}

#[derive(Debug, Serialize)]
struct ActorSession<'r> {
    uid: &'r str,
    issuer: &'r str,
    created_time: u64,
    expiration_time: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential_uid: Option<&'r str>,
}

#[derive(Debug, Serialize)]
struct Api<'r> {
    operation: &'r str,
}

#[derive(Debug, Serialize)]
struct HttpRequest<'r> {
    http_method: &'r str,
    url: Url<'r>,
}

#[derive(Debug, Serialize)]
struct Url<'r> {
    path: &'r str,
}

#[derive(Debug, Serialize)]
struct HttpResponse {
    code: u16,
}

#[derive(Debug, Serialize)]
struct Endpoint<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

#[derive(Debug, Serialize)]
struct PolicyName<'r> {
    uid: &'r str,
    version: &'r str,
}

#[derive(Debug, Serialize)]
struct Unmapped<'r> {
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<&'r str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    agent_chain: &'r [String],
    binding: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<&'r str>,
    worker: &'r str,
    sequence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_up: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_down: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential_ref: Option<&'r str>,
}

impl<'r> Record<'r> {
    pub(crate) fn new(
        stamp: &'r Stamp,
        session: Option<&'r Session>,
        ends: Option<u64>,
        named: &'r Named,
        outcome: Outcome,
        subject: &'r Subject,
        end: &End,
    ) -> Self {
        const CLASS: u32 = 6003;
        let activity = activity(&subject.method);
        // (action, disposition, status, severity, code): Allowed/Denied/Observed; Allowed/Blocked/Logged; Success/Failure.
        let (action_id, disposition_id, status_id, severity_id, code, decision) = match outcome {
            Outcome::Allowed => (1, 1, 1, 1, "allowed", "allow"),
            Outcome::Denied(reason) => (2, 2, 2, 3, reason.code(), "deny"),
            Outcome::Observed(reason) => (3, 17, 1, 2, reason.code(), "observed-deny"),
        };
        let claims = session.map(|session| &session.claims);
        Self {
            metadata: Metadata {
                uid: &stamp.audit_id,
                version: "1.6.0",
                product: Product { name: "Chaperone", vendor_name: "Chaperone", version: env!("CARGO_PKG_VERSION") },
                profiles: ["security_control"],
            },
            category_uid: CLASS / 1000,
            class_uid: CLASS,
            type_uid: CLASS * 100 + activity,
            activity_id: activity,
            severity_id,
            time: subject.at.millis(),
            action_id,
            disposition_id,
            status_id,
            status_code: code,
            status_detail: session.and_then(|session| session.revoked.as_ref()?.as_deref()),
            actor: Actor {
                user: User { uid: claims.map(|claims| claims.subject.as_str()), type_id: claims.is_none().then_some(0) },
                idp: claims.map(|claims| Uid { uid: &claims.issuer }),
                session: claims.map(|claims| ActorSession {
                    uid: &claims.session,
                    issuer: &claims.issuer,
                    created_time: Timestamp::from_seconds(claims.started).millis(),
                    expiration_time: Timestamp::from_seconds(ends.unwrap_or(claims.expires)).millis(),
                    credential_uid: claims.token_id.as_deref(),
                }),
            },
            api: Api { operation: named.command.as_deref().unwrap_or("unknown") },
            http_request: HttpRequest { http_method: &subject.method, url: Url { path: &subject.path } },
            http_response: end.response_code.map(|code| HttpResponse { code }),
            src_endpoint: Endpoint { ip: subject.ip.as_deref(), port: subject.port },
            policy: named.policy.as_ref().map(|(name, revision)| PolicyName { uid: name, version: revision }),
            unmapped: Unmapped {
                decision,
                grant: named.grant.as_deref(),
                agent_chain: claims.map(|claims| claims.agents.as_slice()).unwrap_or_default(),
                binding: "none",
                proxy: stamp.proxy.as_deref(),
                worker: &stamp.worker,
                sequence: stamp.sequence,
                bytes_up: end.bytes_up,
                bytes_down: end.bytes_down,
                credential_ref: named.credential.as_deref(),
            },
        }
    }

    /// The record as one line of JSON.
    pub(crate) fn to_json(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }
}

/// OCSF's activity for a method: Create, Read, Update, Delete, or Other.
fn activity(method: &str) -> u32 {
    match method {
        "POST" => 1,
        "GET" | "HEAD" | "OPTIONS" => 2,
        "PUT" | "PATCH" => 3,
        "DELETE" => 4,
        _ => 99,
    }
}
