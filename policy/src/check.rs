//! The order of the checks: one function, from the head of a request to an allowance or exactly one reason.

use std::rc::Rc;

use crate::address::Address;
use crate::authenticate::{Attempt, Authenticated, Session, authenticate};
use crate::binding::{Bindings, Fault, Machine, Shown};
use crate::commands::Command;
use crate::credential::Filled;
use crate::fetch::{Entry, Sources};
use crate::keys::VerifySignature;
use crate::pace::Payer;
use crate::path::CanonicalPath;
use crate::policy::{Policy, Rules};
use crate::reason::Reason;
use crate::request::{Head, Request, token};
use crate::router::{CommandId, Form, Lookup, Route};
use crate::seats::{Room, Seat};
use crate::sessions::{Ending, Missing};
use crate::time::Timestamp;
use crate::trace::{Seen, Trace};
use crate::worker::Worker;

/// What was found on the way, also when the way ended in a denial: the record shows it.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) command: Option<CommandId>,
    /// The command needs no session.
    pub(crate) unmediated: bool,
    /// Set once signature and binding are verified, so that nobody is recorded as somebody else.
    pub(crate) authenticated: Option<Authenticated>,
    /// What the token was bound to, and is shown to be.
    pub(crate) bound: Bindings,
    /// Place of the grant that allowed it.
    pub(crate) grant: Option<usize>,
    /// When the session ends under this policy and grant, in Unix seconds.
    pub(crate) ends: Option<u64>,
    /// Until when the status list that was asked says anything, in Unix seconds.
    pub(crate) status_until: Option<u64>,
    /// The first denial that the policy only observes.
    pub(crate) observed: Option<Reason>,
    /// What this very request has ended its session for.
    pub(crate) ended_now: Option<Ending>,
    /// The upstream's credential, filled in.
    pub(crate) credential: Option<Filled>,
    /// Its place among what is under way; of what is denied nobody keeps it.
    pub(crate) seat: Option<Seat>,
}

impl Findings {
    /// Records a denial that the policy observes; any other ends the checks.
    fn deny(&mut self, reason: Reason, rules: &Rules) -> Result<(), Reason> {
        if !rules.observed.contains(&reason) {
            return Err(reason);
        }
        self.observed.get_or_insert(reason);
        Ok(())
    }
}

/// What a session is judged by besides the policy.
#[derive(Clone, Copy)]
pub(crate) struct Moment<'m> {
    /// As the clock says it.
    pub(crate) now: Timestamp,
    /// The latest instant of the worker.
    pub(crate) latest: Timestamp,
    /// What has been fetched.
    pub(crate) sources: &'m Sources,
}

/// Judges a request. `now` as the clock says it; what is over stays over by the worker's latest instant.
pub(crate) fn check(
    policy: &Rc<Policy>,
    worker: &mut Worker,
    head: &Head<'_>,
    now: Timestamp,
    verifier: &dyn VerifySignature,
    findings: &mut Findings,
    trace: &mut impl Trace,
) -> Result<(), Reason> {
    let rules = policy.rules().ok_or(Reason::NoPolicy)?;
    let latest = worker.latest(now);

    trace.saw(|| Seen::head(head));
    let request = Request::read(head)?;
    let path = CanonicalPath::parse(request.path).map_err(|_| Reason::AmbiguousRequest)?;
    trace.saw(|| Seen::path(&path));
    let route = match rules.router.find(request.method, &request.host, &path) {
        Lookup::Found(route) => Some(route).filter(|route| has_form(route, &request)),
        Lookup::Missed => None,
        Lookup::Ambiguous => return Err(Reason::AmbiguousRequest),
    };
    findings.command = route.map(|route| route.command);
    let command = route.and_then(|route| Some((route.command, rules.commands.get(route.command.0 as usize)?)));
    trace.saw(|| Seen::Lookup {
        command: command.map(|(_, command)| command.name.to_string()),
        unmediated: command.is_some_and(|(_, command)| command.unmediated),
    });
    if command.is_some_and(|(_, command)| command.unmediated) {
        findings.unmediated = true;
        may_have_body(route, true, &request, head, trace)?;
        let (all, address) = (Rc::clone(&worker.unmediated), Address::read(head.source_address));
        let rooms = all.room(rules.allowances.unmediated_streams, address);
        findings.seat = Some(all.sit(address));
        return rooms.into_iter().try_for_each(|room| has_room(room, trace));
    }

    trace.saw(|| Seen::places(head.headers, &rules.tokens.sources));
    let token = token(head.headers, &rules.tokens.sources)?;
    let attempt = Attempt { token: token.text, source: head.source_address, now: latest };
    let authenticated = authenticate(policy, rules, worker, attempt, verifier, trace)?;
    let session = Rc::clone(&authenticated.session);
    let shown =
        Shown { peer: head.peer.as_ref(), headers: head.headers, method: request.method, path: &path, token, now, latest };
    let tally = Rc::clone(worker.tally(&session));
    // Only a proof needs to know where it comes from.
    let source = head.source_address.filter(|_| rules.session.bind.wants_proofs());
    let payer = Payer { address: Address::read(source), session: Some(&tally) };
    let (proofs, pace) = (&mut worker.proofs, &mut worker.pace);
    let mut machine = Machine { proofs, pace, allowance: rules.allowances.verifications_per_second, payer, verifier };
    let bound = rules.session.bind.check(&session.claims, &shown, rules.session.clock_skew, &mut machine);
    trace.saw(|| rules.session.bind.seen(&authenticated, bound.err()));
    findings.bound = bound.map_err(Fault::reason)?;
    findings.authenticated = Some(authenticated);
    let moment = Moment { now, latest, sources: &worker.sources };
    is_live(rules, &session, moment, findings, trace)?;
    has_status(rules, &session, moment, findings, trace)?;
    goes_on(rules, &session, worker, head, findings, trace)?;
    may(rules, &session, command, latest, findings, trace)?;
    // An observed denial is let through without a credential: it was never allowed to use it.
    if let (Some(credential), None) = (&rules.credential, findings.observed) {
        let filled = credential.fill(worker.environment());
        trace.saw(|| Seen::Credential { reference: credential.reference.to_string(), available: filled.is_some() });
        findings.credential = Some(filled.ok_or(Reason::CredentialUnavailable)?);
    }
    // Last, so that it tells nobody anything and counts only what would be let through.
    may_have_body(route, false, &request, head, trace)?;
    let room = tally.room(rules.allowances.streams_per_session);
    findings.seat = Some(tally.sit());
    has_room(room, trace)
}

