//! One HTTP stream: its headers to the core, the core's answer to the proxy.

mod held;
mod permitted;

use std::rc::Rc;

use chaperone_policy::{
    Context, Decision, Denial, Edits, End, Exchange, Head, Headers, Lineage, Need, Policy, Source, Ticket, Timestamp, Worker,
};

use self::held::{Held, Next};
use self::permitted::{Permitted, State};
use crate::crypto::HostCrypto;
use crate::fields;
use crate::hostcalls::{self, Failed};
use crate::metrics::Metrics;
use crate::peer::{PeerProperties, SourceAddress};
use crate::types::{Action, LogLevel, MapType};
use crate::vm::Root;

/// What of its VM a stream needs.
pub(crate) struct With<'v> {
    pub(crate) worker: &'v mut Worker,
    pub(crate) crypto: &'v HostCrypto,
    pub(crate) metrics: &'v mut Metrics,
    /// The host calls at short intervals, and each time the clock is read.
    pub(crate) ticks: bool,
}

/// Which way a body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The request's.
    Up,
    /// The response's.
    Down,
}

/// A stream between its creation and its deletion.
pub(crate) enum Stream {
    /// Not judged yet.
    Begun(Exchange, Rc<Lineage>),
    /// Its request waits for what the decision needs.
    Held(Held),
    /// The policy let it pass; nothing of a request goes on without being here.
    Permitted(Permitted),
    /// Answered, and on record. Nothing is kept: whoever is denied must not fill the VM by keeping streams open. Nothing is
    /// answered a second time: a second local reply is a use-after-free in older Envoys.
    Denied,
}

impl Stream {
    pub(crate) fn new(policy: Rc<Policy>, lineage: Rc<Lineage>) -> Self {
        lineage.begins();
        Self::Begun(Exchange::begin(policy), lineage)
    }

    /// A stream of a root context that is not known: denied.
    pub(crate) fn orphan() -> Self {
        let root = Root::deny_all();
        Self::new(root.policy, root.lineage)
    }

    /// Is there anything kept of it?
    pub(crate) fn is_kept(&self) -> bool {
        matches!(self, Self::Permitted(_) | Self::Held(_))
    }

    /// Does its request wait for what comes of this fetch?
    pub(crate) fn waits_for(&self, ticket: Ticket) -> bool {
        matches!(self, Self::Held(held) if held.exchange.waits_for() == Some(Need::Credential(ticket)))
    }

    /// From the tick: a stream on which nothing moves is asked about all the same.
    pub(crate) fn tick(&mut self, context: u32, with: &mut With<'_>, now: Result<Timestamp, Failed>) {
        match self {
            Self::Permitted(permitted) => permitted.tick(context, with, now),
            Self::Held(_) if hostcalls::set_effective_context(context).is_ok() => {
                self.take_up(|held| held.tick(now, with));
            }
            Self::Held(_) | Self::Begun(..) | Self::Denied => {}
        }
    }

    /// Of a request that waits: what has come may be what it waits for.
    fn take_up(&mut self, f: impl FnOnce(Held) -> Next) -> Action {
        match std::mem::replace(self, Self::Denied) {
            Self::Held(held) => match f(held) {
                Next::Waits(held) => *self = Self::Held(held),
                Next::Passes(permitted) => {
                    *self = Self::Permitted(permitted);
                    return Action::Continue;
                }
                Next::Answered => {}
            },
            other @ (Self::Begun(..) | Self::Permitted(_) | Self::Denied) => *self = other,
        }
        Action::Pause
    }

    /// A piece of a body.
    pub(crate) fn body(&mut self, direction: Direction, size: usize, last: bool, with: &mut With<'_>) -> Action {
        match (self, direction) {
            (Self::Permitted(permitted), _) => permitted.body(direction, size, last, with),
            (stream @ Self::Held(_), Direction::Up) => stream.take_up(|held| held.body(size, last, with)),
            // Of a denied request nothing goes on; our own answer does.
            (Self::Begun(..) | Self::Held(_) | Self::Denied, Direction::Down) => Action::Continue,
            (Self::Begun(..) | Self::Denied, Direction::Up) => Action::Pause,
        }
    }

    /// Judges the request. `room`: may the VM keep another stream? `body`: something follows the head.
    pub(crate) fn request_headers(&mut self, with: &mut With<'_>, room: bool, body: bool) -> Action {
        let (mut exchange, lineage) = match std::mem::replace(self, Self::Denied) {
            Self::Begun(exchange, lineage) => (exchange, lineage),
            // Its head came a second time: the core refuses that.
            Self::Permitted(Permitted { exchange, lineage, state: State::Open, .. }) => (exchange, lineage),
            Self::Held(Held { exchange, lineage, .. }) => (exchange, lineage),
            Self::Permitted(_) | Self::Denied => return Action::Pause,
        };
        match judge(&mut exchange, &lineage.newest(), with, room, body) {
            Judged::Passes(head) => {
                with.metrics.decided(exchange.reason());
                *self = Self::Permitted(Permitted::new(exchange, lineage, head, !body));
                Action::Continue
            }
            Judged::Waits(head) => {
                let held = Held { exchange, lineage, head, body: 0, ended: !body };
                *self = Self::Held(held);
                // A request without a body has a whole one.
                if body { Action::Pause } else { self.take_up(|held| held.body(0, true, with)) }
            }
            Judged::Denied(denial) => {
                refuse(&exchange, &denial, with);
                Action::Pause
            }
        }
    }

