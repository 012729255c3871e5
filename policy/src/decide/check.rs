//! The order of the checks: one function, from the head of a request to an allowance or exactly one reason.

use std::rc::Rc;

use crate::commands::mcp::endpoint::{EndpointId, NameKind};
use crate::commands::mcp::message::Faulty;
use crate::commands::read::Command;
use crate::commands::router::{CommandId, Form, Lookup, Route};
use crate::commands::schema::Violation;
use crate::decide::asked::{Asked, AskedUnder};
use crate::decide::authenticate::authenticate;
use crate::decide::binding::{self, BindingError, Evidence};
use crate::decide::calls::Calls;
use crate::decide::context::Context;
use crate::decide::direct::{self, Mark};
use crate::decide::need::{Given, Need};
use crate::decide::trace::{CheckStep, Trace};
use crate::decide::transfers::{Transfer, TransferRule, may_transfer};
use crate::http::credentials::token as shown;
use crate::http::head::{Head, Headers, Request, values};
use crate::http::path::CanonicalPath;
use crate::http::rpc::Rpc;
use crate::primitives::address::Address;
use crate::primitives::reason::Reason;
use crate::primitives::time::Timestamp;
use crate::rules::binding::Bindings;
use crate::rules::credential::{Credential, Filled, TokenExchange};
use crate::rules::ending::Missing;
use crate::rules::grants::Transfers;
use crate::rules::policy::{Policy, Rules};
use crate::rules::upstream::Direct;
use crate::state::exchanged::{Asker, Obtained, Waiting};
use crate::state::fetch::Entry;
use crate::state::seats::{Room, Seat};
use crate::state::session::{Authenticated, Session};
use crate::state::sessions::{Ending, StateQuery, Unavailable};
use crate::state::worker::Worker;
use crate::token::claims::CommandLists;

#[cfg(any(test, feature = "hold-for-tests"))]
mod hold_for_tests;

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
    /// The epoch of what had been fetched when it was checked.
    pub(crate) epoch: u64,
    /// What this very request has ended its session for.
    pub(crate) ended_now: Option<Ending>,
    /// The upstream's credential, filled in.
    pub(crate) credential: Option<Filled>,
    /// The one that a stream was given which is judged again.
    pub(crate) given: Option<Rc<Credential>>,
    /// The target's own credential that its caller shows.
    pub(crate) direct: Option<Direct>,
    /// Where its command is in the body.
    pub(crate) endpoint: Option<EndpointId>,
    /// What that asks for, once it has been read.
    pub(crate) calls: Option<Box<Calls>>,
    /// Why it could not be.
    pub(crate) faulty: Option<Faulty>,
    /// The first of what it asks for that its token does not list.
    pub(crate) lacking: Option<Asked>,
    /// Which rule the arguments break.
    pub(crate) violation: Option<Violation>,
    /// Its place among what is under way; of what is denied nobody keeps it.
    pub(crate) seat: Option<Seat>,
    /// What it carries, and may under the grant.
    pub(crate) transfer: Transfer,
    /// Whether something follows the head, and whether it may.
    body: Body,
    /// Which check is next, of those that can wait.
    next: Next,
    /// Its place among those that wait for the same credential.
    waiting: Option<Waiting>,
    /// Since when it waits; `None` where it never has.
    pub(crate) held_since: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Body {
    there: bool,
    accepted: bool,
    /// What the head says of one that has to be read: that it cannot be.
    unreadable: Option<Reason>,
}

/// The checks that can wait for something, in their order. What is before the next one is not checked again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    #[default]
    Body,
    Command,
    Credential,
    Room,
}

impl Findings {
    /// For what is judged once more of a session that ends then.
    pub(crate) fn anew(ends: Option<u64>, transfer: Transfer) -> Self {
        Self { ends, transfer, ..Self::default() }
    }

    /// Nothing has been found yet of an exchange that carries this.
    pub(crate) fn carrying(transfer: Transfer) -> Self {
        Self { transfer, ..Self::default() }
    }

