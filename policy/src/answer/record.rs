//! The audit record: one JSON object in the form of OCSF API Activity (class 6003), schema version 1.6.0.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use crate::commands::mcp::endpoint::NameKind;
use crate::commands::mcp::message::Id;
use crate::decide::admission::Cut;
use crate::decide::answers::Answers;
use crate::decide::check::{Findings, credential_of};
use crate::decide::direct::Mark;
use crate::decide::transfers::TransferRule;
use crate::http::head::{Headers, values};
use crate::primitives::ascii::push_visible;
use crate::primitives::json::Line;
use crate::primitives::reason::Reason;
use crate::primitives::time::Timestamp;
use crate::rules::binding::Bindings;
use crate::rules::policy::Rules;
use crate::state::session::Session;
use crate::state::sessions::Ending;
use crate::state::worker::Stamp;

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
#[derive(Clone, Debug, Default)]
pub(crate) struct Named {
    policy: Option<(Rc<str>, Rc<str>)>,
    pub(crate) command: Option<Rc<str>>,
    grant: Option<Rc<str>>,
    /// How the credential that was given is called.
    pub(crate) credential: Option<Rc<str>>,
    /// And the one that could not be given.
    lacking: Option<Rc<str>>,
    /// Which credential of the target's own was shown; never what.
    direct: Option<Box<str>>,
    /// By what a browser was known, where it is denied for that.
    mark: Option<Mark>,
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
            grant: findings.grant.and_then(|grant| rules.grants.all().get(grant)).map(|grant| Rc::clone(&grant.name)),
            credential: findings.credential.as_ref().filter(|_| given).map(|filled| Rc::clone(&filled.of.reference)),
            lacking: (outcome.reason() == Some(Reason::CredentialUnavailable))
                .then(|| credential_of(rules, findings).ok().flatten())
                .flatten()
                .map(|credential| Rc::clone(&credential.reference)),
            direct: findings.direct.as_ref().map(|direct| direct.name().into()),
            mark: findings.transfer.mark().filter(|_| outcome.reason() == Some(Reason::InteractiveUse)),
        }
    }
}

/// What is kept of a request's head for its record.
#[derive(Debug, Default)]
pub(crate) struct RequestFacts {
    at: Timestamp,
    /// Method, path, address and port, one after the other: one allocation for all of them.
    text: String,
    method_ends: usize,
    path_ends: usize,
    ip_ends: usize,
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

impl RequestFacts {
    pub(crate) fn of(headers: &Headers<'_>, source: Option<&[u8]>, at: Timestamp) -> Self {
        let first = |name| values(headers, name).next().unwrap_or_default();
        Self::of_parts(first(":method"), first(":path"), source, at)
    }

    pub(crate) fn of_parts(method: &[u8], path: &[u8], source: Option<&[u8]>, at: Timestamp) -> Self {
        // Without the query: it may hold secrets, and takes no part in the decision.
        let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
        let mut text = String::with_capacity(96);
        push_visible(&mut text, method);
        let method_ends = text.len();
        push_visible(&mut text, path);
        let path_ends = text.len();
        let (ip, port) = source.and_then(address).unwrap_or_default();
        text.push_str(ip);
        let ip_ends = text.len();
        text.push_str(port);
        Self { at, text, method_ends, path_ends, ip_ends }
    }

    fn method(&self) -> &str {
        self.text.get(..self.method_ends).unwrap_or_default()
    }

    fn path(&self) -> &str {
        self.text.get(self.method_ends..self.path_ends).unwrap_or_default()
    }

    fn ip(&self) -> &str {
        self.text.get(self.path_ends..self.ip_ends).unwrap_or_default()
    }