    pub(crate) fn request_trailers(&mut self, with: &mut With<'_>) -> Action {
        if matches!(self, Self::Held(_)) {
            return self.take_up(|held| held.trailers(with));
        }
        let Self::Permitted(permitted @ Permitted { state: State::Open, .. }) = self else { return Action::Pause };
        let stripped =
            edit(MapType::HttpRequestTrailers, &mut permitted.up, |trailers| permitted.exchange.request_trailer_edits(trailers));
        if stripped.is_err() {
            return self.fail(with);
        }
        permitted.sent = true;
        Action::Continue
    }

    /// Of the upstream's response, or of a reply that the proxy made. Our own denials are as we wrote them.
    /// `last`: no body follows.
    pub(crate) fn response_headers(&mut self, last: bool, with: &mut With<'_>) -> Action {
        if let Self::Permitted(permitted) = self
            && permitted.is_overdue(with)
        {
            return Action::Pause;
        }
        let mut status = None;
        let mut readable = true;
        let mut carried = true;
        let stripped = match self {
            Self::Begun(exchange, _) => {
                edit(MapType::HttpResponseHeaders, &mut 0, |headers| exchange.response_edits(headers, last))
            }
            Self::Held(held) => edit(MapType::HttpResponseHeaders, &mut 0, |headers| {
                status = fields::status(headers);
                held.exchange.response_edits(headers, last)
            }),
            Self::Permitted(permitted @ Permitted { state: State::Open, .. }) => {
                edit(MapType::HttpResponseHeaders, &mut permitted.down, |headers| {
                    status = fields::status(headers);
                    readable = last || permitted.exchange.can_read_response(headers);
                    carried = last || permitted.exchange.can_carry_response(headers);
                    permitted.exchange.response_edits(headers, last)
                })
            }
            Self::Permitted(Permitted { state: State::Cut, .. }) => return Action::Pause,
            Self::Permitted(_) | Self::Denied => return Action::Continue,
        };
        match self {
            Self::Permitted(permitted) => {
                if stripped.is_ok() && !readable {
                    permitted.end(with.metrics);
                    return Action::Pause;
                }
                if stripped.is_ok() && !carried && permitted.is_overdue(with) {
                    return Action::Pause;
                }
                permitted.status = status;
                permitted.responded = stripped.is_ok();
                if last && permitted.responded {
                    permitted.release_place();
                }
            }
            // The proxy has answered what waited: nothing is left to decide, and nothing to answer.
            Self::Held(_) => self.give_up(status, with),
            Self::Begun(..) | Self::Denied => {}
        }
        // What could not be cleaned is not passed on; before the head has gone out there is still an answer to give.
        if stripped.is_ok() { Action::Continue } else { self.fail(with) }
    }

    pub(crate) fn response_trailers(&mut self, with: &mut With<'_>) -> Action {
        if let Self::Permitted(permitted @ Permitted { state: State::Open, .. }) = self
            && permitted.exchange.keeps_answer()
        {
            // What was kept cannot be put before trailers any more, and half of an answer is none.
            let _ = permitted.exchange.interrupt();
            permitted.end(with.metrics);
            return Action::Pause;
        }
        let stripped = match self {
            Self::Begun(exchange, _) => {
                edit(MapType::HttpResponseTrailers, &mut 0, |trailers| exchange.response_trailer_edits(trailers))
            }
            Self::Permitted(Permitted { state: State::Open, exchange, down, .. }) => {
                edit(MapType::HttpResponseTrailers, down, |trailers| exchange.response_trailer_edits(trailers))
            }
            Self::Permitted(Permitted { state: State::Cut, .. }) => return Action::Pause,
            Self::Held(_) | Self::Permitted(_) | Self::Denied => return Action::Continue,
        };
        if stripped.is_err() {
            return Action::Pause;
        }
        if let Self::Permitted(permitted) = self {
            permitted.release_place();
        }
        Action::Continue
    }

    /// The stream is over: seals the record of what has none yet, where the access log finds it.
    pub(crate) fn log(&mut self, with: &mut With<'_>) {
        match self {
            Self::Permitted(permitted) => permitted.log(with),
            Self::Held(_) => self.give_up(None, with),
            Self::Begun(..) | Self::Denied => {}
        }
    }

    /// Nothing comes of it any more, whether it has been logged or not.
    pub(crate) fn finish(&mut self, worker: &mut Worker) {
        if let Self::Permitted(permitted) = self {
            permitted.exchange.finish(worker);
        }
    }

    /// Of a request that waited: the client has gone, or the proxy has answered it.
    fn give_up(&mut self, status: Option<u16>, with: &mut With<'_>) {
        if let Self::Held(held) = std::mem::replace(self, Self::Denied) {
            held.gave_up(status, with);
        }
    }

