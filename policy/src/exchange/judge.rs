//! The part of an exchange that comes to a decision.

use std::rc::Rc;

use super::{Decision, Exchange, Held, Judged, Permit, Stage};
use crate::answer::denial::Denial;
use crate::answer::record::{Named, Outcome, RequestFacts};
use crate::decide::admission::{Admission, Cut};
use crate::decide::answers::Answers;
use crate::decide::asked::{Asked, Commands};
use crate::decide::calls::Calls;
use crate::decide::check::{Findings, Place, agrees_on_body, check, place_of, proceed};
use crate::decide::context::Context;
use crate::decide::echo::{Carried, Watch, is_written};
use crate::decide::need::{Given, Need};
use crate::decide::trace::Trace;
use crate::decide::usage;
use crate::http::edits::Edits;
use crate::http::head::{Head, Headers, values};
use crate::http::query::with_parameter;
use crate::http::rpc::Rpc;
use crate::primitives::limits;
use crate::primitives::reason::Reason;
use crate::rules::audit::AuditHeaders;
use crate::rules::credential::{Carrier, Filled};
use crate::rules::policy::{Policy, Rules};
use crate::rules::upstream::Bodies;
use crate::state::session::Authenticated;
use crate::state::sessions::{Refused, StateQuery, Stop};
use crate::state::worker::Worker;

/// A request as far as it is known, when it comes to a decision.
struct Found<'h> {
    policy: Rc<Policy>,
    findings: Findings,
    facts: RequestFacts,
    headers: &'h Headers<'h>,
    /// Names of fields that brought the upstream's credential along.
    taken: Vec<&'h [u8]>,
}

impl Exchange {
    pub(super) fn judge(
        &mut self,
        head: &Head<'_>,
        worker: &mut Worker,
        context: &Context<'_>,
        trace: &mut impl Trace,
    ) -> Decision {
        worker.observe(context.now);
        let policy = match &self.stage {
            Stage::Begun(policy) => Rc::clone(policy),
            Stage::Held(_) | Stage::Judged(_) | Stage::Followed(_) => return Decision::Refuse(self.fail(worker)),
        };
        let mut findings = Findings::default();
        let carried = carried(&policy, worker, head.headers);
        // Nothing is decided by what is ours.
        let asked = match &carried {
            Some(carried) => Head { headers: &carried.kept, ..*head },
            None => *head,
        };
        let mut result = check(&policy, worker, &asked, context, &mut findings, trace);
        let in_target = carried.as_ref().filter(|carried| !carried.in_target.is_empty());
        let written = findings.credential.as_ref().is_some_and(|given| is_written(asked.headers, given));
        if result.is_ok() && (in_target.is_some() || written) {
            result = Err(Reason::CredentialEchoed);
        }
        let source = policy.recorded_source(head);
        let facts = match in_target {
            Some(carried) => RequestFacts::of(&carried.shown(), source, context.now),
            None if written => RequestFacts::of(&[], source, context.now),
            None => RequestFacts::of(head.headers, source, context.now),
        };
        // What brought a credential along was judged by another head than its own.
        let as_it_came = carried.is_none();
        let taken = carried.map(|carried| carried.taken).unwrap_or_default();
        let found = Found { policy: Rc::clone(&policy), findings, facts, headers: head.headers, taken };
        match result {
            Ok(Some(need)) => self.hold(found, need, worker),
            Ok(None) | Err(_) => {
                let denied = if depends_on_head(result) { found.findings.authenticated.clone() } else { None };
                let decision = self.conclude(found, result.map(drop), None, &Given::Nothing, worker, context, trace);
                if as_it_came {
                    self.set_precedent(&policy, head, &decision, denied, worker, context);
                }
                decision
            }
        }
    }

    /// Takes up a request that waits, where it was left: `headers` are those of its head, as they were then. To be called with
    /// [`Given::Nothing`] at every tick, too: what is held is denied as soon as the newest policy or the time denies it. Refused
    /// for what does not wait.
    pub fn resume(&mut self, given: &Given<'_>, headers: &Headers<'_>, worker: &mut Worker, context: &Context<'_>) -> Decision {
        self.take_up(given, headers, worker, context, &mut ())
    }

