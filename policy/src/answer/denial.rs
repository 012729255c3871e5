//! What a denied client is told: RFC 6750 challenges, and in the form that it speaks RFC 9457 problem details, a gRPC status, or an
//! error of Connect.

use std::cell::Cell;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::commands::mcp::message::{Fault, Faulty, Id};
use crate::commands::mcp::rpc;
use crate::commands::mcp::version::Version;
use crate::decide::asked::Asked;
use crate::decide::calls::Calls;
use crate::decide::check::Findings;
use crate::http::credentials::Scheme;
use crate::http::rpc::Rpc;
use crate::primitives::json::Line;
use crate::primitives::limits;
use crate::primitives::reason::{Challenge, Reason};
use crate::rules::policy::Rules;
use crate::token::claims::ARGUMENTS;
use crate::token::keys::Algorithm;

/// A denial: the request goes nowhere, the client gets this answer.
#[derive(Debug)]
pub struct Denial {
    reason: Reason,
    response: Response,
    /// Where its answer goes back to, to be given again.
    lent: Option<Rc<Template>>,
}

impl Drop for Denial {
    fn drop(&mut self) {
        if let Some(template) = self.lent.take() {
            template.response.set(Some(std::mem::take(&mut self.response)));
        }
    }
}

/// The answer to the very same request, but for its audit id.
pub(crate) struct Template {
    pub(crate) reason: Reason,
    /// Away while a denial has it.
    response: Cell<Option<Response>>,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl Template {
    /// The denial, with the audit id of the one before; `None` while another one has it.
    pub(crate) fn take(self: &Rc<Self>) -> Option<Denial> {
        let response = self.response.take()?;
        Some(Denial { reason: self.reason, response, lent: Some(Rc::clone(self)) })
    }
}

impl Response {
    /// Where an audit id of this length stands in problem details; `None` for any other body.
    fn place(&self, length: usize) -> Option<Range<usize>> {
        let at = PROBLEM.len() + 1;
        let place = at..at.checked_add(length)?;
        (self.body.starts_with(PROBLEM.as_bytes()) && place.end < self.body.len()).then_some(place)
    }
}

/// The answer to a denied request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Set for gRPC callers: the status of the `grpc-status` trailer.
    pub grpc_status: Option<u32>,
    /// For the proxy's response code details: `chaperone{reason}`.
    pub details: String,
    /// Header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Problem details in JSON, the message of a gRPC status, or what another form of calls has in their place.
    pub body: Vec<u8>,
}

impl Denial {
    pub(crate) fn new(reason: Reason, rules: Option<&Rules>, prefix: &str, audit_id: &str, spoken: Option<Rpc>) -> Self {
        Self::naming(None, reason, rules, prefix, audit_id, spoken)
    }

