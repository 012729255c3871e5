//! What a denied client is told: RFC 6750 challenges, RFC 9457 problem details, gRPC status.

use serde_json::{Value, json};

use crate::commands::mcp::message::{Fault, Faulty, Id};
use crate::commands::mcp::rpc;
use crate::commands::mcp::version::Version;
use crate::decide::calls::Calls;
use crate::decide::check::Findings;
use crate::http::credentials::Scheme;
use crate::primitives::reason::{Challenge, Reason};
use crate::rules::policy::Rules;
use crate::token::keys::Algorithm;

/// A denial: the request goes nowhere, the client gets this answer.
#[derive(Debug)]
pub struct Denial {
    reason: Reason,
    response: Response,
}

/// The answer to a denied request.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Set for gRPC callers: the status of the `grpc-status` trailer.
    pub grpc_status: Option<u32>,
    /// For the proxy's response code details: `chaperone{reason}`.
    pub details: String,
    /// Header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Problem details in JSON, or the message of a gRPC status.
    pub body: String,
}

impl Denial {
    pub(crate) fn new(reason: Reason, rules: Option<&Rules>, prefix: &str, audit_id: &str, grpc: bool) -> Self {
        let mut headers =
            vec![(format!("{prefix}audit-id"), audit_id.to_owned()), ("cache-control".to_owned(), "no-store".to_owned())];
        if let Some(challenge) = challenge(reason, rules) {
            headers.push(("www-authenticate".to_owned(), challenge));
        }
        if reason == Reason::Overloaded {
            headers.push(("retry-after".to_owned(), "1".to_owned()));
        }
        let body = if grpc {
            format!("{}: {}", reason.client_code(), reason.client_title())
        } else {
            headers.push(("content-type".to_owned(), "application/problem+json".to_owned()));
            serde_json::json!({
                "type": format!("urn:chaperone:reason:{}", reason.client_code()),
                "title": reason.client_title(),
                "status": reason.status(),
                "reason": reason.client_code(),
                "audit_id": audit_id,
            })
            .to_string()
        };
        let response = Response {
            status: reason.status(),
            grpc_status: grpc.then(|| reason.grpc_status()),
            details: format!("chaperone{{{}}}", reason.code()),
            headers,
            body,
        };
        Self { reason, response }
    }

    /// Names the command that was denied to an established session, so that a broker can be asked for it: in the challenge as a
    /// scope (RFC 6750 §3), in the body as RFC 9396 details.
    pub(crate) fn naming(mut self, command: Option<&str>) -> Self {
        let Some(command) = command.filter(|_| matches!(self.reason, Reason::CommandNotInToken | Reason::CommandNotGranted))
        else {
            return self;
        };
        if let Some((_, challenge)) = self.response.headers.iter_mut().find(|(name, _)| name == "www-authenticate") {
            challenge.push_str(&format!(", scope=\"{command}\""));
        }
        if self.response.grpc_status.is_none()
            && let Ok(Value::Object(mut body)) = serde_json::from_str(&self.response.body)
        {
            body.insert("command".to_owned(), command.into());
            body.insert("authorization_details".to_owned(), json!([{"type": "chaperone", "actions": [command]}]));
            self.response.body = Value::Object(body).to_string();
        }
        self
    }