    pub(super) fn take_up(
        &mut self,
        given: &Given<'_>,
        headers: &Headers<'_>,
        worker: &mut Worker,
        context: &Context<'_>,
        trace: &mut impl Trace,
    ) -> Decision {
        worker.observe(context.now);
        let held = match std::mem::replace(&mut self.stage, Stage::Begun(Rc::new(Policy::deny_all()))) {
            Stage::Held(held) => *held,
            other @ (Stage::Begun(_) | Stage::Judged(_) | Stage::Followed(_)) => {
                self.stage = other;
                return Decision::Refuse(self.fail(worker));
            }
        };
        let Held { policy, mut findings, facts, need } = held;
        let carried = carried(&policy, worker, headers);
        let asked = carried.as_ref().map_or(headers, |carried| carried.kept.as_slice());
        let waited = findings.held_since.is_some_and(|since| worker.latest().since(since) >= limits::HELD);
        let result = match given {
            Given::Gone => Err(unmet(need)),
            Given::Nothing if waited => Err(unmet(need)),
            Given::Nothing | Given::Body(_) | Given::TooLarge => go_on(&policy, asked, given, worker, &mut findings, trace),
        };
        let overtaken = match result {
            Ok(Some(_)) => still_waits(&policy, &findings, worker, context).err(),
            Ok(None) | Err(_) => None,
        };
        let taken = carried.map(|carried| carried.taken).unwrap_or_default();
        let found = Found { policy, findings, facts, headers, taken };
        match result {
            Ok(Some(need)) if overtaken.is_none() => self.hold(found, need, worker),
            Ok(_) | Err(_) => self.conclude(found, result.map(drop), overtaken, given, worker, context, trace),
        }
    }

    fn hold(&mut self, found: Found<'_>, need: Need, worker: &Worker) -> Decision {
        let Found { policy, mut findings, facts, .. } = found;
        findings.held_since.get_or_insert(worker.latest());
        self.stage = Stage::Held(Box::new(Held { policy, findings, facts, need }));
        Decision::Hold(need)
    }