    /// Records a denial that the policy observes; any other ends the checks.
    pub(crate) fn deny(&mut self, reason: Reason, rules: &Rules) -> Result<(), Reason> {
        if !rules.observed.contains(&reason) {
            return Err(reason);
        }
        self.observed.get_or_insert(reason);
        Ok(())
    }
}

/// Judges a request by its head; `None` when nothing is left to ask.
pub(crate) fn check(
    policy: &Rc<Policy>,
    worker: &mut Worker,
    head: &Head<'_>,
    context: &Context<'_>,
    findings: &mut Findings,
    trace: &mut impl Trace,
) -> Result<Option<Need>, Reason> {
    let rules = policy.rules().ok_or(Reason::NoPolicy)?;
    worker.observe(context.now);
    findings.epoch = worker.sources.epoch();

    trace.saw(|| CheckStep::head(head));
    let request = Request::read(head)?;
    let path = CanonicalPath::parse(request.path).map_err(|_| Reason::AmbiguousRequest)?;
    trace.saw(|| CheckStep::path(&path));
    let route = match rules.router.find(request.method, &request.host, &path) {
        Lookup::Found(route) => Some(route).filter(|route| has_form(route, &request)),
        Lookup::Missed => None,
        Lookup::Ambiguous => return Err(Reason::AmbiguousRequest),
    };
    findings.endpoint = route.and_then(Route::endpoint);
    findings.command = route.filter(|route| route.endpoint().is_none()).map(|route| route.command);
    let command = findings.command.and_then(|command| rules.commands.get(command.0 as usize));
    let unmediated = command.is_some_and(|command| command.unmediated);
    trace.saw(|| CheckStep::Lookup {
        command: command.map(|command| command.name.to_string()),
        form: request.rpc.map(Rpc::word),
        unmediated,
    });
    let unreadable = findings.endpoint.and_then(|_| unreadable(head.headers, rules.allowances.body_bytes));
    findings.body = Body { there: head.body, accepted: accepts_body(route, unmediated, &request), unreadable };
    findings.transfer = Transfer::of(head.headers, &request, head.body);
    if let Some(shown) = direct::shown(head.headers, &rules.direct) {
        trace.saw(|| CheckStep::Direct { kind: shown.name().to_owned() });
        findings.direct = Some(shown.clone());
        return Err(Reason::DirectCredential);
    }
    if unmediated {
        findings.unmediated = true;
        may_have_body(findings.body, trace)?;
        let (all, address) = (Rc::clone(&worker.unmediated), Address::read(head.source.address()));
        let rooms = all.room(rules.allowances.unmediated_streams, address);
        findings.seat = Some(all.sit(address));
        return rooms.into_iter().try_for_each(|room| has_room(room, trace)).map(|()| None);
    }

    trace.saw(|| CheckStep::locations(head.headers, &rules.tokens.sources));
    let token = shown(head.headers, &rules.tokens.sources)?;
    let authenticated = authenticate(policy, rules, worker, token.text, head.source, context, trace)?;
    let session = Rc::clone(&authenticated.session);
    let tally = Rc::clone(worker.tally(&session));
    // Only a proof needs to know where it comes from.
    let address = Address::read(rules.session.bind.wants_proofs().then(|| head.source.address()).flatten());
    let (peer, headers, method) = (head.peer.as_ref(), head.headers, request.method);
    let evidence = Evidence { peer, headers, method, path: &path, token, address, tally: &tally };
    let bound = binding::check(rules, &session.claims, &evidence, worker, context);
    trace.saw(|| CheckStep::Binding {
        required: rules.session.bind.required.names().collect(),
        confirmation: authenticated
            .token
            .read_within(usize::MAX)
            .map(|jws| binding::confirmation_members(&jws.payload))
            .unwrap_or_default(),
        fault: bound.err().map(BindingError::text),
    });
    findings.bound = bound.map_err(BindingError::reason)?;
    findings.authenticated = Some(authenticated);
    if session.listens {
        worker.told.refresh(worker.latest());
    }
    is_live(rules, &session, context.now, worker, findings, trace)?;
    has_status(rules, &session, worker, findings, trace)?;
    goes_on(rules, &session, worker, head, findings, trace)?;
    proceed(rules, &session, worker, head.headers, &Given::Nothing, findings, trace)
}

