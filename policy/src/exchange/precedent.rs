//! The part of an exchange that decides about a head as it did a moment ago about the very same.
//!
//! What it does not know is judged in full, and so is what it would decide otherwise. An agent's requests are alike but for their
//! paths, and judging one touches so much code that reading the code into the processor's caches is most of what it costs. What a
//! session may not do is known as well: whoever tries it again and again costs less than who is let through.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use super::{Decision, Exchange, Judged, Permit, Stage};
use crate::answer::denial::Template;
use crate::answer::record::{End, Named, Outcome, RequestFacts, Written};
use crate::commands::router::{CommandId, Form, Lookup};
use crate::decide::admission::Admission;
use crate::decide::asked::Commands;
use crate::decide::context::Context;
use crate::decide::echo::Watch;
use crate::decide::transfers::Transfer;
use crate::http::edits::{Edits, wears};
use crate::http::head::{Head, Headers, Request};
use crate::http::path::CanonicalPath;
use crate::http::rpc::has_message;
use crate::primitives::reason::Reason;
use crate::rules::binding::Bindings;
use crate::rules::credential::Filled;
use crate::rules::policy::{Policy, Rules};
use crate::rules::upstream::Bodies;
use crate::state::precedents::{Known, Precedent};
use crate::state::seats::Seat;
use crate::state::session::Authenticated;
use crate::state::sessions::StateQuery;
use crate::state::worker::{Stamp, Worker};

/// What was decided about a head, and is decided again.
pub(super) struct Decided {
    method: Box<[u8]>,
    /// When the session ends, in Unix seconds.
    ends: u64,
    named: Named,
    written: Written,
    verdict: Verdict,
}

/// Whether it may pass, and what is made of it.
enum Verdict {
    Passes(Box<Passing>),
    /// For what depends on the policy, the head and the token alone.
    Denied(Rc<Template>),
}

/// How it passes.
struct Passing {
    command: CommandId,
    /// In lower case, without port, as the router wants it.
    host: Box<str>,
    transfer: Transfer,
    given: Option<(Rc<Filled>, Bodies)>,
    /// Away while a permit has them.
    edits: Cell<Option<Edits>>,
}

/// It has a credential.
impl fmt::Debug for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decided").finish_non_exhaustive()
    }
}

impl Decided {
    /// Takes edits back from the permit that they were made for.
    pub(super) fn take_back(&self, edits: Edits) {
        if let Verdict::Passes(passing) = &self.verdict {
            passing.edits.set(Some(edits));
        }
    }

    fn given(&self) -> Option<&(Rc<Filled>, Bodies)> {
        match &self.verdict {
            Verdict::Passes(passing) => passing.given.as_ref(),
            Verdict::Denied(_) => None,
        }
    }
}

/// What is kept of a request that was decided by a precedent.
pub(super) struct Followed {
    precedent: Rc<Precedent>,
    decided: Rc<Decided>,
    stamp: Stamp,
    facts: RequestFacts,
    pub(super) transfer: Transfer,
    pub(super) seat: Option<Seat>,
}

impl Followed {
    pub(super) fn record(&self, end: &End) -> String {
        self.decided.written.to_json(&self.stamp, &self.facts, end)
    }

    /// For what it is denied.
    pub(super) fn reason(&self) -> Option<Reason> {
        match &self.decided.verdict {
            Verdict::Passes(_) => None,
            Verdict::Denied(template) => Some(template.reason),
        }
    }
}