    /// Everything has been asked of the policy that the request began under: what the newest says is asked, unless that denies it
    /// already, what is let through is counted, and the answer made.
    #[expect(clippy::too_many_arguments, reason = "each is another part of what was found")]
    fn conclude(
        &mut self,
        found: Found<'_>,
        result: Result<(), Reason>,
        overtaken: Option<Cut>,
        given: &Given<'_>,
        worker: &mut Worker,
        context: &Context<'_>,
        trace: &mut impl Trace,
    ) -> Decision {
        let Found { policy, mut findings, facts, headers, taken } = found;
        let mut retry_after = None;
        count_denial(&policy, worker, result, &mut findings);
        let mut outcome = match (result, findings.observed) {
            (Ok(()), None) => Outcome::Allowed,
            (Ok(()), Some(reason)) => Outcome::Observed(reason),
            (Err(reason), _) if only_observes(&policy, reason) => Outcome::Observed(reason),
            (Err(reason), _) => Outcome::Denied(reason),
        };
        let mut named = Named::of(policy.rules(), &findings, outcome);
        let (mut admission, mut cut) = (None, None);
        if !matches!(outcome, Outcome::Denied(_)) {
            let observed = outcome.reason();
            let mut admitted = Admission::of(&policy, &findings, observed, asked(&findings, named.command.clone()));
            let asked = || still_admits(&mut admitted, &policy, &findings, given, headers, worker, context);
            let mut asked = overtaken.map_or_else(asked, Err);
            if asked.is_ok() {
                let counted = charge(&mut admitted, findings.calls.as_deref(), worker, context, trace);
                if !matches!(counted, Ok(None)) {
                    findings.transfer = *admitted.carried();
                }
                match counted {
                    Ok(None) => {}
                    Ok(Some(reason)) => {
                        named.credential = None;
                        outcome = Outcome::Observed(*findings.observed.get_or_insert(reason));
                    }
                    Err(Refused { stop: Stop { reason, ended_now }, retry_after: wait }) => {
                        named.credential = None;
                        findings.ended_now = ended_now;
                        count_denial(context.newest, worker, Err(reason), &mut findings);
                        retry_after = wait;
                        outcome = Outcome::Denied(reason);
                        if !context.newest.is_same(&policy) {
                            asked = Err(Cut {
                                ended_now: findings.ended_now,
                                ..context.newest.rules().map_or_else(|| Cut::of(reason), |rules| Cut::by(rules, reason))
                            });
                        }
                    }
                }
            }
            match asked {
                Ok(()) if matches!(outcome, Outcome::Denied(_)) => admitted.give_back_bytes(worker),
                Ok(()) => {
                    admitted.spend_bytes();
                    admission = Some(admitted.seated(findings.seat.take()));
                }
                Err(denied) => {
                    admitted.give_back_bytes(worker);
                    outcome = Outcome::Denied(denied.reason);
                    named.credential = None;
                    cut = Some(denied);
                }
            }
        }
        let stamp = worker.next_stamp();
        let audit_id = stamp.audit_id;
        let audit_id = audit_id.as_str();
        let mut watch = None;
        let decision = match outcome {
            Outcome::Denied(reason) => {
                // By which policy it was denied.
                let rules = if cut.is_some() { context.newest.rules() } else { policy.rules() };
                // What an endpoint has read is answered in its own protocol, whatever else the head says.
                let is_read = findings.calls.is_some() || findings.faulty.is_some();
                let spoken = Rpc::spoken(headers).filter(|_| !is_read);
                let missing = missing(reason, &mut findings, named.command.clone());
                let denial = Denial::naming(missing.as_ref(), reason, rules, self.strip.prefix(), audit_id, spoken);
                Decision::Refuse(denial.retry_after(retry_after).told_in_json_rpc(&findings))
            }
            Outcome::Allowed | Outcome::Observed(_) => {
                let observed = outcome.reason();
                if let (Some(authenticated), Some(ends), None) = (&findings.authenticated, findings.ends, observed) {
                    worker.note_live(&authenticated.session, ends, context.now);
                }
                let enforced = policy.rules().filter(|rules| rules.enforces());
                let given = findings.credential.take().filter(|_| observed.is_none() && enforced.is_some());
                let edits = self.request_edits(&policy, &findings, given.as_ref(), &taken, observed, headers, audit_id);
                watch = given.zip(enforced).map(|(given, rules)| Watch::new(Rc::new(given), rules.echoes));
                let body = findings.calls.as_mut().and_then(|calls| calls.body.take());
                Decision::Forward(Permit { edits, body, observed, lent: None })
            }
        };
        let Findings { authenticated, bound, ends, ended_now, transfer, calls, .. } = findings;
        if let (Some(authenticated), Outcome::Denied(reason)) = (&authenticated, outcome) {
            worker.end_exchanged(authenticated, reason, ended_now.is_some());
        }
        let transfer = transfer.broken();
        let session = authenticated.map(|authenticated| authenticated.session);
        let enforced = policy.rules().is_some_and(Rules::enforces) && !matches!(outcome, Outcome::Denied(_));
        let answers = calls.map(|calls| Box::new(Answers::to(*calls, enforced)));
        let judged =
            Judged { stamp, session, bound, ends, named, outcome, facts, admission, cut, ended_now, transfer, watch, answers };
        self.stage = Stage::Judged(Box::new(judged));
        decision
    }