/// Judges what of a session's request is left to be judged, each part once; `None` when nothing is left to ask.
pub(crate) fn proceed(
    rules: &Rules,
    session: &Session,
    worker: &mut Worker,
    headers: &Headers<'_>,
    given: &Given<'_>,
    findings: &mut Findings,
    trace: &mut impl Trace,
) -> Result<Option<Need>, Reason> {
    let command = findings.command.and_then(|id| Some((id, rules.commands.get(id.0 as usize)?)));
    if findings.next == Next::Body {
        let need = match findings.endpoint {
            Some(endpoint) => calls_are_missing(rules, endpoint, headers, given, findings, trace)?,
            None => body_is_missing(command, given)?,
        };
        if let Some(need) = need {
            return take_seat(rules, session, worker, findings, trace).map(|()| Some(need));
        }
        findings.next = Next::Command;
    }
    if findings.next == Next::Command {
        match findings.calls.take() {
            Some(mut calls) => {
                let authorized = calls.authorize(rules, session, headers, worker, findings, trace);
                findings.calls = Some(calls);
                authorized?;
            }
            None => {
                let asked = command.map(|(id, command)| AskedUnder { id, command, arguments: None });
                authorize_command(rules, session, asked.as_slice(), worker.latest(), findings, trace)?;
            }
        }
        may_transfer(rules, findings, trace)?;
        findings.next = Next::Credential;
    }
    if findings.next == Next::Credential {
        // Before it is asked for anything elsewhere.
        may_have_body(findings.body, trace)?;
        // An observed denial is let through without a credential: it was never allowed to use it.
        if findings.observed.is_none()
            && let Some(credential) = credential_of(rules, findings)?
        {
            let filled = match credential.exchange() {
                Some(exchange) => match exchanged(rules, exchange, worker, headers, findings) {
                    Ok(Some(Obtained::Has(token))) => Ok(Some(credential.of_token(&token))),
                    Ok(Some(Obtained::Waits(ticket, waiting))) => {
                        findings.waiting = Some(waiting);
                        return take_seat(rules, session, worker, findings, trace).map(|()| Some(Need::Credential(ticket)));
                    }
                    Ok(None) => Ok(None),
                    Err(reason) => Err(reason),
                },
                None => credential.fill(worker.environment()).map(Some).ok_or(Reason::CredentialUnavailable),
            };
            let reference = || credential.reference.to_string();
            trace.saw(|| CheckStep::Credential { reference: reference(), available: matches!(filled, Ok(Some(_))) });
            findings.credential = filled?;
        }
        findings.next = Next::Room;
    }
    // Last, so that it tells nobody anything and counts only what would be let through.
    take_seat(rules, session, worker, findings, trace)?;
    Ok(None)
}

/// What the request is given under its grant: one credential, whatever it asks for.
pub(crate) fn credential_of<'r>(rules: &'r Rules, findings: &Findings) -> Result<Option<&'r Rc<Credential>>, Reason> {
    if rules.all_credentials.is_empty() {
        return Ok(None);
    }
    let grant = findings.grant.and_then(|place| rules.grants.all().get(place));
    let of = |command| grant.map_or_else(|| rules.credentials.of(command), |grant| rules.gives(grant, command));
    let first = of(findings.command);
    let others = findings.calls.iter().flat_map(|calls| calls.every_name()).filter_map(|name| rules.command(name));
    if others.map(|(command, _)| of(Some(command))).any(|other| other != first) {
        return Err(Reason::CredentialUnavailable);
    }
    Ok(first)
}

/// What there is of a token for the session's own; `None` where nobody is given one.
fn exchanged(
    rules: &Rules,
    exchange: &Rc<TokenExchange>,
    worker: &mut Worker,
    headers: &Headers<'_>,
    findings: &mut Findings,
) -> Result<Option<Obtained>, Reason> {
    // It waits for this flight no more, or is counted anew.
    findings.waiting = None;
    let (Some(Authenticated { token, session }), true) = (&findings.authenticated, rules.enforces()) else { return Ok(None) };
    let text = shown(headers, &rules.tokens.sources)?.text;
    let (digest, tally) = (token.digest_of(text), Rc::clone(worker.tally(session)));
    let ends = findings.ends.ok_or(Reason::InternalError)?.saturating_add(rules.session.clock_skew);
    worker.exchange(&Asker { exchange, text, digest, session, tally: &tally, ends }).map(Some)
}

