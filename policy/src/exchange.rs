//! One request and its response, with the policy that it began under.

use std::rc::Rc;

use crate::authenticate::{Authenticated, Session};
use crate::binding::{Bindings, PeerWanted};
use crate::check::{Findings, check};
use crate::credential::Filled;
use crate::denial::Denial;
use crate::echo::{Bodies, Carried, Watch};
use crate::edits::{Edits, Strip};
use crate::keys::VerifySignature;
use crate::policy::Policy;
use crate::reason::Reason;
use crate::record::{End, Named, Outcome, Record, Subject};
use crate::request::{Head, Headers, Request};
use crate::sessions::Ending;
use crate::standing::{Cut, Standing};
use crate::time::Timestamp;
use crate::trace::{Explanation, Trace};
use crate::worker::{Stamp, Worker};

mod echoed;

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

/// One request and its response. The policy is let go of as soon as the request is judged: a stream may stay open through
/// many config changes, each of which judges it anew, and must not keep their policies in memory.
pub struct Exchange {
    stage: Stage,
    strip: Rc<Strip>,
}

enum Stage {
    Begun(Rc<Policy>),
    Judged(Box<Judged>),
}

/// What is kept of a judged request for its response and its record.
struct Judged {
    stamp: Stamp,
    session: Option<Rc<Session>>,
    bound: Bindings,
    ends: Option<u64>,
    named: Named,
    outcome: Outcome,
    subject: Subject,
    /// Of what was let through.
    standing: Option<Standing>,
    cut: Option<Cut>,
    ended_now: Option<Ending>,
    /// What it was given that must not come back.
    watch: Option<Watch>,
}

impl Exchange {
    /// Begins an exchange under the policy of the moment.
    #[must_use]
    pub fn begin(policy: Rc<Policy>) -> Self {
        let strip = policy.strip();
        Self { stage: Stage::Begun(policy), strip }
    }

    /// What of the peer's certificate [`Head::peer`] needs, for the policy to judge the request.
    #[must_use]
    pub fn peer_wanted(&self) -> PeerWanted {
        match &self.stage {
            Stage::Begun(policy) => policy.rules().map(|rules| rules.peer_wanted()).unwrap_or_default(),
            Stage::Judged(_) => PeerWanted::default(),
        }
    }

    /// Judges the head of the request. Judging a second time is refused: the first answer has been given.
    pub fn request(&mut self, head: &Head<'_>, worker: &mut Worker, now: Timestamp, verifier: &dyn VerifySignature) -> Decision {
        self.judge(head, worker, now, verifier, &mut ())
    }

    /// As [`Exchange::request`], and what each check saw. With a worker that has seen the token before, the checks up to its
    /// claims are not made again, and not seen.
    pub fn explain(
        &mut self,
        head: &Head<'_>,
        worker: &mut Worker,
        now: Timestamp,
        verifier: &dyn VerifySignature,
    ) -> (Decision, Explanation) {
        let mut explanation = Explanation::default();
        if let Stage::Begun(policy) = &self.stage
            && let Some(rules) = policy.rules()
        {
            // Until it is known whose session it is.
            explanation.grants = rules.grants.all().iter().map(|grant| grant.seen(rules, None)).collect();
        }
        let decision = self.judge(head, worker, now, verifier, &mut explanation);
        (decision, explanation)
    }

