//! One request and its response, with the policy that it began under.

use std::rc::Rc;

use self::precedent::{Decided, Followed};
use crate::answer::denial::Denial;
use crate::answer::explain::Explanation;
use crate::answer::record::{End, Named, Outcome, Record, RequestFacts};
use crate::decide::admission::{Admission, Cut};
use crate::decide::answers::Answers;
use crate::decide::check::Findings;
use crate::decide::context::Context;
use crate::decide::echo::Watch;
use crate::decide::need::{Given, Need};
use crate::decide::transfers::TransferRule;
use crate::http::edits::{Edits, Strip};
use crate::http::head::{Head, Headers};
use crate::http::peer::PeerWanted;
use crate::primitives::reason::Reason;
use crate::rules::binding::Bindings;
use crate::rules::policy::Policy;
use crate::state::session::Session;
use crate::state::sessions::Ending;
use crate::state::worker::{Stamp, Worker};

mod answers;
mod echo;
mod judge;
mod precedent;
#[cfg(test)]
mod tests;
mod transfers;

/// Evidence that a request may go upstream: nothing is left to ask, the newest policy included. Only this crate makes one.
#[derive(Debug)]
pub struct Permit {
    edits: Edits,
    body: Option<String>,
    observed: Option<Reason>,
    /// Whose edits these are, where they are used again.
    lent: Option<Rc<Decided>>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(owner) = self.lent.take() {
            owner.take_back(std::mem::take(&mut self.edits));
        }
    }
}

impl Permit {
    /// Returns the body that goes on in the place of the one that came; `None` where that goes on as it is. Its length is among the
    /// edits.
    #[must_use]
    pub fn body(&self) -> Option<&str> {
        self.body.as_deref()
    }

    /// Returns what to change in the request's header fields before it goes on.
    #[must_use]
    pub fn edits(&self) -> &Edits {
        &self.edits
    }

    /// Returns the denial that was observed and not carried out; `None` when the request was allowed. A permit with one carries
    /// no credential.
    #[must_use]
    pub fn observed(&self) -> Option<Reason> {
        self.observed
    }
}

/// What is to be done with a request.
#[derive(Debug)]
#[must_use]
pub enum Decision {
    /// Keep it, head and all, until this is there; then [`Exchange::resume`]. Nothing of it goes upstream.
    Hold(Need),
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
    Held(Box<Held>),
    Judged(Box<Judged>),
    /// Decided as the very same was.
    Followed(Box<Followed>),
}

/// What is kept of a request that waits.
struct Held {
    policy: Rc<Policy>,
    findings: Findings,
    facts: RequestFacts,
    need: Need,
}

/// What is kept of a judged request for its response and its record.
struct Judged {
    stamp: Stamp,
    session: Option<Rc<Session>>,
    bound: Bindings,
    ends: Option<u64>,
    named: Named,
    outcome: Outcome,
    facts: RequestFacts,
    /// Of what was let through.
    admission: Option<Admission>,
    cut: Option<Cut>,
    ended_now: Option<Ending>,
    /// What it carries and may not.
    transfer: Option<TransferRule>,
    /// What it was given that must not come back.
    watch: Option<Watch>,
    /// Of what was asked for in a body.
    answers: Option<Box<Answers>>,
}

impl Exchange {
    /// Begins an exchange under the policy of the moment.
    #[must_use]
    pub fn begin(policy: Rc<Policy>) -> Self {
        let strip = policy.strip();
        Self { stage: Stage::Begun(policy), strip }
    }

    /// Says what of the peer's certificate [`Head::peer`] needs, for the policy to judge the request.
    #[must_use]
    pub fn peer_wanted(&self) -> PeerWanted {
        match &self.stage {
            Stage::Begun(policy) => policy.rules().map(|rules| rules.peer_wanted()).unwrap_or_default(),
            Stage::Held(_) | Stage::Judged(_) | Stage::Followed(_) => PeerWanted::default(),
        }
    }

    /// Judges the head of the request. Judging a second time is refused: the first answer has been given.
    pub fn request(&mut self, head: &Head<'_>, worker: &mut Worker, context: &Context<'_>) -> Decision {
        match self.follow(head, worker, context) {
            Some(decision) => decision,
            None => self.judge(head, worker, context, &mut ()),
        }
    }