/// `body_too_large`, `body_unsupported`, `body_malformed`: what the body of a request at an endpoint asks for, or that it must be
/// there first.
fn calls_are_missing(
    rules: &Rules,
    endpoint: EndpointId,
    headers: &Headers<'_>,
    given: &Given<'_>,
    findings: &mut Findings,
    trace: &mut impl Trace,
) -> Result<Option<Need>, Reason> {
    let endpoint = rules.endpoint(endpoint).ok_or(Reason::InternalError)?;
    let method = values(headers, ":method").next().unwrap_or_default();
    let read = if method == b"POST" {
        if let Some(reason) = findings.body.unreadable {
            trace.saw(|| CheckStep::Message { bytes: None, fault: Some(reason.client_title().to_owned()) });
            return Err(reason);
        }
        match given {
            Given::Nothing => return Ok(Some(Need::Body { most_bytes: rules.allowances.body_bytes })),
            Given::TooLarge => return Err(Reason::BodyTooLarge),
            Given::Gone => return Err(Reason::AmbiguousRequest),
            Given::Body(body) => {
                let read = Calls::read(endpoint, body.bytes(), headers);
                let bytes = body.bytes().len();
                trace.saw(|| CheckStep::Message {
                    bytes: Some(bytes),
                    fault: read.as_ref().err().map(|faulty| faulty.fault.to_string()),
                });
                read
            }
        }
    } else {
        Calls::of_head(endpoint, method, headers)
    };
    match read {
        Ok(calls) => {
            findings.calls = Some(Box::new(calls));
            Ok(None)
        }
        Err(faulty) => {
            findings.faulty = Some(faulty);
            Err(Reason::BodyMalformed)
        }
    }
}

/// Why a body cannot be read, by its head: it is longer than may be kept, coded, or not JSON.
fn unreadable(headers: &Headers<'_>, most: usize) -> Option<Reason> {
    let length =
        values(headers, "content-length").next().and_then(|length| std::str::from_utf8(length).ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > most) {
        return Some(Reason::BodyTooLarge);
    }
    let coded = values(headers, "content-encoding").any(|coding| !coding.eq_ignore_ascii_case(b"identity"));
    let mut kinds = values(headers, "content-type");
    let plain = matches!((kinds.next(), kinds.next()), (Some(kind), None) if is_json(kind));
    (coded || !plain).then_some(Reason::BodyUnsupported)
}

/// `application/json`, which is UTF-8 whatever a parameter may say (RFC 8259 §8.1, §11): one that says something else is believed
/// by somebody.
fn is_json(kind: &[u8]) -> bool {
    let mut parts = kind.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case(b"application/json"))
        && parts.all(|part| part.eq_ignore_ascii_case(b"charset=utf-8") || part.eq_ignore_ascii_case(b"charset=\"utf-8\""))
}

#[cfg(any(test, feature = "hold-for-tests"))]
use hold_for_tests::body_is_missing;

/// Documents cannot ask for a body yet.
#[cfg(not(any(test, feature = "hold-for-tests")))]
fn body_is_missing(_: Option<(CommandId, &Command)>, _: &Given<'_>) -> Result<Option<Need>, Reason> {
    Ok(None)
}

/// What a head is under these rules.
pub(crate) enum Place<'r> {
    Command(&'r Command),
    /// The command is in the body.
    Endpoint(EndpointId),
    /// It is none, or the head has no single reading.
    Nothing,
}