    fn judge(
        &mut self,
        head: &Head<'_>,
        worker: &mut Worker,
        now: Timestamp,
        verifier: &dyn VerifySignature,
        trace: &mut impl Trace,
    ) -> Decision {
        let policy = match &self.stage {
            Stage::Begun(policy) => Rc::clone(policy),
            Stage::Judged(_) => return Decision::Refuse(self.fail(worker, now)),
        };
        let stamp = worker.next_stamp();
        let audit_id = stamp.audit_id;
        let audit_id = audit_id.as_str();
        let mut findings = Findings::default();
        let enforced = policy.rules().filter(|rules| rules.enforces());
        let credential = enforced.and_then(|rules| rules.credential.as_ref());
        let carried = credential.and_then(|credential| Carried::find(head.headers, credential, worker.environment()));
        // Nothing is decided by what is ours.
        let asked = match &carried {
            Some(carried) => Head { headers: &carried.kept, ..*head },
            None => *head,
        };
        let mut result = check(&policy, worker, &asked, now, verifier, &mut findings, trace);
        let in_target = carried.as_ref().filter(|carried| !carried.in_target.is_empty());
        if result.is_ok() && in_target.is_some() {
            result = Err(Reason::CredentialEchoed);
        }
        count_denial(&policy, worker, result, &mut findings);
        let outcome = match (result, findings.observed) {
            (Ok(()), None) => Outcome::Allowed,
            (Ok(()), Some(reason)) => Outcome::Observed(reason),
            (Err(reason), _) if only_observes(&policy, reason) => Outcome::Observed(reason),
            (Err(reason), _) => Outcome::Denied(reason),
        };
        let named = Named::of(policy.rules(), &findings, outcome);
        let subject = match in_target {
            Some(carried) => Subject::of(&Head { headers: &carried.shown(), ..*head }, now),
            None => Subject::of(head, now),
        };
        let mut standing = None;
        let mut watch = None;
        let decision = match outcome {
            Outcome::Denied(reason) => {
                let grpc = Request::seems_grpc(head.headers);
                Decision::Refuse(Denial::new(reason, policy.rules(), self.strip.prefix(), audit_id, grpc))
            }
            Outcome::Allowed | Outcome::Observed(_) => {
                let observed = outcome.reason();
                if let (Some(authenticated), Some(ends), None) = (&findings.authenticated, findings.ends, observed) {
                    worker.note_live(&authenticated.session, ends, now);
                }
                standing = Some(Standing::of(&policy, &worker.sources, &mut findings, observed, named.command.clone()));
                let given = findings.credential.take().filter(|_| observed.is_none() && enforced.is_some());
                let taken = carried.map(|carried| carried.taken).unwrap_or_default();
                let edits = self.request_edits(&policy, &findings, given.as_ref(), &taken, observed, head.headers, audit_id);
                watch = given.zip(enforced).map(|(given, rules)| Watch::new(given, rules.echoes));
                Decision::Forward(Permit { edits, observed })
            }
        };
        let Findings { authenticated, bound, ends, ended_now, .. } = findings;
        let session = authenticated.map(|authenticated| authenticated.session);
        let judged = Judged { stamp, session, bound, ends, named, outcome, subject, standing, cut: None, ended_now, watch };
        self.stage = Stage::Judged(Box::new(judged));
        decision
    }

    /// May what was let through still go on, under the newest policy of its plugin? If not, its stream is to be cut, and stays
    /// cut; `None` as long as it may, and for what was never let through. `moved`: because a piece of it has just come, which
    /// is use of its session.
    #[must_use]
    pub fn recheck(&mut self, newest: &Rc<Policy>, worker: &mut Worker, now: Timestamp, moved: bool) -> Option<Reason> {
        let Stage::Judged(judged) = &mut self.stage else { return None };
        if judged.cut.is_none() {
            let latest = worker.latest(now);
            judged.cut = judged.standing.as_mut()?.again(newest, worker, latest, moved).err();
        }
        judged.cut.as_ref().map(|cut| cut.reason)
    }

    /// What to answer for a stream that is cut ([`Exchange::recheck`]) before its response has begun.
    #[must_use]
    pub fn answer_of_cut(&self, newest: &Policy) -> Option<Denial> {
        let Stage::Judged(judged) = &self.stage else { return None };
        let reason = judged.cut.as_ref()?.reason;
        Some(Denial::new(reason, newest.rules(), self.strip.prefix(), judged.stamp.audit_id.as_str(), false))
    }