    /// Judges as [`Exchange::request`] does, and tells what each check saw. With a worker that has seen the token before, the
    /// checks up to its claims are not made again, and not seen.
    pub fn explain(&mut self, head: &Head<'_>, worker: &mut Worker, context: &Context<'_>) -> (Decision, Explanation) {
        let mut explanation = match &self.stage {
            Stage::Begun(policy) => Explanation::begin(policy.rules()),
            Stage::Held(_) | Stage::Judged(_) | Stage::Followed(_) => Explanation::default(),
        };
        let decision = self.judge(head, worker, context, &mut explanation);
        (decision, explanation)
    }

    /// Takes up a request that waits, as [`Exchange::resume`] does, and adds what each check saw to what has been explained.
    pub fn explain_further(
        &mut self,
        given: &Given<'_>,
        headers: &Headers<'_>,
        worker: &mut Worker,
        context: &Context<'_>,
        explanation: &mut Explanation,
    ) -> Decision {
        self.take_up(given, headers, worker, context, explanation)
    }

    /// Says what the request waits for; `None` when it does not wait.
    #[must_use]
    pub fn waits_for(&self) -> Option<Need> {
        match &self.stage {
            Stage::Held(held) => Some(held.need),
            Stage::Begun(_) | Stage::Judged(_) | Stage::Followed(_) => None,
        }
    }

    /// Asks whether what was let through may still go on, under the newest policy of its plugin. If not, its stream is to be
    /// cut, and stays cut; `None` says that it may, or that it was never let through. `moved`: because a piece of it has just
    /// come, which is use of its session.
    #[must_use]
    pub fn recheck(&mut self, worker: &mut Worker, context: &Context<'_>, moved: bool) -> Option<Reason> {
        worker.observe(context.now);
        if self.follows_on(worker, context) {
            return None;
        }
        self.unfollow();
        let Stage::Judged(judged) = &mut self.stage else { return None };
        if judged.cut.is_none() {
            let admission = judged.admission.as_mut()?;
            let asked = admission.reauthorize(context.newest, worker, moved);
            judged.cut = asked.and_then(|()| admission.carry(context.newest, worker)).err();
            if let Some(cut) = &judged.cut {
                admission.give_back_bytes(worker);
                if let Some(authenticated) = admission.authenticated() {
                    worker.end_exchanged(authenticated, cut.reason, cut.ended_now.is_some());
                }
            }
        }
        judged.cut.as_ref().map(|cut| cut.reason)
    }

    /// Makes the answer for a stream that is cut ([`Exchange::recheck`]) before its response has begun; `None` when it is not
    /// cut.
    #[must_use]
    pub fn answer_of_cut(&self, newest: &Policy) -> Option<Denial> {
        let Stage::Judged(judged) = &self.stage else { return None };
        let reason = judged.cut.as_ref()?.reason;
        let spoken = judged.admission.as_ref().and_then(Admission::spoken);
        let denial = Denial::new(reason, newest.rules(), self.strip.prefix(), judged.stamp.audit_id.as_str(), spoken);
        Some(denial.of_what_was_sent(spoken))
    }

    /// The stream is over: gives back what it has taken of its session's bytes and has not moved.
    pub fn finish(&mut self, worker: &mut Worker) {
        if let Stage::Judged(judged) = &mut self.stage
            && let Some(admission) = &mut judged.admission
        {
            admission.give_back_bytes(worker);
        }
    }

    /// Gives back its place among what is under way: request and response have gone their way, though the caller may not have
    /// read it all.
    pub fn release_place(&mut self) {
        if let Stage::Followed(followed) = &mut self.stage {
            followed.seat = None;
        }
        if let Stage::Judged(judged) = &mut self.stage
            && let Some(admission) = &mut judged.admission
        {
            admission.leave();
        }
    }

    /// Cuts an open stream, as [`Exchange::recheck`] does, because the proxy failed us and nothing can be said of it. `None` when
    /// nothing was let through.
    #[must_use]
    pub fn interrupt(&mut self) -> Option<Reason> {
        self.cut_for(Reason::InternalError, None)
    }

    /// Cuts an open stream, as [`Exchange::recheck`] does, because no configuration reaches its VM any more and the newest policy
    /// cannot be asked. `None` when nothing was let through.
    #[must_use]
    pub fn abandon(&mut self) -> Option<Reason> {
        self.cut_for(
            Reason::NoPolicy,
            Some("no configuration reaches this stream any more: another stands in the place of its own"),
        )
    }