    /// Tells the callers of an endpoint in the protocol that they speak: as an error of JSON-RPC, with the id of the request that
    /// is denied. Before version 2026-07-28 with status 200, for clients of those end the whole conversation at another one, that
    /// of a notification included.
    pub(crate) fn told_in_json_rpc(mut self, findings: &Findings) -> Self {
        let (calls, faulty) = (findings.calls.as_deref(), findings.faulty.as_ref());
        let id = match (calls, faulty) {
            (Some(calls), _) => calls.messages.iter().find_map(|called| called.id.as_ref().filter(|_| called.method.is_some())),
            (None, Some(faulty)) => faulty.id.as_ref(),
            (None, None) => return self,
        };
        let is_older = calls.is_some_and(|calls| !calls.version.is_sessionless());
        let mut data: Value = serde_json::from_str(&self.response.body).unwrap_or_default();
        if let Some(data) = data.as_object_mut() {
            ["type", "title", "status"].iter().for_each(|name| drop(data.remove(*name)));
            if let Some(violation) = &findings.violation {
                data.insert("argument".to_owned(), violation.pointer.as_str().into());
                data.insert("rule".to_owned(), violation.rule.as_str().into());
            }
            if let Some(Fault::Version(requested)) = faulty.map(|faulty| &faulty.fault) {
                let known: Vec<_> = Version::WORDS.iter().map(|(name, _)| *name).collect();
                data.insert("supported".to_owned(), json!(known));
                data.insert("requested".to_owned(), requested.as_str().into());
            }
        }
        let (code, message) = match faulty {
            Some(Faulty { fault, .. }) if self.reason == Reason::BodyMalformed => (fault.code(), fault.to_string()),
            // What clients do without, where a server does not have it.
            _ if self.reason == Reason::UnknownCommand && calls.is_some_and(Calls::is_unknown_method) => {
                self.response.status = 404;
                (rpc::METHOD_NOT_FOUND, "method not found".to_owned())
            }
            _ => (rpc::code(self.reason), self.reason.client_title().to_owned()),
        };
        if let Some(calls) = calls.filter(|calls| calls.batch) {
            let ids = calls.messages.iter().filter(|called| called.method.is_some()).filter_map(|called| called.id.as_ref());
            let errors: Vec<String> = ids.map(|id| rpc::error(Some(id.to_json()), code, &message, &data)).collect();
            self.response.body = format!("[{}]", errors.join(","));
        } else {
            self.response.body = rpc::error(id.map(Id::to_json), code, &message, &data);
        }
        let is_message = calls.is_some_and(|calls| calls.messages.iter().any(|called| called.is_message()));
        if is_older && is_message && matches!(self.response.status, 403 | 404) {
            self.response.status = 200;
        }
        if let Some((_, kind)) = self.response.headers.iter_mut().find(|(name, _)| name == "content-type") {
            "application/json".clone_into(kind);
        }
        self
    }

    /// Says in how many seconds it may be tried again, where that is known (RFC 9110 §10.2.3).
    pub(crate) fn retry_after(mut self, seconds: Option<u64>) -> Self {
        self.response.headers.extend(seconds.map(|seconds| ("retry-after".to_owned(), seconds.to_string())));
        self
    }

    /// Returns the precise reason.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Returns the answer for the client.
    #[must_use]
    pub fn response(&self) -> &Response {
        &self.response
    }
}

/// The `www-authenticate` field (RFC 6750 §3), with the resource's metadata (RFC 9728 §5.1) where the policy names it.
fn challenge(reason: Reason, rules: Option<&Rules>) -> Option<String> {
    let rules = rules?;
    // A 401 names a scheme (RFC 9110 §15.5.2), also where the token has a header of its own.
    let proofs = rules.session.bind.wants_proofs();
    let scheme = rules.tokens.sources.iter().find_map(|source| source.scheme).unwrap_or(Scheme::Bearer);
    let scheme = if proofs { Scheme::DPoP } else { scheme }.name();
    let mut parameters = match reason.challenge() {
        Challenge::None => return None,
        Challenge::Bare => Vec::new(),
        Challenge::Error(code) => vec![format!("error=\"{code}\""), format!("error_description=\"{}\"", reason.client_title())],
    };
    if proofs {
        // RFC 9449 §7.1.
        parameters.push(format!("algs=\"{}\"", Algorithm::ALL.map(Algorithm::name).join(" ")));
    }
    if let Some(url) = &rules.tokens.resource_metadata {
        parameters.push(format!("resource_metadata=\"{url}\""));
    }
    if parameters.is_empty() {
        return Some(scheme.to_owned());
    }
    Some(format!("{scheme} {}", parameters.join(", ")))
}