/// `overloaded`: there is no seat left for one more. Where that is only observed it has taken one all the same.
fn has_room(room: Room, trace: &mut impl Trace) -> Result<(), Reason> {
    trace.saw(|| Seen::Room { of: room.of, taken: room.taken, most: room.most });
    if room.is_there() { Ok(()) } else { Err(Reason::Overloaded) }
}

/// `overloaded`: something follows the head of a command that has no body. A stream that waits for one costs its sender nothing,
/// so that commands which anybody can send are without, unless the policy says so.
fn may_have_body(
    route: Option<&Route>,
    unmediated: bool,
    request: &Request<'_>,
    head: &Head<'_>,
    trace: &mut impl Trace,
) -> Result<(), Reason> {
    let accepted = route.is_none_or(|route| match route.form {
        Form::Http { body, .. } => body.unwrap_or(!unmediated || request.upgrade),
        // A message is in the body.
        Form::Grpc => true,
    });
    trace.saw(|| Seen::Body { there: head.body, accepted });
    if head.body && !accepted { Err(Reason::Overloaded) } else { Ok(()) }
}

/// `session_ended`, `idle`: by what the workers of the proxy share. Observing ends nothing.
fn goes_on(
    rules: &Rules,
    session: &Session,
    worker: &mut Worker,
    head: &Head<'_>,
    findings: &mut Findings,
    trace: &mut impl Trace,
) -> Result<(), Reason> {
    let Some(asked) = rules.asked(session, worker) else { return Ok(()) };
    let context = rules.state.contexts.of(head).map_err(|Missing| Reason::InternalError)?;
    let entered = worker.sessions.enter(&asked, context);
    trace.saw(|| Seen::State { stopped: entered.as_ref().err().map(|stop| stop.reason.code()) });
    entered.map_err(|stop| {
        findings.ended_now = stop.ended_now;
        stop.reason
    })
}

/// May the session use the command? Asked of a request, and again of a stream that is open.
pub(crate) fn may(
    rules: &Rules,
    session: &Session,
    command: Option<(CommandId, &Command)>,
    latest: Timestamp,
    findings: &mut Findings,
    trace: &mut impl Trace,
) -> Result<(), Reason> {
    trace.saw(|| Seen::Command { command: command.map(|(_, command)| command.name.to_string()) });
    let Some((command, named)) = command else {
        // What is none of the commands is in no token and in no grant: nothing is left to check.
        return findings.deny(Reason::UnknownCommand, rules);
    };
    let listed = match session.claims.commands.is_absent() {
        true => !rules.session.token_commands_required,
        false => session.claims.commands.hold(&named.name),
    };
    trace.saw(|| Seen::token_commands(&session.claims.commands, rules.session.token_commands_required, listed));
    if !listed {
        findings.deny(Reason::CommandNotInToken, rules)?;
    }
    let granted = is_granted(rules, session, command, latest, findings);
    trace.saw(|| Seen::Grants {
        granted_by: findings.grant.and_then(|place| rules.grants.all().get(place)).map(|grant| grant.name.to_string()),
        ends: findings.ends,
    });
    granted
}