/// Finds what a head is under these rules.
pub(crate) fn place_of<'r>(rules: &'r Rules, headers: &Headers<'_>) -> Place<'r> {
    let found = || {
        let request = Request::read(&Head { headers, ..Head::default() }).ok()?;
        let path = CanonicalPath::parse(request.path).ok()?;
        match rules.router.find(request.method, &request.host, &path) {
            Lookup::Found(route) if has_form(route, &request) => Some(match route.endpoint() {
                Some(endpoint) => Place::Endpoint(endpoint),
                None => Place::Command(rules.commands.get(route.command.0 as usize)?),
            }),
            Lookup::Found(_) | Lookup::Missed | Lookup::Ambiguous => None,
        }
    };
    found().unwrap_or(Place::Nothing)
}

/// The body by the rules of another policy, for the command of this name: of one that has come between. What it asks for and has
/// not come cannot be waited for any more; the caller may try again.
pub(crate) fn agrees_on_body(rules: &Rules, command: Option<&str>, given: &Given<'_>) -> Result<(), Reason> {
    let in_body = |name: &str| rules.command(name).is_some_and(|(_, command)| command.in_body);
    if command.is_some_and(in_body) {
        // By its head it was something else.
        return Err(Reason::Overloaded);
    }
    match body_is_missing(command.and_then(|name| rules.command(name)), given)? {
        Some(_) => Err(Reason::Overloaded),
        None => Ok(()),
    }
}

/// One seat for a request, taken when it is let through or begins to wait.
fn take_seat(
    rules: &Rules,
    session: &Session,
    worker: &mut Worker,
    findings: &mut Findings,
    trace: &mut impl Trace,
) -> Result<(), Reason> {
    if findings.seat.is_some() {
        return Ok(());
    }
    let tally = Rc::clone(worker.tally(session));
    let room = tally.room(rules.allowances.streams_per_session);
    findings.seat = Some(tally.sit());
    has_room(room, trace)
}

/// `overloaded`: there is no seat left for one more. Where that is only observed it has taken one all the same.
fn has_room(room: Room, trace: &mut impl Trace) -> Result<(), Reason> {
    trace.saw(|| CheckStep::Room { of: room.of, taken: room.taken, most: room.most });
    if room.is_there() { Ok(()) } else { Err(Reason::Overloaded) }
}

/// `overloaded`: something follows the head of a command that has no body.
fn may_have_body(Body { there, accepted, .. }: Body, trace: &mut impl Trace) -> Result<(), Reason> {
    trace.saw(|| CheckStep::Body { there, accepted });
    if there && !accepted { Err(Reason::Overloaded) } else { Ok(()) }
}

/// A stream that waits for a body costs its sender nothing, so that commands which anybody can send are without, unless the
/// policy says so.
fn accepts_body(route: Option<&Route>, unmediated: bool, request: &Request<'_>) -> bool {
    route.is_none_or(|route| match route.form {
        Form::Http { body, .. } => body.unwrap_or(!unmediated || request.upgrade),
        // A message is in the body, but where it is in the query.
        Form::Grpc(_) => request.rpc != Some(Rpc::ConnectGet),
        Form::Mcp(_) => request.method == b"POST",
    })
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
    let Some(query) = StateQuery::of(rules, session, &worker.sessions) else { return Ok(()) };
    let context = rules.state.contexts.of(head).map_err(|Missing| Reason::InternalError)?;
    let entered = worker.sessions.enter(&query, context);
    trace.saw(|| CheckStep::State { stopped: entered.as_ref().err().map(|stop| stop.reason.code()) });
    entered.map_err(|stop| {
        findings.ended_now = stop.ended_now;
        stop.reason
    })
}