    /// A denial for what is no matter of the policy, whatever was decided before.
    pub(super) fn deny(&mut self, reason: Reason, worker: &mut Worker) -> Denial {
        self.unfollow();
        let denied = Outcome::Denied(reason);
        let (rules, findings, facts) = match &mut self.stage {
            Stage::Begun(policy) => (policy.rules(), Findings::default(), RequestFacts::of(&[], None, worker.latest())),
            Stage::Held(held) => (held.policy.rules(), std::mem::take(&mut held.findings), std::mem::take(&mut held.facts)),
            // Never: it has just been taken for a judged one.
            Stage::Followed(_) => (None, Findings::default(), RequestFacts::of(&[], None, worker.latest())),
            Stage::Judged(judged) => {
                judged.outcome = denied;
                judged.named.credential = None;
                if let Some(mut admission) = judged.admission.take() {
                    admission.give_back_bytes(worker);
                }
                judged.watch = None;
                judged.answers = None;
                return Denial::new(reason, None, self.strip.prefix(), judged.stamp.audit_id.as_str(), None);
            }
        };
        let named = Named::of(rules, &findings, denied);
        let stamp = worker.next_stamp();
        let denial = Denial::new(reason, None, self.strip.prefix(), stamp.audit_id.as_str(), None);
        let Findings { authenticated, bound, ends, ended_now, transfer, .. } = findings;
        let transfer = transfer.broken();
        let session = authenticated.map(|authenticated| authenticated.session);
        let (admission, cut, watch, answers) = (None, None, None, None);
        let outcome = denied;
        let judged =
            Judged { stamp, session, bound, ends, named, outcome, facts, admission, cut, ended_now, transfer, watch, answers };
        self.stage = Stage::Judged(Box::new(judged));
        denial
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
            if let Some(calls) = &findings.calls {
                let length = calls.body.as_ref().map(String::len);
                let (session, name) = (calls.session.as_deref(), calls.name.as_deref());
                edits.for_calls(headers, session, name, length, calls.answer_is_read());
            }
            edits.strip_overrides(headers);
            edits.strip_tokens(headers, &self.strip);
            taken.iter().for_each(|name| edits.remove(name));
            for name in &self.strip.further {
                edits.strip_named(headers, name);
            }
            // Who has one of them himself gets no further by it than with his session.
            if observed.is_none() && !findings.unmediated {
                for name in &self.strip.credentials {
                    edits.strip_named(headers, name);
                }
            }
            if let Some(given) = given {
                match &given.of.carrier {
                    Carrier::Header(name) => edits.put(name, given.value()),
                    Carrier::Query(name) => {
                        let path = values(headers, ":path").next().unwrap_or_default();
                        edits.put(":path", &with_parameter(path, name, given.value()));
                    }
                }
                if rules.echoes == Bodies::Cut {
                    edits.ask_uncoded(headers);
                }
                edits.replace_removed(headers);
            }
        }
        match rules.audit.headers {
            AuditHeaders::Separate => {
                tell(rules, findings, observed, &mut |name, value| edits.put_audit(prefix, name, value));
                edits.put_audit_id(prefix, audit_id);
            }
            AuditHeaders::Combined => {
                edits.put_audit_dictionary(prefix, audit_id, |set| tell(rules, findings, observed, set));
            }
        }
        edits
    }
}

/// What the target is told of a request, but for the audit id: each by its name.
fn tell(rules: &Rules, findings: &Findings, observed: Option<Reason>, set: &mut dyn FnMut(&str, &str)) {
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
    set("policy", &rules.label);
}

/// What was held is judged where it was left.
fn go_on(
    policy: &Policy,
    headers: &Headers<'_>,
    given: &Given<'_>,
    worker: &mut Worker,
    findings: &mut Findings,
    trace: &mut impl Trace,
) -> Result<Option<Need>, Reason> {
    let rules = policy.rules().ok_or(Reason::NoPolicy)?;
    let authenticated = findings.authenticated.clone().ok_or(Reason::InternalError)?;
    proceed(rules, &authenticated.session, worker, headers, given, findings, trace)
}

/// What waits is denied as soon as it could not be let through any more.
fn still_waits(policy: &Rc<Policy>, findings: &Findings, worker: &mut Worker, context: &Context<'_>) -> Result<(), Cut> {
    let command = policy.rules().zip(findings.command).and_then(|(rules, command)| rules.commands.get(command.0 as usize));
    let command = command.map(|command| Rc::clone(&command.name));
    let mut admission = Admission::of(policy, findings, findings.observed, asked(findings, command));
    // What is in a body that has not come yet is nothing that could be denied.
    if findings.endpoint.is_some() && findings.calls.is_none() {
        return admission.stays_live(context.newest, worker);
    }
    admission.reauthorize(context.newest, worker, false)
}