    /// Names the command that was denied to an established session, so that a broker can be asked for it: in the challenge as a
    /// scope (RFC 6750 §3), in the body as RFC 9396 details, there with the arguments that it was denied for.
    pub(crate) fn naming(
        missing: Option<&Asked>,
        reason: Reason,
        rules: Option<&Rules>,
        prefix: &str,
        audit_id: &str,
        spoken: Option<Rpc>,
    ) -> Self {
        let missing = missing.filter(|_| matches!(reason, Reason::CommandNotInToken | Reason::CommandNotGranted));
        let mut headers = Vec::with_capacity(6);
        headers.push(([prefix, AUDIT_ID].concat(), audit_id.to_owned()));
        headers.push(("cache-control".to_owned(), "no-store".to_owned()));
        if let Some(mut challenge) = challenge(reason, rules) {
            if let Some(Asked { command, .. }) = missing {
                [", scope=\"", command, "\""].iter().for_each(|part| challenge.push_str(part));
            }
            headers.push(("www-authenticate".to_owned(), challenge));
        }
        if reason == Reason::Overloaded {
            headers.push(("retry-after".to_owned(), "1".to_owned()));
        }
        let Told { status, grpc_status, kind, body } = match spoken {
            Some(rpc) => Told::to(rpc, reason),
            None => Told::problem(reason, audit_id, missing),
        };
        headers.extend(kind.map(|kind| ("content-type".to_owned(), kind.to_owned())));
        let details = ["chaperone{", reason.code(), "}"].concat();
        let response = Response { status, grpc_status, details, headers, body };
        Self { reason, response, lent: None }
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
        let mut data: Value = serde_json::from_slice(&self.response.body).unwrap_or_default();
        if let Some(data) = data.as_object_mut() {
            ["type", "title", "status"].iter().for_each(|name| drop(data.remove(*name)));
            if let Some(violation) = &findings.violation {
                // The caller's own words, of any length, once for each message of a batch.
                let argument: String = violation.pointer.chars().take(limits::IDENTIFIER_BYTES).collect();
                data.insert("argument".to_owned(), argument.into());
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
            self.response.body = format!("[{}]", errors.join(",")).into();
        } else {
            self.response.body = rpc::error(id.map(Id::to_json), code, &message, &data).into();
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

    /// Tells the caller of what had been let through. One of gRPC-Web in base64 among the header fields, with no body ("Trailers-Only"):
    /// where the proxy's own filter for gRPC-Web stands behind, it has seen the request, and makes of a body in base64 the message of a
    /// status `UNKNOWN`. Elsewhere Envoy takes the content type off such an answer: what speaks in base64 does not ask for it.
    pub(crate) fn of_what_was_sent(mut self, spoken: Option<Rpc>) -> Self {
        if let Some(Rpc::GrpcWebText(_)) = spoken {
            let fields = [("grpc-status", self.reason.grpc_status().to_string()), ("grpc-message", message(self.reason))];
            self.response.headers.extend(fields.map(|(name, value)| (name.to_owned(), value)));
            self.response.body.clear();
        }
        self
    }

    /// Says in how many seconds it may be tried again, where that is known (RFC 9110 §10.2.3).
    pub(crate) fn retry_after(mut self, seconds: Option<u64>) -> Self {
        self.response.headers.extend(seconds.map(|seconds| ("retry-after".to_owned(), seconds.to_string())));
        self
    }

    /// What the very same request can be answered with: `None` unless it is problem details with this audit id.
    pub(crate) fn template(&self, audit_id: &str) -> Option<Template> {
        let (name, field) = self.response.headers.first()?;
        let place = self.response.place(audit_id.len())?;
        let is_there =
            name.ends_with(AUDIT_ID) && field == audit_id && self.response.body.get(place) == Some(audit_id.as_bytes());
        is_there.then(|| Template { reason: self.reason, response: Cell::new(Some(self.response.clone())) })
    }

    /// Makes it that of another exchange: its audit id in the places where there is one, in the head and in problem details.
    pub(crate) fn identify(&mut self, audit_id: &str) {
        let place = self.response.place(audit_id.len());
        if let (Some((_, field)), Some(place)) = (self.response.headers.first_mut(), place)
            && let Some(place) = self.response.body.get_mut(place)
        {
            place.copy_from_slice(audit_id.as_bytes());
            field.clear();
            field.push_str(audit_id);
        }
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

/// A denial in one form.
struct Told {
    status: u16,
    grpc_status: Option<u32>,
    /// Its content type, where the proxy does not set that.
    kind: Option<&'static str>,
    body: Vec<u8>,
}

impl Told {
    /// RFC 9457.
    fn problem(reason: Reason, audit_id: &str, missing: Option<&Asked>) -> Self {
        let body = problem(reason, audit_id, missing);
        Self { status: reason.status(), grpc_status: None, kind: Some("application/problem+json"), body }
    }

    fn to(rpc: Rpc, reason: Reason) -> Self {
        let message = message(reason);
        // What is in the body has the status 200: clients look no further at another one.
        let in_body = |kind, body| Self { status: 200, grpc_status: None, kind: Some(kind), body };
        match rpc {
            // The proxy makes trailers of these.
            Rpc::Grpc => {
                Self { status: reason.status(), grpc_status: Some(reason.grpc_status()), kind: None, body: message.into() }
            }
            Rpc::GrpcWeb(kind) => in_body(kind, web_trailers(reason, &message)),
            Rpc::GrpcWebText(kind) => in_body(kind, STANDARD.encode(web_trailers(reason, &message)).into()),
            // "Errors are sent with a non-200 HTTP-Status. In those cases, Unary-Content-Type must be application/json."
            Rpc::ConnectUnary | Rpc::ConnectGet => {
                let (status, code) = connect_error(reason);
                let body = json!({"code": code, "message": message}).to_string().into();
                Self { status, grpc_status: None, kind: Some("application/json"), body }
            }
            // "Streaming responses always have an HTTP status of 200 OK", and the error is in the EndStreamResponse.
            Rpc::ConnectStream(kind) => {
                let end = json!({"error": {"code": connect_error(reason).1, "message": message}});
                in_body(kind, frame(END_STREAM, end.to_string().as_bytes()))
            }
        }
    }
}

/// The name of the audit id's field, after the prefix.
const AUDIT_ID: &str = "audit-id";

/// How problem details begin.
const PROBLEM: &str = r#"{"audit_id":"#;

/// Problem details (RFC 9457); `missing`: a command and the digest of its arguments, to be asked for.
fn problem(reason: Reason, audit_id: &str, missing: Option<&Asked>) -> Vec<u8> {
    let mut line = Line(String::with_capacity(384));
    line.member(PROBLEM, audit_id);
    if let Some(Asked { command, arguments }) = missing {
        line.member(r#","authorization_details":[{"actions":["#, command);
        line.raw("]");
        if let Some(arguments) = arguments {
            line.member(",", ARGUMENTS);
            line.member(":", &arguments.to_string());
        }
        line.member(r#","type":"chaperone"}],"command":"#, command);
    }
    line.member(r#","reason":"#, reason.client_code());
    line.number(r#","status":"#, reason.status().into());
    line.member(r#","title":"#, reason.client_title());
    line.raw(r#","type":"urn:chaperone:reason:"#);
    line.raw(reason.client_code());
    line.raw(r#""}"#);
    line.0.into()
}

/// What a client that looks for no more than a text is told.
fn message(reason: Reason) -> String {
    format!("{}: {}", reason.client_code(), reason.client_title())
}

/// The flag of a frame of trailers: the most significant bit of the first byte (gRPC-Web, "Message framing").
const TRAILERS: u8 = 0x80;

/// That of an EndStreamResponse: the second least significant one (Connect, "Streaming-Request").
const END_STREAM: u8 = 0x02;

/// A length-prefixed message (gRPC over HTTP2, "Length-Prefixed-Message"; Connect, "Enveloped-Message").
fn frame(flags: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[flags], &length[..], message].concat()
}

/// "Key-value pairs encoded as a HTTP/1 headers block (without the terminating newline)", in the body and not among the header
/// fields: of an answer without a body Envoy takes the content type off, and clients ask for it.
fn web_trailers(reason: Reason, message: &str) -> Vec<u8> {
    frame(TRAILERS, format!("grpc-status: {}\r\ngrpc-message: {message}\r\n", reason.grpc_status()).as_bytes())
}

/// HTTP status and code of an error (Connect, "Error Codes").
fn connect_error(reason: Reason) -> (u16, &'static str) {
    match reason.grpc_status() {
        3 => (400, "invalid_argument"),
        16 => (401, "unauthenticated"),
        7 => (403, "permission_denied"),
        _ => (503, "unavailable"),
    }
}

/// The `www-authenticate` field (RFC 6750 §3), with the resource's metadata (RFC 9728 §5.1) where the policy names it.
fn challenge(reason: Reason, rules: Option<&Rules>) -> Option<String> {
    let rules = rules?;
    // A 401 names a scheme (RFC 9110 §15.5.2), also where the token has a header of its own.
    let proofs = rules.session.bind.wants_proofs();
    let scheme = rules.tokens.sources.iter().find_map(|source| source.scheme).unwrap_or(Scheme::Bearer);
    let scheme = if proofs { Scheme::DPoP } else { scheme }.name();
    let mut challenge = String::with_capacity(160);
    challenge.push_str(scheme);
    let mut parameter = |name: &str, value: &str| {
        let between = if challenge.len() == scheme.len() { " " } else { ", " };
        [between, name, "=\"", value, "\""].iter().for_each(|part| challenge.push_str(part));
    };
    match reason.challenge() {
        Challenge::None => return None,
        Challenge::Bare => {}
        Challenge::Error(code) => {
            parameter("error", code);
            parameter("error_description", reason.client_title());
        }
    }
    if proofs {
        // RFC 9449 §7.1.
        parameter("algs", &Algorithm::ALL.map(Algorithm::name).join(" "));
    }
    if let Some(url) = &rules.tokens.resource_metadata {
        parameter("resource_metadata", url);
    }
    Some(challenge)
}