/// May the session use the command? Asked of a request, and again of a stream that is open.
pub(crate) fn authorize_command(
    rules: &Rules,
    session: &Session,
    commands: &[AskedUnder<'_>],
    latest: Timestamp,
    findings: &mut Findings,
    trace: &mut impl Trace,
) -> Result<(), Reason> {
    if commands.is_empty() {
        trace.saw(|| CheckStep::Command { command: None });
        // What is none of the commands is in no token and in no grant: nothing is left to check.
        return findings.deny(Reason::UnknownCommand, rules);
    }
    for asked in commands {
        let name = &asked.command.name;
        trace.saw(|| CheckStep::Command { command: Some(name.to_string()) });
        let listed = is_listed(rules, session, |lists| lists.hold(name, asked.arguments));
        let required = rules.session.token_commands_required;
        trace.saw(|| CheckStep::token_commands(&session.claims.commands, asked.arguments, required, listed));
        if !listed {
            findings.lacking.get_or_insert_with(|| asked.named());
            findings.deny(Reason::CommandNotInToken, rules)?;
        }
    }
    let granted = is_granted(rules, session, commands, latest, findings);
    trace.saw(|| CheckStep::Grants {
        granted_by: findings.grant.and_then(|place| rules.grants.all().get(place)).map(|grant| grant.name.to_string()),
        ends: findings.ends,
        browser: findings.transfer.mark().map(Mark::name),
    });
    granted
}

/// Do the token's own lists hold it? Where it has none it may do without, unless the policy wants one.
fn is_listed(rules: &Rules, session: &Session, hold: impl FnOnce(&CommandLists) -> bool) -> bool {
    match session.claims.commands.is_absent() {
        true => !rules.session.token_commands_required,
        false => hold(&session.claims.commands),
    }
}

/// Is something of this kind shown to the session, as far as its token and the grants go? What it can be called with under some
/// arguments or other is; a call of it is judged with its own.
/// `marked`: what of a browser the request shows that asks for the list.
pub(crate) fn may_see(
    rules: &Rules,
    session: &Session,
    command: &str,
    kind: NameKind,
    latest: Timestamp,
    marked: Option<Mark>,
) -> bool {
    let Some((id, command)) = rules.command(command) else { return false };
    let listed = is_listed(rules, session, |lists| match kind {
        NameKind::Tool | NameKind::Prompt => lists.hold_with_some(&command.name),
        NameKind::Resource | NameKind::Method => lists.hold(&command.name, None),
    });
    let asked = AskedUnder { id, command, arguments: None };
    listed && is_granted(rules, session, &[asked], latest, &mut Findings::carrying(Transfer::marked(marked))).is_ok()
}

/// Is the request's form that of the route, or one of those? An upgrade leaves HTTP behind.
fn has_form(route: &Route, request: &Request<'_>) -> bool {
    match route.form {
        Form::Http { upgrade, .. } => upgrade || !request.upgrade,
        Form::Grpc(forms) => request.rpc.is_some_and(|rpc| forms.take(rpc)) && !request.upgrade,
        Form::Mcp(_) => matches!(request.method, b"POST" | b"GET" | b"DELETE") && !request.upgrade,
    }
}

/// `not_yet_valid`, `expired`, `lifetime_exceeded`, `revoked`.
pub(crate) fn is_live(
    rules: &Rules,
    session: &Session,
    now: Timestamp,
    worker: &Worker,
    findings: &mut Findings,
    trace: &mut impl Trace,
) -> Result<(), Reason> {
    let (claims, latest) = (&session.claims, worker.latest());
    let skew = rules.session.clock_skew;
    trace.saw(|| CheckStep::Begin {
        now: now.seconds(),
        not_before: claims.not_before,
        issued: claims.issued,
        started: claims.started,
        clock_skew: skew,
    });
    // The clock itself, not the latest instant: one that went ahead and came back must not open early what begins later.
    if now.seconds().saturating_add(skew) < claims.begins {
        return Err(Reason::NotYetValid);
    }
    let over = |end: u64| latest.seconds() >= end.saturating_add(skew);
    trace.saw(|| CheckStep::Expiry { now: latest.seconds(), expires: claims.expires, clock_skew: skew });
    if over(claims.expires) {
        return Err(Reason::Expired);
    }
    let longest = claims.started.saturating_add(rules.session.max_lifetime);
    findings.ends = Some(claims.expires.min(longest));
    trace.saw(|| CheckStep::Lifetime {
        token: claims.expires.saturating_sub(claims.issued),
        session: latest.seconds().saturating_sub(claims.started),
        longest: rules.session.max_lifetime,
    });
    if claims.expires.saturating_sub(claims.issued) > rules.session.max_lifetime || over(longest) {
        return Err(Reason::LifetimeExceeded);
    }
    // By the document, or by the issuer's own word.
    let told = worker.told.of(session).map_err(|Unavailable| Reason::InternalError)?;
    let named = session.revoked.is_some() || told.is_some();
    trace.saw(|| CheckStep::Revocation { named, because: session.because().map(str::to_owned) });
    if named { Err(Reason::Revoked) } else { Ok(()) }
}

/// `status_unavailable`, or `revoked` once more: what the issuer itself says of the token by now.
pub(crate) fn has_status(
    rules: &Rules,
    session: &Session,
    worker: &Worker,
    findings: &mut Findings,
    trace: &mut impl Trace,
) -> Result<(), Reason> {
    let Some(reference) = &session.status else {
        trace.saw(|| CheckStep::Status { list: None, index: None, value: None });
        return Ok(());
    };
    let issuer = rules.tokens.issuers.get(&session.claims.issuer);
    let entry = issuer.map_or(Entry::Unavailable, |issuer| worker.sources.entry(issuer, reference, worker.latest()));
    let value = match entry {
        Entry::Is(value, _) => Some(value),
        Entry::Unavailable => None,
    };
    trace.saw(|| CheckStep::Status { list: Some(reference.list.uri.to_string()), index: Some(reference.index), value });
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

/// `command_not_granted`, or `lifetime_exceeded` when every grant of the commands has run out for this session. One grant allows all
/// that a request asks for: its bounds are those of the request. Grants add up: the first that lets what is carried through is the
/// one; without any it is the first that allows the commands, and what is carried is for [`may_transfer`] to deny.
fn is_granted(
    rules: &Rules,
    session: &Session,
    commands: &[AskedUnder<'_>],
    latest: Timestamp,
    findings: &mut Findings,
) -> Result<(), Reason> {
    match grant_of(rules, session, commands.iter().map(|asked| asked.id), latest, &findings.transfer, findings.given.as_ref()) {
        Ok(Granted { place, end, transfers, broken }) => {
            findings.grant = Some(place);
            findings.ends = findings.ends.map(|ends| end.map_or(ends, |end| end.min(ends)));
            findings.transfer.granted(transfers, broken);
            Ok(())
        }
        Err(reason) => {
            findings.transfer.granted(None, None);
            findings.deny(reason, rules)
        }
    }
}

/// The grant that allows what a request asks for.
pub(crate) struct Granted {
    pub(crate) place: usize,
    /// The end that it sets to the session, in Unix seconds.
    end: Option<u64>,
    transfers: Option<Transfers>,
    /// The rule of its transfers that the request breaks.
    broken: Option<TransferRule>,
}

/// The grant that [`is_granted`] finds, or why there is none. `given`: what the stream was given by the grant that it began under:
/// nothing that one grant gives goes on under the bounds of another.
pub(crate) fn grant_of(
    rules: &Rules,
    session: &Session,
    commands: impl Iterator<Item = CommandId> + Clone,
    latest: Timestamp,
    transfer: &Transfer,
    given: Option<&Rc<Credential>>,
) -> Result<Granted, Reason> {
    let mut reason = Reason::CommandNotGranted;
    let mut first = None;
    for &place in &session.grants {
        let Some(grant) = rules.grants.all().get(place) else { continue };
        if !commands.clone().all(|command| grant.allows(command)) {
            continue;
        }
        if given.is_some() && !commands.clone().all(|command| rules.gives(grant, Some(command)) == given) {
            continue;
        }
        let end = grant.max_lifetime.map(|longest| session.claims.started.saturating_add(longest));
        if end.is_some_and(|end| latest.seconds() >= end.saturating_add(rules.session.clock_skew)) {
            reason = Reason::LifetimeExceeded;
            continue;
        }
        if grant.machine && transfer.mark().is_some() {
            reason = Reason::InteractiveUse;
            continue;
        }
        let broken = grant.transfers.as_ref().and_then(|limits| transfer.breaks(limits));
        let granted = Granted { place, end, transfers: grant.transfers, broken };
        if broken.is_none() {
            return Ok(granted);
        }
        first.get_or_insert(granted);
    }
    first.ok_or(reason)
}
