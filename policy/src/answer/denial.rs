//! What a denied client is told: RFC 6750 challenges, RFC 9457 problem details, gRPC status.

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