    /// Digits; empty where it has none.
    fn port(&self) -> &str {
        self.text.get(self.ip_ends..).unwrap_or_default()
    }
}

/// A peer's address and its port, out of the text that the proxy has for both; `None` for what is no address. The text itself, which is
/// quicker than writing both anew.
fn address(text: &[u8]) -> Option<(&str, &str)> {
    let ends = text.iter().rposition(|byte| *byte == b':');
    // As proxies write nearly all of them, and reading them in full would cost more than all else that is done here: digits and dots.
    let number = |port: &[u8]| port.iter().fold(0, |number: u32, digit| number * 10 + u32::from(digit - b'0'));
    if let Some((ip, [b':', port @ ..])) = ends.and_then(|at| text.split_at_checked(at))
        && matches!(port, [b'1'..=b'9', ..] if port.len() <= 5 && port.iter().all(u8::is_ascii_digit) && number(port) <= 65535)
        && !ip.is_empty()
        && ip.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
    {
        return Some((std::str::from_utf8(ip).ok()?, std::str::from_utf8(port).ok()?));
    }
    let text = std::str::from_utf8(text).ok()?;
    if text.parse::<SocketAddr>().is_ok() {
        let (ip, port) = text.rsplit_once(':')?;
        let significant = port.trim_start_matches('0');
        return Some((ip.trim_start_matches('[').trim_end_matches(']'), if significant.is_empty() { "0" } else { significant }));
    }
    text.parse::<IpAddr>().is_ok().then_some((text, ""))
}

/// The parts of a record that do not change while the same is decided for the same head.
#[derive(Debug)]
pub(crate) struct Written {
    class: Box<str>,
    judged: Box<str>,
    policy: Box<str>,
    rest: Box<str>,
}

impl Written {
    /// The record as one line of JSON.
    pub(crate) fn to_json(&self, stamp: &Stamp, facts: &RequestFacts, end: &End) -> String {
        write(
            stamp,
            facts,
            end,
            |line| line.raw(&self.class),
            |line| line.raw(&self.judged),
            |line| line.raw(&self.policy),
            |line| line.raw(&self.rest),
        )
    }
}

/// A record: what each request has of its own, and between that what does not change.
fn write(
    stamp: &Stamp,
    facts: &RequestFacts,
    end: &End,
    class: impl FnOnce(&mut Line),
    judged: impl FnOnce(&mut Line),
    policy: impl FnOnce(&mut Line),
    rest: impl FnOnce(&mut Line),
) -> String {
    let mut line = Line(String::with_capacity(1536));
    line.member(r#"{"metadata":{"uid":"#, stamp.audit_id.as_str());
    class(&mut line);
    line.number(r#","time":"#, facts.at.millis());
    judged(&mut line);
    line.member(r#","url":{"path":"#, facts.path());
    line.raw("}}");
    if let Some(code) = end.response_code {
        line.number(r#","http_response":{"code":"#, code.into());
        line.raw("}");
    }
    line.raw(r#","src_endpoint":{"#);
    if !facts.ip().is_empty() {
        line.member(r#""ip":"#, facts.ip());
        if !facts.port().is_empty() {
            line.raw(r#","port":"#);
            line.raw(facts.port());
        }
    }
    line.raw("}");
    policy(&mut line);
    line.number(r#","sequence":"#, stamp.sequence);
    for (name, bytes) in [(r#","bytes_up":"#, end.bytes_up), (r#","bytes_down":"#, end.bytes_down)] {
        if let Some(bytes) = bytes {
            line.number(name, bytes);
        }
    }
    rest(&mut line);
    line.0
}

/// Everything that a record is made of.
#[derive(Debug)]
pub(crate) struct Record<'r> {
    pub(crate) stamp: &'r Stamp,
    pub(crate) session: Option<&'r Session>,
    /// What held of what its token is bound to.
    pub(crate) bound: Bindings,
    /// When the session ends, in Unix seconds.
    pub(crate) ends: Option<u64>,
    pub(crate) named: &'r Named,
    pub(crate) outcome: Outcome,
    /// What was allowed and then cut.
    pub(crate) cut: Option<&'r Cut>,
    /// What this request has ended its session for.
    pub(crate) ended_now: Option<Ending>,
    /// The rule of `transfers` that it broke, where it was denied or observed for that.
    pub(crate) transfer: Option<TransferRule>,
    /// Fields of the response that had the credential.
    pub(crate) echoed: &'r [Box<str>],
    /// What was asked for in a body, and what its answer was.
    pub(crate) answers: Option<&'r Answers>,
    pub(crate) facts: &'r RequestFacts,
    pub(crate) end: &'r End,
}

impl Record<'_> {
    /// The record as one line of JSON.
    pub(crate) fn to_json(&self) -> String {
        write(
            self.stamp,
            self.facts,
            self.end,
            |line| self.push_class(line),
            |line| self.push_judged(line),
            |line| self.push_policy(line),
            |line| self.push_rest(line),
        )
    }

    /// What of it will be the same for the same request.
    pub(crate) fn written(&self) -> Written {
        let part = |push: fn(&Self, &mut Line)| {
            let mut line = Line(String::new());
            push(self, &mut line);
            line.0.into()
        };
        Written {
            class: part(Self::push_class),
            judged: part(Self::push_judged),
            policy: part(Self::push_policy),
            rest: part(Self::push_rest),
        }
    }

    fn push_class(&self, line: &mut Line) {
        const PRODUCT: &str = concat!(
            r#","version":"1.6.0","product":{"name":"Chaperone","vendor_name":"Chaperone","version":""#,
            env!("CARGO_PKG_VERSION"),
            r#""},"profiles":["security_control"]},"category_uid":6,"class_uid":6003"#
        );
        const CLASS: u64 = 6003;
        let activity = activity(self.facts.method());
        line.raw(PRODUCT);
        line.number(r#","type_uid":"#, CLASS * 100 + activity);
        line.number(r#","activity_id":"#, activity);
    }

    /// Severity, members of the verdict, the code and the decision's word.
    fn verdict(&self) -> (u64, &'static str, &'static str, &'static str) {
        // Action, disposition and status: Allowed/Denied/Observed; Allowed/Blocked/Logged; Success/Failure.
        match self.outcome {
            // Allowed, and yet Failure: what began was not let end.
            Outcome::Allowed if let Some(cut) = self.cut => {
                (3, r#","action_id":1,"disposition_id":1,"status_id":2,"status_code":"#, cut.reason.code(), "allow")
            }
            Outcome::Allowed => (1, r#","action_id":1,"disposition_id":1,"status_id":1,"status_code":"#, "allowed", "allow"),
            Outcome::Denied(reason) => {
                (3, r#","action_id":2,"disposition_id":2,"status_id":2,"status_code":"#, reason.code(), "deny")
            }
            Outcome::Observed(reason) => {
                (2, r#","action_id":3,"disposition_id":17,"status_id":1,"status_code":"#, reason.code(), "observed-deny")
            }
        }
    }

    fn push_judged(&self, line: &mut Line) {
        let Self { session, ends, named, cut, transfer, echoed, facts, .. } = self;
        let (severity, judged, code, _) = self.verdict();
        // High: a target that shows its credential to this caller may have shown it to others before.
        let came_back = !echoed.is_empty() || code == Reason::CredentialEchoed.code();
        line.number(r#","severity_id":"#, if came_back { 4 } else { severity });
        line.member(judged, code);
        let revoked = session.and_then(|session| session.because());
        let carried = transfer.filter(|_| code == Reason::TransferNotAllowed.code()).map(TransferRule::name);
        let because = revoked.or(carried).or(named.lacking.as_deref());
        if let Some(because) = cut.map_or(because, |cut| cut.because.as_deref()) {
            line.member(r#","status_detail":"#, because);
        }
        match session {
            Some(session) => {
                line.raw(r#","actor":{"#);
                line.raw(&session.actor.actor);
                let ends = ends.unwrap_or(session.claims.expires);
                line.number("", Timestamp::from_seconds(ends).millis());
                line.raw("}}");
            }
            // OCSF's 0: nobody was verified.
            None => line.raw(r#","actor":{"user":{"type_id":0}}"#),
        }
        line.member(r#","api":{"operation":"#, named.command.as_deref().unwrap_or("unknown"));
        line.member(r#"},"http_request":{"http_method":"#, facts.method());
    }

    fn push_policy(&self, line: &mut Line) {
        let Self { stamp, session, bound, named, .. } = self;
        if let Some((name, revision)) = &named.policy {
            line.member(r#","policy":{"uid":"#, name);
            line.member(r#","version":"#, revision);
            line.raw("}");
        }
        line.raw(r#","unmapped":{"#);
        if let Some(session) = session {
            line.raw(&session.actor.agents);
        }
        line.member(r#""decision":"#, self.verdict().3);
        if let Some(grant) = &named.grant {
            line.member(r#","grant":"#, grant);
        }
        line.raw(r#","binding":""#);
        bound.push_to(&mut line.0);
        line.raw("\"");
        if let Some(proxy) = &stamp.identity.proxy {
            line.member(r#","proxy":"#, proxy);
        }
        line.member(r#","worker":"#, stamp.identity.worker.as_str());
    }

    fn push_rest(&self, line: &mut Line) {
        let Self { named, echoed, answers, ended_now, cut, .. } = self;
        if let Some(credential) = &named.credential {
            line.member(r#","credential_ref":"#, credential);
        }
        if let Some(kind) = &named.direct {
            line.member(r#","direct_credential":"#, kind);
        }
        if let Some(mark) = named.mark {
            line.member(r#","browser_mark":"#, mark.name());
        }
        for (index, name) in echoed.iter().enumerate() {
            line.member(if index == 0 { r#","credential_echoed":["# } else { "," }, name);
        }
        if !echoed.is_empty() {
            line.raw("]");
        }
        if let Some(answers) = answers {
            push_calls(answers, line);
        }
        if let Some(ending) = ended_now.or(cut.and_then(|cut| cut.ended_now)) {
            line.member(r#","ends_session":"#, ending.name());
        }
        if let Some(Cut { reason, because: _, policy, ended_now: _ }) = cut {
            line.member(r#","ended_by":"#, reason.code());
            if let Some(policy) = policy {
                line.member(r#","ended_under":"#, policy);
            }
        }
        line.raw("}}");
    }
}

/// What was asked for in a body: names, and a digest of the arguments; never the arguments.
fn push_calls(answers: &Answers, line: &mut Line) {
    let calls = &answers.calls;
    line.member(r#","mcp":{"version":"#, calls.version.name());
    line.raw(r#","messages":["#);
    for (index, called) in calls.messages.iter().enumerate() {
        line.raw(if index == 0 { "{" } else { ",{" });
        line.member(r#""id":"#, called.id.as_ref().map_or("none", Id::kind));
        if let Some(method) = &called.method {
            line.member(r#","method":"#, method);
        }
        if let Some((kind, name)) = &called.target {
            let kind = match kind {
                NameKind::Tool => r#","tool":"#,
                NameKind::Prompt => r#","prompt":"#,
                NameKind::Resource | NameKind::Method => r#","resource":"#,
            };
            let mut shown = String::new();
            push_visible(&mut shown, name.as_bytes());
            line.member(kind, &shown);
        }
        if let Some(digest) = called.arguments_digest() {
            line.member(r#","arguments_sha256":"#, &digest.to_string());
        }
        line.raw("}");
    }
    line.raw("]");
    let withheld = &answers.withheld;
    if withheld.count > 0 {
        line.number(r#","withheld":"#, withheld.count as u64);
        line.raw(r#","withheld_names":["#);
        for (index, name) in withheld.names.iter().enumerate() {
            line.member(if index == 0 { "" } else { "," }, name);
        }
        line.raw("]");
    }
    line.raw("}");
}

/// OCSF's activity for a method: Create, Read, Update, Delete, or Other.
fn activity(method: &str) -> u64 {
    match method {
        "POST" => 1,
        "GET" | "HEAD" | "OPTIONS" => 2,
        "PUT" | "PATCH" => 3,
        "DELETE" => 4,
        _ => 99,
    }
}