impl Exchange {
    /// Decides about a head that is known; `None` for any other.
    pub(super) fn follow(&mut self, head: &Head<'_>, worker: &mut Worker, context: &Context<'_>) -> Option<Decision> {
        let Stage::Begun(policy) = &self.stage else { return None };
        if !Rc::ptr_eq(policy, context.newest) || head.peer.is_some() || !worker.exchanged.is_empty() {
            return None;
        }
        let rules = policy.rules()?;
        let environment = worker.environment();
        let is_credential = |value: &[u8]| rules.all_credentials.iter().any(|credential| credential.is(value, environment));
        let known = worker.precedents.find(policy, rules, worker.sources.epoch(), head, &is_credential)?;
        let decided = Rc::clone(&known.precedent.decided).downcast::<Decided>().ok()?;
        if !known.same_path && !leads_there(rules, &decided, head, &known) {
            return None;
        }
        let Known { precedent, path, .. } = known;
        worker.observe(context.now);
        let (token, session) = (&precedent.authenticated.token, &precedent.authenticated.session);
        if session.listens {
            worker.told.refresh(worker.latest());
        }
        let begun = context.now.seconds().saturating_add(rules.session.clock_skew) >= session.claims.begins;
        let asks_others = StateQuery::of(rules, session, &worker.sessions).is_some();
        if !begun || asks_others || !still_says(&precedent, worker) {
            return None;
        }
        let (stamp, decision, transfer, seat) = match &decided.verdict {
            Verdict::Passes(passing) => {
                let tally = Rc::clone(worker.tally(session));
                if !tally.room(rules.allowances.streams_per_session).is_there() {
                    return None;
                }
                // From here on it is let through.
                let mut edits = passing.edits.take()?;
                let seat = tally.sit();
                worker.note_live(session, decided.ends, context.now);
                let stamp = worker.next_stamp();
                edits.identify(stamp.audit_id.as_str());
                let permit = Permit { edits, body: None, observed: None, lent: Some(Rc::clone(&decided)) };
                (stamp, Decision::Forward(permit), passing.transfer, Some(seat))
            }
            Verdict::Denied(template) => {
                let mut denial = template.take()?;
                let stamp = worker.next_stamp();
                denial.identify(stamp.audit_id.as_str());
                (stamp, Decision::Refuse(denial), Transfer::default(), None)
            }
        };
        token.comes_again();
        worker.tokens.hits += 1;
        worker.precedents.follow();
        let facts = RequestFacts::of_parts(&decided.method, path, policy.recorded_source(head), context.now);
        self.stage = Stage::Followed(Box::new(Followed { precedent, decided, stamp, facts, transfer, seat }));
        Some(decision)
    }

    /// Keeps what was decided about a head, if it would be decided so again whatever the time and the counts are.
    pub(super) fn set_precedent(
        &self,
        policy: &Rc<Policy>,
        head: &Head<'_>,
        decision: &Decision,
        denied: Option<Authenticated>,
        worker: &mut Worker,
        context: &Context<'_>,
    ) {
        if let Some((rules, precedent)) = self.precedent(policy, head, decision, denied, worker, context) {
            worker.precedents.keep(rules, head.headers, precedent, worker.latest().seconds());
        }
    }