    /// What was permitted cannot be carried out: a denial after all, also on record.
    fn fail(&mut self, with: &mut With<'_>) -> Action {
        match std::mem::replace(self, Self::Denied) {
            Self::Permitted(mut permitted) => {
                let _ = answer(&permitted.exchange.fail(with.worker));
                // The status that was seen is not the one that goes out.
                *self = Self::Permitted(Permitted { state: State::Answered, status: None, ..permitted });
            }
            Self::Begun(mut exchange, _) | Self::Held(Held { mut exchange, .. }) => {
                let denial = exchange.fail(with.worker);
                seal(&exchange, &End { response_code: Some(denial.response().status), ..End::default() });
                let _ = answer(&denial);
            }
            Self::Denied => {}
        }
        Action::Pause
    }
}

/// What was made of a head, and its size in bytes as it came.
enum Judged {
    Passes(u64),
    Waits(u64),
    Denied(Denial),
}

/// Judges and edits.
fn judge(exchange: &mut Exchange, newest: &Rc<Policy>, with: &mut With<'_>, room: bool, body: bool) -> Judged {
    let map = hostcalls::get_map(MapType::HttpRequestHeaders);
    let headers = map.as_deref().map_err(|failed| *failed).and_then(fields::parse);
    let now = hostcalls::get_current_time().map(Timestamp::from_nanos);
    // The record of a failure has the time, too.
    if let Ok(now) = now {
        with.worker.observe(now);
    }
    let (Ok(headers), Ok(now)) = (headers, now) else { return Judged::Denied(exchange.fail(with.worker)) };
    if !room {
        return Judged::Denied(exchange.overload(with.worker));
    }
    #[cfg(feature = "for-tests")]
    trap_if_asked(&headers);
    // Where the policy watches it, the core denies a request without one.
    let source = SourceAddress::default();
    let shown = PeerProperties::read(exchange.peer_wanted());
    let peer = shown.as_ref().map(PeerProperties::peer);
    let head = Head { headers: &headers, source: Source::Asked(&source), body, peer };
    match exchange.request(&head, with.worker, &Context { now, newest, verifier: with.crypto }) {
        Decision::Refuse(denial) => Judged::Denied(denial),
        Decision::Hold(_) => Judged::Waits(size_of(&headers)),
        Decision::Forward(permit) => match apply(MapType::HttpRequestHeaders, permit.edits()) {
            Ok(()) => Judged::Passes(size_of(&headers)),
            // Half of the edits may be done: what wears our prefix is no longer known to be ours.
            Err(Failed) => Judged::Denied(exchange.fail(with.worker)),
        },
    }
}

/// Denies a request that has not been answered. On record now, not when the stream ends: a denial is so even if the VM is gone by
/// then.
fn refuse(exchange: &Exchange, denial: &Denial, with: &mut With<'_>) {
    with.metrics.decided(exchange.reason());
    let code = if denial.response().grpc_status.is_some() { 200 } else { denial.response().status };
    seal(exchange, &End { response_code: Some(code), ..End::default() });
    let _ = answer(denial);
}

/// Where that fails the request stays held until it is cut, or the proxy's own timeout ends it.
fn answer(denial: &Denial) -> Result<(), Failed> {
    let response = denial.response();
    let headers = fields::serialise(response.headers.iter().map(|(name, value)| (&**name, value.as_bytes())));
    let sent = hostcalls::send_http_response(response.status, &response.details, &response.body, &headers, response.grpc_status);
    if sent.is_err() {
        hostcalls::log(LogLevel::Error, "chaperone: a denial could not be sent");
    }
    sent
}

fn seal(exchange: &Exchange, end: &End) {
    if let Some(record) = exchange.record(end)
        && hostcalls::set_property("session_audit", record.as_bytes()).is_err()
    {
        hostcalls::log(LogLevel::Error, "chaperone: the audit record could not be sealed");
    }
}

/// Reads a map, adds its size to `bytes`, asks for its edits and makes them.
fn edit(map: MapType, bytes: &mut u64, edits: impl FnOnce(&Headers<'_>) -> Edits) -> Result<(), Failed> {
    let serialised = hostcalls::get_map(map)?;
    let headers = fields::parse(&serialised)?;
    *bytes += size_of(&headers);
    apply(map, &edits(&headers))
}

/// As Envoy counts: names and values.
fn size_of(headers: &Headers<'_>) -> u64 {
    headers.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum()
}

fn apply(map: MapType, edits: &Edits) -> Result<(), Failed> {
    edits.removed().try_for_each(|name| hostcalls::remove_map_value(map, name))?;
    edits.replaced().try_for_each(|(name, value)| hostcalls::set_map_value(map, name, value))?;
    edits.added().try_for_each(|(name, value)| hostcalls::add_map_value(map, name, value))
}

#[cfg(feature = "for-tests")]
fn trap_if_asked(headers: &Headers<'_>) {
    if headers.iter().any(|(name, _)| *name == b"x-chaperone-test-trap") {
        std::process::abort();
    }
}