/// What a request asks for: what is in its body, or the command that its head says.
fn asked(findings: &Findings, command: Option<Rc<str>>) -> Commands {
    match &findings.calls {
        Some(calls) => Commands::of(calls.asked()),
        None => Commands::of_head(command),
    }
}

/// What a broker can be asked for where this was denied: by its arguments where it is the token that lacks it, for a grant knows none.
fn missing(reason: Reason, findings: &mut Findings, command: Option<Rc<str>>) -> Option<Asked> {
    if reason != Reason::CommandNotInToken {
        return command.map(|command| Asked { command, arguments: None });
    }
    let lacking = findings.lacking.take();
    // Where the newest policy denied it, it has found that by itself.
    lacking.or_else(|| asked(findings, command).all().first().cloned())
}

/// Asks the newest policy where it is another one, which the proxy may be about to go over to, and everything that was asked
/// before a request was held.
fn still_admits(
    admission: &mut Admission,
    policy: &Policy,
    findings: &Findings,
    given: &Given<'_>,
    headers: &Headers<'_>,
    worker: &mut Worker,
    context: &Context<'_>,
) -> Result<(), Cut> {
    let newest = context.newest;
    let (same, held) = (admission.is_by(newest), findings.held_since.is_some());
    if same && !held {
        return Ok(());
    }
    if held {
        admission.read_anew(newest, worker);
    }
    if held && !same && !gives_alike(policy, newest) {
        // It is to be denied in any case: by what is wrong with it, if anything is.
        admission.reauthorize_unsent(newest, worker)?;
    } else {
        admission.reauthorize(newest, worker, false)?;
    }
    let Some(rules) = newest.rules().filter(|_| !same) else { return Ok(()) };
    if held && !matches!(given, Given::Gone) {
        treats_alike(policy, newest, admission, findings, headers).map_err(|reason| Cut::by(rules, reason))?;
    }
    if findings.endpoint.is_some() && held && rules.enforces() {
        return calls_alike(rules, admission, findings, given, headers, worker).map_err(|reason| Cut::by(rules, reason));
    }
    if rules.enforces() && findings.endpoint.is_none() {
        agrees_on_body(rules, admission.command(), given).map_err(|reason| Cut::by(rules, reason))?;
    }
    Ok(())
}

/// Counts the bytes that are known by now and the call, by the newest policy, which has agreed to it; tells what of that it only
/// records. What goes on because another denial is observed is a call like any.
fn charge(
    admitted: &mut Admission,
    calls: Option<&Calls>,
    worker: &mut Worker,
    context: &Context<'_>,
    trace: &mut impl Trace,
) -> Result<Option<Reason>, Refused> {
    let newest = context.newest;
    let mut noted = None;
    if let Err(stop) = admitted.take_bytes(newest, worker) {
        trace.saw(|| admitted.carried().seen());
        if !newest.only_notes(stop.reason) {
            return Err(stop.into());
        }
        admitted.transfer().note();
        noted = Some(stop.reason);
    }
    match charge_call(admitted, calls, worker, context, trace) {
        Err(refused) if !newest.only_notes(refused.stop.reason) => Err(refused),
        Err(refused) => Ok(noted.or(Some(refused.stop.reason))),
        Ok(()) => Ok(noted),
    }
}

/// Counts the call by the newest policy.
fn charge_call(
    admission: &Admission,
    calls: Option<&Calls>,
    worker: &mut Worker,
    context: &Context<'_>,
    trace: &mut impl Trace,
) -> Result<(), Refused> {
    let (Some(rules), Some(session)) = (context.newest.rules(), admission.session()) else { return Ok(()) };
    let command = |name: &str| rules.command(name).map(|(command, _)| command);
    match calls {
        Some(calls) => {
            let commands: Vec<_> = calls.every_name().filter_map(|name| command(name)).collect();
            usage::charge(rules, session, &commands, admission.carried(), admission.given(), worker, trace)
        }
        None => {
            let command = admission.command().and_then(command);
            usage::charge(rules, session, command.as_slice(), admission.carried(), admission.given(), worker, trace)
        }
    }
}