    /// `denied`: who is denied, for what depends on the policy, the head and the token alone.
    fn precedent<'p>(
        &self,
        policy: &'p Rc<Policy>,
        head: &Head<'_>,
        decision: &Decision,
        denied: Option<Authenticated>,
        worker: &Worker,
        context: &Context<'_>,
    ) -> Option<(&'p Rules, Precedent)> {
        let Stage::Judged(judged) = &self.stage else { return None };
        let rules = policy.rules().filter(|rules| rules.enforces())?;
        let Judged { session, bound, ends, named, outcome, admission, cut, ended_now, transfer, watch, answers, .. } = &**judged;
        let (session, ends) = (session.as_ref()?, (*ends)?);
        let plain = cut.is_none()
            && ended_now.is_none()
            && transfer.is_none()
            && answers.is_none()
            && *bound == Bindings::default()
            && Rc::ptr_eq(policy, context.newest);
        let alone = session.status.is_none() && StateQuery::of(rules, session, &worker.sessions).is_none();
        if !(plain && alone) {
            return None;
        }
        let (authenticated, over) = match admission {
            Some(admission) => (admission.authenticated()?.clone(), admission.over()),
            None => (denied?, ends.saturating_add(rules.session.clock_skew)),
        };
        if !authenticated.token.may_come_again() {
            return None;
        }
        let request = Request::read(head).ok()?;
        if request.upgrade || request.rpc.is_some() {
            return None;
        }
        let verdict = match (decision, outcome, admission) {
            (Decision::Forward(permit), Outcome::Allowed, Some(admission)) => {
                let carried = admission.carried();
                let (command, _) = rules.command(admission.command()?)?;
                let unread = watch.as_ref().is_none_or(|watch| !watch.reads_bodies());
                // What is had for a token changes by itself.
                let mut all = rules.all_credentials.iter();
                let lasting = all.all(|credential| credential.exchange().is_none() && credential.header().is_some());
                let is_free = carried.is_free() && carried.spoken().is_none();
                let as_it_is = permit.observed.is_none() && permit.body.is_none();
                if !(unread && lasting && is_free && as_it_is && admission.is_by(policy)) {
                    return None;
                }
                Verdict::Passes(Box::new(Passing {
                    command,
                    host: request.host.as_ref().into(),
                    transfer: *carried,
                    given: watch.as_ref().map(Watch::given),
                    edits: Cell::new(Some(permit.edits.clone())),
                }))
            }
            (Decision::Refuse(denial), Outcome::Denied(_), None) => {
                Verdict::Denied(Rc::new(denial.template(judged.stamp.audit_id.as_str())?))
            }
            _ => return None,
        };
        let written = judged.with_record(&End::default(), |record| record.written());
        let decided = Decided { method: request.method.into(), ends, named: named.clone(), written, verdict };
        let epoch = worker.sources.epoch();
        Some((rules, Precedent::of(policy, rules, epoch, head, authenticated, over, Rc::new(decided))?))
    }

    /// May what was let through by a precedent go on, with nothing else to be asked? False: it has to be asked in full.
    pub(super) fn follows_on(&self, worker: &mut Worker, context: &Context<'_>) -> bool {
        let Stage::Followed(followed) = &self.stage else { return false };
        worker.told.freshen(worker.latest());
        let precedent = &followed.precedent;
        precedent.is_under(context.newest, worker.sources.epoch())
            && followed.reason().is_none()
            && still_says(precedent, worker)
            && context
                .newest
                .rules()
                .is_some_and(|rules| StateQuery::of(rules, &precedent.authenticated.session, &worker.sessions).is_none())
    }

    /// What to change in the head of a response from which nothing has to be taken off; `None` where it has to be looked at in full.
    pub(super) fn edits_of_plain_response(&self, headers: &Headers<'_>) -> Option<Edits> {
        let Stage::Followed(followed) = &self.stage else { return None };
        let shows = |value: &[u8]| followed.decided.given().is_some_and(|(given, _)| given.is_in(value));
        let prefix = self.strip.prefix();
        let doubtful = |name: &[u8]| match name.first().map(|first| first | 0x20) {
            Some(b'x') => wears(name, prefix),
            Some(b'c') => name.eq_ignore_ascii_case(b"connection"),
            _ => false,
        };
        if headers.iter().any(|(name, value)| doubtful(name) || shows(value)) {
            return None;
        }
        let mut edits = Edits::for_one();
        edits.put_audit_id(prefix, followed.stamp.audit_id.as_str());
        Some(edits)
    }

    /// What is not usual is looked at in full: as if it had been judged so.
    pub(super) fn unfollow(&mut self) {
        match std::mem::replace(&mut self.stage, Stage::Begun(Rc::new(Policy::deny_all()))) {
            Stage::Followed(followed) => {
                let Followed { precedent, decided, stamp, facts, transfer, seat } = *followed;
                let authenticated = precedent.authenticated.clone();
                let session = Some(Rc::clone(&authenticated.session));
                let (outcome, admission) = match &decided.verdict {
                    Verdict::Denied(template) => (Outcome::Denied(template.reason), None),
                    Verdict::Passes(passing) => {
                        let commands = Commands::of_head(decided.named.command.clone());
                        let given = passing.given.as_ref().map(|(given, _)| Rc::clone(&given.of));
                        let again = Admission::again(authenticated, commands, transfer, given, precedent.basis(), precedent.over);
                        (Outcome::Allowed, Some(again.seated(seat)))
                    }
                };
                let watch = decided.given().map(|(given, bodies)| Watch::new(Rc::clone(given), *bodies));
                self.stage = Stage::Judged(Box::new(Judged {
                    stamp,
                    session,
                    bound: Bindings::default(),
                    ends: Some(decided.ends),
                    named: decided.named.clone(),
                    outcome,
                    facts,
                    admission,
                    cut: None,
                    ended_now: None,
                    transfer: None,
                    watch,
                    answers: None,
                }));
            }
            other @ (Stage::Begun(_) | Stage::Held(_) | Stage::Judged(_)) => self.stage = other,
        }
    }
}

/// Is the time not over, and has nobody told of an end?
fn still_says(precedent: &Precedent, worker: &Worker) -> bool {
    worker.latest().seconds() < precedent.over && matches!(worker.told.of(&precedent.authenticated.session), Ok(None))
}

/// Is another path the same command, and allowed? Then it is the same request to every check: no other looks at the path of a request
/// without a body whose form is plain HTTP.
fn leads_there(rules: &Rules, decided: &Decided, head: &Head<'_>, known: &Known<'_>) -> bool {
    let Verdict::Passes(passing) = &decided.verdict else { return false };
    if head.body {
        return false;
    }
    let Ok(path) = CanonicalPath::parse(known.path) else { return false };
    let found = match rules.router.find(&decided.method, &passing.host, &path) {
        Lookup::Found(route) => matches!(route.form, Form::Http { .. }) && route.command == passing.command,
        Lookup::Missed | Lookup::Ambiguous => false,
    };
    found && !has_message(known.path)
}