    fn cut_for(&mut self, reason: Reason, because: Option<&str>) -> Option<Reason> {
        self.unfollow();
        let Stage::Judged(judged) = &mut self.stage else { return None };
        judged.admission.as_ref()?;
        let because = because.map(str::to_owned);
        Some(judged.cut.get_or_insert(Cut { because, ..Cut::of(reason) }).reason)
    }

    /// Denies because the proxy failed us (a host call), in observe too, whatever was decided before.
    pub fn fail(&mut self, worker: &mut Worker) -> Denial {
        self.deny(Reason::InternalError, worker)
    }

    /// Denies because the VM has no room for another stream, in observe too.
    pub fn overload(&mut self, worker: &mut Worker) -> Denial {
        self.deny(Reason::Overloaded, worker)
    }

    /// Denies a held request because no configuration reaches its VM any more and the newest policy cannot be asked.
    pub fn orphan(&mut self, worker: &mut Worker) -> Denial {
        self.deny(Reason::NoPolicy, worker)
    }

    /// Says what to change in a response's header fields, upstream's or our own.
    /// `last`: nothing follows them.
    #[must_use]
    pub fn response_edits(&mut self, headers: &Headers<'_>, last: bool) -> Edits {
        if let Some(edits) = self.edits_of_plain_response(headers) {
            return edits;
        }
        let mut edits = self.response_trailer_edits(headers);
        if let Stage::Judged(judged) = &mut self.stage {
            if let (Some(answers), Some(session)) = (&mut judged.answers, &judged.session) {
                answers.begin(headers, &session.claims, last, &mut edits);
            }
            edits.put_audit_id(self.strip.prefix(), judged.stamp.audit_id.as_str());
        }
        edits
    }

    /// Says what to change in the trailers of a response: nothing there may wear our prefix, or show the credential.
    #[must_use]
    pub fn response_trailer_edits(&mut self, headers: &Headers<'_>) -> Edits {
        let mut edits = Edits::default();
        edits.strip_forged(headers, self.strip.prefix());
        if let Some(watch) = self.watch() {
            watch.strip(headers, &mut edits);
        }
        edits
    }

    /// Says what to change in the trailers of a request: some servers read them as header fields, so nothing may stand there that
    /// was taken off or set among these.
    #[must_use]
    pub fn request_trailer_edits(&self, headers: &Headers<'_>) -> Edits {
        let mut edits = Edits::default();
        edits.strip_forged(headers, self.strip.prefix());
        edits.strip_trailers(headers, &self.strip);
        edits
    }

    /// Returns the reason that decides the metric; `None` when the request was allowed or never judged.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match &self.stage {
            Stage::Begun(_) | Stage::Held(_) => None,
            Stage::Followed(followed) => followed.reason(),
            Stage::Judged(judged) => judged.outcome.reason(),
        }
    }

    /// Writes the audit record; `None` when the request never reached a judgement.
    #[must_use]
    pub fn record(&self, end: &End) -> Option<String> {
        match &self.stage {
            Stage::Judged(judged) => Some(judged.with_record(end, |record| record.to_json())),
            Stage::Followed(followed) => Some(followed.record(end)),
            Stage::Begun(_) | Stage::Held(_) => None,
        }
    }
}

impl Judged {
    fn with_record<T>(&self, end: &End, f: impl FnOnce(&Record<'_>) -> T) -> T {
        let Judged { stamp, session, bound, ends, named, outcome, facts, admission, cut, ended_now, transfer, watch, answers } =
            self;
        let unread = answers.as_ref().filter(|answers| answers.failed).map(|_| Cut::of(Reason::AnswerUnreadable));
        let cut = if cut.is_some() { cut } else { &unread };
        let answers = answers.as_deref();
        let (session, cut, bound) = (session.as_deref(), cut.as_ref(), *bound);
        let (ends, outcome, ended_now) = (*ends, *outcome, *ended_now);
        let noted = admission.as_ref().and_then(Admission::noted);
        let outcome = match outcome {
            Outcome::Allowed if noted.is_some() && cut.is_none() => Outcome::Observed(Reason::TransferNotAllowed),
            Outcome::Allowed | Outcome::Denied(_) | Outcome::Observed(_) => outcome,
        };
        let transfer = transfer.or(noted);
        let echoed = watch.as_ref().map(Watch::names).unwrap_or_default();
        let record =
            Record { stamp, session, bound, ends, named, outcome, cut, ended_now, transfer, echoed, answers, facts, end };
        f(&record)
    }
}