    /// Has a newer policy of its plugin come between, by which what was just let through is denied? A proxy may go on for a
    /// moment with the policy before, and what the newer one would cut at once is better denied.
    #[must_use]
    pub fn overtaken(
        &mut self,
        newest: &Rc<Policy>,
        headers: &Headers<'_>,
        worker: &mut Worker,
        now: Timestamp,
    ) -> Option<Denial> {
        let Stage::Judged(judged) = &mut self.stage else { return None };
        let latest = worker.latest(now);
        let cut =
            judged.standing.as_mut().filter(|standing| !standing.is_by(newest))?.again(newest, worker, latest, false).err()?;
        let audit_id = judged.stamp.audit_id;
        let denial =
            Denial::new(cut.reason, newest.rules(), self.strip.prefix(), audit_id.as_str(), Request::seems_grpc(headers));
        judged.outcome = Outcome::Denied(cut.reason);
        judged.named.credential = None;
        judged.standing = None;
        judged.watch = None;
        judged.cut = Some(cut);
        Some(denial)
    }

    /// Request and response have gone their way, though the caller may not have read it all: its place among what is under way is
    /// free for another.
    pub fn release_place(&mut self) {
        if let Stage::Judged(judged) = &mut self.stage
            && let Some(standing) = &mut judged.standing
        {
            standing.leave();
        }
    }

    /// The proxy failed us in the middle of an open stream, so that nothing can be said of it: it is to be cut, as by
    /// [`Exchange::recheck`].
    #[must_use]
    pub fn interrupt(&mut self) -> Option<Reason> {
        self.cut_for(Reason::InternalError, None)
    }

    /// No configuration reaches the stream's VM any more, and the newest policy cannot be asked: it is to be cut, as by
    /// [`Exchange::recheck`].
    #[must_use]
    pub fn abandon(&mut self) -> Option<Reason> {
        self.cut_for(
            Reason::NoPolicy,
            Some("no configuration reaches this stream any more: another stands in the place of its own"),
        )
    }

    fn cut_for(&mut self, reason: Reason, because: Option<&str>) -> Option<Reason> {
        let Stage::Judged(judged) = &mut self.stage else { return None };
        judged.standing.as_ref()?;
        let because = because.map(str::to_owned);
        Some(judged.cut.get_or_insert(Cut { because, ..Cut::of(reason) }).reason)
    }

    /// The proxy failed us (a host call): a denial, in observe too, whatever was decided before.
    pub fn fail(&mut self, worker: &mut Worker, now: Timestamp) -> Denial {
        self.deny(Reason::InternalError, worker, now)
    }

    /// The VM has no room for another stream: a denial, in observe too.
    pub fn overload(&mut self, worker: &mut Worker, now: Timestamp) -> Denial {
        self.deny(Reason::Overloaded, worker, now)
    }

    fn deny(&mut self, reason: Reason, worker: &mut Worker, now: Timestamp) -> Denial {
        let denied = Outcome::Denied(reason);
        if let Stage::Begun(policy) = &self.stage {
            let findings = Findings::default();
            let named = Named::of(policy.rules(), &findings, denied);
            let subject = Subject::of(&Head::default(), now);
            let stamp = worker.next_stamp();
            let judged = Judged {
                stamp,
                session: None,
                bound: Bindings::default(),
                ends: None,
                named,
                outcome: denied,
                subject,
                standing: None,
                cut: None,
                ended_now: None,
                watch: None,
            };
            self.stage = Stage::Judged(Box::new(judged));
        }
        let mut audit_id = "";
        if let Stage::Judged(judged) = &mut self.stage {
            judged.outcome = denied;
            judged.named.credential = None;
            judged.standing = None;
            judged.watch = None;
            audit_id = judged.stamp.audit_id.as_str();
        }
        Denial::new(reason, None, self.strip.prefix(), audit_id, false)
    }

    /// What to change in a response's header fields, upstream's or our own.
    #[must_use]
    pub fn response_edits(&mut self, headers: &Headers<'_>) -> Edits {
        let mut edits = self.response_trailer_edits(headers);
        if let Stage::Judged(judged) = &self.stage {
            edits.put_audit(self.strip.prefix(), "audit-id", judged.stamp.audit_id.as_str());
        }
        edits
    }

