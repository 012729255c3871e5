//! One request and its response, with the policy that it began under.

use std::rc::Rc;

use crate::check::{Findings, check};
use crate::denial::Denial;
use crate::edits::{Edits, audit_value};
use crate::keys::VerifySignature;
use crate::policy::{Mode, Policy};
use crate::reason::Reason;
use crate::record::{Outcome, Record, Subject};
use crate::request::{Head, Headers, Request};
use crate::time::Timestamp;
use crate::worker::{Stamp, Worker};

/// Evidence that a request may go upstream. Only this crate makes one.
#[derive(Debug)]
pub struct Permit {
    edits: Edits,
    observed: Option<Reason>,
}

impl Permit {
    /// What to change in the request's header fields before it goes on.
    #[must_use]
    pub fn edits(&self) -> &Edits {
        &self.edits
    }

    /// The denial that was observed and not carried out, if there was one. Such a permit carries no credential.
    #[must_use]
    pub fn observed(&self) -> Option<Reason> {
        self.observed
    }
}

/// What is to be done with a request.
#[derive(Debug)]
#[must_use]
pub enum Decision {
    /// Let it go upstream, with the permit's edits.
    Forward(Permit),
    /// Answer it; nothing of it goes upstream.
    Refuse(Denial),
}

/// One request and its response.
pub struct Exchange {
    policy: Rc<Policy>,
    judged: Option<Judged>,
}

/// What is kept of a judged request for its response and its record.
struct Judged {
    stamp: Stamp,
    findings: Findings,
    outcome: Outcome,
    subject: Subject,
}

impl Exchange {
    /// Begins an exchange under the policy of the moment; a later config change does not change it.
    #[must_use]
    pub fn begin(policy: Rc<Policy>) -> Self {
        Self { policy, judged: None }
    }

    /// Judges the head of the request. Judging a second time is refused: the first answer has been given.
    pub fn request(&mut self, head: &Head<'_>, worker: &mut Worker, now: Timestamp, verifier: &dyn VerifySignature) -> Decision {
        if self.judged.is_some() {
            return Decision::Refuse(self.fail(worker, now));
        }
        let stamp = worker.next_stamp();
        let audit_id = stamp.audit_id.clone();
        let mut findings = Findings::default();
        let result = check(&self.policy, worker, head, now, verifier, &mut findings);
        let observed = match result {
            Ok(()) => findings.observed,
            Err(reason) if self.only_observes(reason) => Some(reason),
            Err(reason) => {
                self.keep(stamp, findings, Outcome::Denied(reason), head, now);
                return Decision::Refuse(self.refuse(reason, head.headers, &audit_id));
            }
        };
        if let (Some(session), Some(ends), None) = (&findings.session, findings.ends, observed) {
            worker.note_live(session, ends, now);
        }
        let edits = self.request_edits(&mut findings, observed, head.headers, &audit_id);
        self.keep(stamp, findings, observed.map_or(Outcome::Allowed, Outcome::Observed), head, now);
        Decision::Forward(Permit { edits, observed })
    }

    /// The proxy failed us (a host call): a denial, in observe too, whatever was decided before.
    pub fn fail(&mut self, worker: &mut Worker, now: Timestamp) -> Denial {
        let denied = Outcome::Denied(Reason::InternalError);
        let judged = match self.judged.take() {
            Some(judged) => Judged { outcome: denied, ..judged },
            None => {
                let subject = Subject::of(&Head { headers: &[], source_address: None }, now);
                Judged { stamp: worker.next_stamp(), findings: Findings::default(), outcome: denied, subject }
            }
        };
        let denial = self.refuse(Reason::InternalError, &[], &judged.stamp.audit_id);
        self.judged = Some(judged);
        denial
    }

    /// What to change in a response's header fields, upstream's or our own.
    #[must_use]
    pub fn response_edits(&self, headers: &Headers<'_>) -> Edits {
        let mut edits = self.trailer_edits(headers);
        if let Some(judged) = &self.judged {
            edits.set(format!("{}audit-id", self.policy.header_prefix()), judged.stamp.audit_id.as_bytes());
        }
        edits
    }

    /// What to change in trailers of either direction: nothing there may wear our prefix.
    #[must_use]
    pub fn trailer_edits(&self, headers: &Headers<'_>) -> Edits {
        let mut edits = Edits::default();
        edits.strip_forged(headers, self.policy.header_prefix());
        edits
    }

    /// The reason that decides the metric: `None` when the request was allowed or never judged.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match self.judged.as_ref()?.outcome {
            Outcome::Allowed => None,
            Outcome::Denied(reason) | Outcome::Observed(reason) => Some(reason),
        }
    }

    /// The audit record; `None` when the request never reached a judgement.
    #[must_use]
    pub fn record(&self, end: &crate::record::End<'_>) -> Option<String> {
        let judged = self.judged.as_ref()?;
        Record::new(self.policy.rules(), &judged.stamp, &judged.findings, judged.outcome, &judged.subject, end).to_json()
    }

    /// In observe every denial is only recorded, except that nothing was judged.
    fn only_observes(&self, reason: Reason) -> bool {
        let observes = self.policy.rules().is_some_and(|rules| rules.mode == Mode::Observe);
        observes && !matches!(reason, Reason::NoPolicy | Reason::InternalError)
    }

    fn refuse(&self, reason: Reason, headers: &Headers<'_>, audit_id: &str) -> Denial {
        Denial::new(reason, self.policy.rules(), self.policy.header_prefix(), audit_id, Request::seems_grpc(headers))
    }

    fn keep(&mut self, stamp: Stamp, findings: Findings, outcome: Outcome, head: &Head<'_>, now: Timestamp) {
        let subject = Subject::of(head, now);
        self.judged = Some(Judged { stamp, findings, outcome, subject });
    }

    /// First what must go, then what is ours. In observe token and body pass untouched.
    fn request_edits(&self, findings: &mut Findings, observed: Option<Reason>, headers: &Headers<'_>, audit_id: &str) -> Edits {
        let mut edits = Edits::default();
        let prefix = self.policy.header_prefix();
        edits.strip_forged(headers, prefix);
        let Some(rules) = self.policy.rules() else { return edits };
        if rules.mode == Mode::Enforce {
            edits.strip_overrides(headers);
            if !rules.forward_token {
                edits.strip_tokens(headers, rules);
            }
            if let (Some(credential), Some(value), None) = (&rules.credential, findings.credential.take(), observed) {
                edits.set(credential.header.clone(), value);
            }
        }
        let mut set = |name: &str, value: &str| edits.set(format!("{prefix}{name}"), audit_value(value));
        if let Some(session) = &findings.session {
            set("session", &session.claims.session);
            set("subject", &session.claims.subject);
            if let Some(agent) = session.claims.agents.first() {
                set("agent", agent);
            }
        }
        if let Some(command) = findings.command.and_then(|command| rules.commands.get(command.0 as usize)) {
            set("command", &command.name);
        }
        set("decision", if observed.is_some() { "observed-deny" } else { "allow" });
        if let Some(reason) = observed {
            set("reason", reason.code());
        }
        if let Some(ends) = findings.ends {
            set("expires-at", &ends.to_string());
        }
        set("audit-id", audit_id);
        set("policy", &rules.label());
        edits
    }
}