/// Is the request's form that of the route? gRPC-Web and Connect are not gRPC, and an upgrade leaves HTTP behind.
fn has_form(route: &Route, request: &Request<'_>) -> bool {
    match route.form {
        Form::Http { upgrade, .. } => upgrade || !request.upgrade,
        Form::Grpc => request.method == b"POST" && request.grpc && !request.upgrade,
    }
}

/// `not_yet_valid`, `expired`, `lifetime_exceeded`, `revoked`.
pub(crate) fn is_live(
    rules: &Rules,
    session: &Session,
    Moment { now, latest, .. }: Moment<'_>,
    findings: &mut Findings,
    trace: &mut impl Trace,
) -> Result<(), Reason> {
    let claims = &session.claims;
    let skew = rules.session.clock_skew;
    trace.saw(|| Seen::Begin {
        now: now.seconds(),
        not_before: claims.not_before,
        issued: claims.issued,
        started: claims.started,
        clock_skew: skew,
    });
    // The clock itself, not the latest instant: one that went ahead and came back must not open early what begins later.
    let begins = claims.not_before.unwrap_or(0).max(claims.issued).max(claims.started);
    if now.seconds().saturating_add(skew) < begins {
        return Err(Reason::NotYetValid);
    }
    let over = |end: u64| latest.seconds() >= end.saturating_add(skew);
    trace.saw(|| Seen::Expiry { now: latest.seconds(), expires: claims.expires, clock_skew: skew });
    if over(claims.expires) {
        return Err(Reason::Expired);
    }
    let longest = claims.started.saturating_add(rules.session.max_lifetime);
    findings.ends = Some(claims.expires.min(longest));
    trace.saw(|| Seen::Lifetime {
        token: claims.expires.saturating_sub(claims.issued),
        session: latest.seconds().saturating_sub(claims.started),
        longest: rules.session.max_lifetime,
    });
    if claims.expires.saturating_sub(claims.issued) > rules.session.max_lifetime || over(longest) {
        return Err(Reason::LifetimeExceeded);
    }
    trace.saw(|| Seen::Revocation { named: session.revoked.is_some(), because: session.revoked.clone().flatten() });
    if session.revoked.is_some() {
        return Err(Reason::Revoked);
    }
    Ok(())
}

/// `status_unavailable`, or `revoked` once more: what the issuer itself says of the token by now.
pub(crate) fn has_status(
    rules: &Rules,
    session: &Session,
    Moment { latest, sources, .. }: Moment<'_>,
    findings: &mut Findings,
    trace: &mut impl Trace,
) -> Result<(), Reason> {
    let Some(reference) = &session.status else {
        trace.saw(|| Seen::Status { list: None, index: None, value: None });
        return Ok(());
    };
    let issuer = rules.tokens.issuers.get(&session.claims.issuer);
    let entry = issuer.map_or(Entry::Unavailable, |issuer| sources.entry(issuer, reference, latest));
    let value = match entry {
        Entry::Is(value, _) => Some(value),
        Entry::Unavailable => None,
    };
    trace.saw(|| Seen::Status { list: Some(reference.list.uri.to_string()), index: Some(reference.index), value });
    match entry {
        Entry::Is(0, until) => {
            findings.status_until = Some(until);
            Ok(())
        }
        // Suspended, or whatever an application means by others: not valid (§7.1).
        Entry::Is(..) => Err(Reason::Revoked),
        Entry::Unavailable => Err(Reason::StatusUnavailable),
    }
}

/// `command_not_granted`, or `lifetime_exceeded` when every grant of the command has run out for this session.
fn is_granted(
    rules: &Rules,
    session: &Session,
    command: CommandId,
    latest: Timestamp,
    findings: &mut Findings,
) -> Result<(), Reason> {
    let mut reason = Reason::CommandNotGranted;
    for &place in &session.grants {
        let Some(grant) = rules.grants.all().get(place).filter(|grant| grant.allows(command)) else { continue };
        let end = grant.max_lifetime.map(|longest| session.claims.started.saturating_add(longest));
        if end.is_some_and(|end| latest.seconds() >= end.saturating_add(rules.session.clock_skew)) {
            reason = Reason::LifetimeExceeded;
            continue;
        }
        findings.grant = Some(place);
        findings.ends = findings.ends.map(|ends| end.map_or(ends, |end| end.min(ends)));
        return Ok(());
    }
    findings.deny(reason, rules)
}