fn gives_alike(policy: &Policy, newest: &Policy) -> bool {
    policy.rules().zip(newest.rules()).is_some_and(|(before, now)| before.gives_alike(now))
}

/// What has waited has not been sent yet: its head must be the same command under the newest policy, and what is done to its fields
/// the same, or it was decided by what holds no more. Its caller may try again.
fn treats_alike(
    policy: &Policy,
    newest: &Policy,
    admission: &Admission,
    findings: &Findings,
    headers: &Headers<'_>,
) -> Result<(), Reason> {
    let (Some(before), Some(now)) = (policy.rules(), newest.rules()) else { return Err(Reason::NoPolicy) };
    let same_fields = policy.strip() == newest.strip() && gives_alike(policy, newest) && before.echoes == now.echoes;
    let same_place = match place_of(now, headers) {
        Place::Command(command) => findings.endpoint.is_none() && admission.command() == Some(&*command.name),
        Place::Endpoint(_) => findings.endpoint.is_some(),
        Place::Nothing => findings.endpoint.is_none() && admission.command().is_none(),
    };
    if same_fields && same_place { Ok(()) } else { Err(Reason::Overloaded) }
}

/// What a body asks for is judged by the newest policy as by the one that it began under: it must be the same commands, and allowed.
fn calls_alike(
    rules: &Rules,
    admission: &Admission,
    findings: &Findings,
    given: &Given<'_>,
    headers: &Headers<'_>,
    worker: &mut Worker,
) -> Result<(), Reason> {
    let (Given::Body(body), Place::Endpoint(endpoint)) = (given, place_of(rules, headers)) else {
        return Err(Reason::Overloaded);
    };
    let endpoint = rules.endpoint(endpoint).ok_or(Reason::InternalError)?;
    let session = admission.session().cloned().ok_or(Reason::InternalError)?;
    let mut calls = Calls::read(endpoint, body.bytes(), headers).map_err(|_| Reason::BodyMalformed)?;
    if Commands::of(calls.asked()) != *admission.commands() || body.bytes().len() > rules.allowances.body_bytes {
        return Err(Reason::Overloaded);
    }
    let mut anew = Findings::anew(findings.ends, findings.transfer);
    calls.authorize(rules, &session, headers, worker, &mut anew, &mut ())
}

/// The upstream's credential, as far as the request itself brings it along.
fn carried<'h>(policy: &Policy, worker: &Worker, headers: &'h Headers<'h>) -> Option<Carried<'h>> {
    let credentials = &policy.rules().filter(|rules| rules.enforces())?.all_credentials;
    if credentials.is_empty() { None } else { Carried::find(headers, credentials, worker.environment(), &worker.exchanged) }
}

/// What was waited for has not come, or will not.
fn unmet(need: Need) -> Reason {
    match need {
        // Half of a request is none.
        Need::Body { .. } => Reason::AmbiguousRequest,
        Need::Credential(_) => Reason::CredentialUnavailable,
    }
}

/// Denied for what depends on the policy, the head and the token alone? A grant that has run out is another reason.
fn depends_on_head<T>(result: Result<T, Reason>) -> bool {
    matches!(result, Err(Reason::UnknownCommand | Reason::CommandNotInToken | Reason::CommandNotGranted))
}

/// Only what an established session wanted to do counts against it (the reasons of status 403), never what came before.
fn count_denial(policy: &Policy, worker: &mut Worker, result: Result<(), Reason>, findings: &mut Findings) {
    if let (Err(reason), Some(rules), Some(authenticated)) = (result, policy.rules(), &findings.authenticated)
        && reason.status() == 403
        && let Some(query) = StateQuery::of(rules, &authenticated.session, &worker.sessions)
    {
        findings.ended_now = worker.sessions.denied(&query);
    }
}

/// In observe every denial is only recorded, except that nothing was judged.
fn only_observes(policy: &Policy, reason: Reason) -> bool {
    let observes = policy.rules().is_some_and(|rules| !rules.enforces());
    observes && !matches!(reason, Reason::NoPolicy | Reason::InternalError)
}