    /// What to change in the trailers of a response: nothing there may wear our prefix, or show the credential.
    #[must_use]
    pub fn response_trailer_edits(&mut self, headers: &Headers<'_>) -> Edits {
        let mut edits = Edits::default();
        edits.strip_forged(headers, self.strip.prefix());
        if let Some(watch) = self.watch() {
            watch.strip(headers, &mut edits);
        }
        edits
    }

    /// What to change in the trailers of a request: some servers read them as header fields, so nothing may stand there that
    /// was taken off or set among these.
    #[must_use]
    pub fn request_trailer_edits(&self, headers: &Headers<'_>) -> Edits {
        let mut edits = Edits::default();
        edits.strip_forged(headers, self.strip.prefix());
        edits.strip_trailers(headers, &self.strip);
        edits
    }

    /// The reason that decides the metric: `None` when the request was allowed or never judged.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match &self.stage {
            Stage::Begun(_) => None,
            Stage::Judged(judged) => judged.outcome.reason(),
        }
    }

    /// The audit record; `None` when the request never reached a judgement.
    #[must_use]
    pub fn record(&self, end: &End) -> Option<String> {
        let Stage::Judged(judged) = &self.stage else { return None };
        let Judged { stamp, session, bound, ends, named, outcome, subject, standing: _, cut, ended_now, watch } = &**judged;
        let (session, cut, bound) = (session.as_deref(), cut.as_ref(), *bound);
        let (ends, outcome, ended_now) = (*ends, *outcome, *ended_now);
        let echoed = watch.as_ref().map(Watch::names).unwrap_or_default();
        Some(Record { stamp, session, bound, ends, named, outcome, cut, ended_now, echoed, subject, end }.to_json())
    }

    /// First what must go, then what is ours. In observe token and body pass untouched. `given`: the credential that it gets;
    /// `taken`: fields that brought one along.
    #[expect(clippy::too_many_arguments, reason = "each is another part of what was found")]
    fn request_edits(
        &self,
        policy: &Policy,
        findings: &Findings,
        given: Option<&Filled>,
        taken: &[&[u8]],
        observed: Option<Reason>,
        headers: &Headers<'_>,
        audit_id: &str,
    ) -> Edits {
        let mut edits = Edits::with_room();
        let prefix = self.strip.prefix();
        edits.strip_forged(headers, prefix);
        let Some(rules) = policy.rules() else { return edits };
        if rules.enforces() {
            edits.strip_overrides(headers);
            edits.strip_tokens(headers, &self.strip);
            taken.iter().for_each(|name| edits.remove(name));
            if let (Some(credential), Some(given)) = (&rules.credential, given) {
                edits.strip_named(headers, &credential.header);
                edits.put(&credential.header, given.value());
                if rules.echoes == Bodies::Cut {
                    edits.ask_uncoded(headers);
                }
                edits.replace_removed(headers);
            }
        }
        let mut set = |name: &str, value: &str| edits.put_audit(prefix, name, value);
        if let Some(Authenticated { session, .. }) = &findings.authenticated {
            set("session", &session.claims.session);
            set("subject", &session.claims.subject);
            // With one issuer its name says nothing; with several the same subject can be two.
            if rules.tokens.issuers.len() > 1 {
                set("issuer", &session.claims.issuer);
            }
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
        set("policy", &rules.label);
        edits
    }
}

/// Only what an established session wanted to do counts against it (the reasons of status 403), never what came before.
fn count_denial(policy: &Policy, worker: &mut Worker, result: Result<(), Reason>, findings: &mut Findings) {
    if let (Err(reason), Some(rules), Some(authenticated)) = (result, policy.rules(), &findings.authenticated)
        && reason.status() == 403
        && let Some(asked) = rules.asked(&authenticated.session, worker)
    {
        findings.ended_now = worker.sessions.denied(&asked);
    }
}

/// In observe every denial is only recorded, except that nothing was judged.
fn only_observes(policy: &Policy, reason: Reason) -> bool {
    let observes = policy.rules().is_some_and(|rules| !rules.enforces());
    observes && !matches!(reason, Reason::NoPolicy | Reason::InternalError)
}
