//! One HTTP stream: its headers to the core, the core's answer to the proxy.

use std::rc::Rc;

use chaperone_policy::{Decision, Denial, Edits, End, Exchange, Head, Headers, Lineage, Passage, Policy, Timestamp, Worker};

use crate::crypto::HostCrypto;
use crate::fields;
use crate::hostcalls::{self, Failed};
use crate::metrics::Metrics;
use crate::peer::PeerProperties;
use crate::types::{Action, BufferType, LogLevel, MapType};
use crate::vm::Root;

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
    /// The policy let it pass; nothing of a request goes on without being here.
    Permitted(Permitted),
    /// Answered by us, and on record. Nothing is kept: whoever is denied must not fill the VM by keeping streams open.
    Denied,
}

/// A stream that the policy let pass.
pub(crate) struct Permitted {
    exchange: Exchange,
    lineage: Rc<Lineage>,
    state: State,
    /// Bytes that came from either side, heads included.
    up: u64,
    down: u64,
    /// The whole request has gone on.
    sent: bool,
    /// A response has begun, the upstream's or one that the proxy made.
    responded: bool,
    /// Of the response's body, bytes that were counted and are shown again with what comes next.
    held: usize,
    /// The response's status, once it has been seen.
    status: Option<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Its time is over. Whatever still comes is held, until the proxy has reset it.
    Cut,
    /// We answered in the upstream's stead after all.
    Answered,
}

impl Permitted {
    /// May the stream go on? Without a clock nothing can be said of that, and it may not.
    fn is_over(&mut self, worker: &mut Worker, now: Result<Timestamp, Failed>, moved: bool) -> bool {
        match now {
            Ok(_) if self.lineage.is_abandoned() => self.exchange.abandon().is_some(),
            Ok(now) => self.exchange.recheck(&self.lineage.newest(), worker, now, moved).is_some(),
            Err(Failed) => self.exchange.interrupt().is_some(),
        }
    }

    /// Ends the stream if by the newest policy it may not go on. Without asking for the time: it was asked when the request came,
    /// and is again with the first piece of the body.
    fn is_overdue(&mut self, worker: &mut Worker, metrics: &mut Metrics) -> bool {
        let open = self.state == State::Open;
        let over = open && self.exchange.recheck(&self.lineage.newest(), worker, Timestamp::default(), false).is_some();
        if over {
            self.end(metrics);
        }
        over
    }

    /// Searches what has come of the response's body, where the policy wants that. False: it waits for more.
    fn search(&mut self, size: usize, last: bool) -> bool {
        self.held = 0;
        if self.state != State::Open || !self.exchange.reads_response() {
            return true;
        }
        let piece = if size == 0 { Ok(Vec::new()) } else { hostcalls::get_buffer(BufferType::HttpResponseBody, size) };
        match piece.as_deref() {
            Ok(piece) if piece.len() == size => match self.exchange.response_body(piece, last) {
                // What is cut is so by the question whether the stream may go on.
                Passage::Pass | Passage::Cut => true,
                Passage::Hold => {
                    self.held = size;
                    false
                }
            },
            // What could not be read could have it.
            Ok(_) | Err(Failed) => {
                let _ = self.exchange.interrupt();
                true
            }
        }
    }

    /// The last of the response goes on now. Whoever does not read it holds no place at the target.
    fn release_place(&mut self) {
        if self.sent && self.state == State::Open {
            self.exchange.release_place();
        }
    }

    /// Asks again whether the stream may go on. What may not is ended: the host's calls must be about it.
    fn goes_on(&mut self, worker: &mut Worker, metrics: &mut Metrics, now: Result<Timestamp, Failed>, moved: bool) -> bool {
        if self.state != State::Open {
            return false;
        }
        if !self.is_over(worker, now, moved) {
            return true;
        }
        self.end(metrics);
        false
    }

    /// Whoever waits for an answer gets one, and not the upstream's; what has been answered is cut.
    fn end(&mut self, metrics: &mut Metrics) {
        if !self.responded
            && let Some(denial) = self.exchange.answer_of_cut(&self.lineage.newest())
            && answer(&denial).is_ok()
        {
            self.state = State::Answered;
            metrics.was_cut();
        // A reset that fails is asked for again at the next piece or tick; until then everything is held.
        } else if hostcalls::reset_http_response().is_ok() {
            self.state = State::Cut;
            metrics.was_cut();
        }
    }
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

    pub(crate) fn is_permitted(&self) -> bool {
        matches!(self, Self::Permitted(_))
    }

    /// From the tick: a stream on which nothing moves is asked about all the same.
    pub(crate) fn tick(&mut self, context: u32, worker: &mut Worker, metrics: &mut Metrics, now: Result<Timestamp, Failed>) {
        if let Self::Permitted(permitted) = self
            && permitted.state == State::Open
            && permitted.is_over(worker, now, false)
            && hostcalls::set_effective_context(context).is_ok()
        {
            permitted.goes_on(worker, metrics, now, false);
        }
    }

    /// A piece of a body.
    pub(crate) fn body(&mut self, way: Direction, size: usize, last: bool, worker: &mut Worker, metrics: &mut Metrics) -> Action {
        let Self::Permitted(permitted) = self else {
            // Of a denied request nothing goes on; our own answer does.
            return if way == Direction::Down { Action::Continue } else { Action::Pause };
        };
        let (count, counted) = match way {
            Direction::Up => (&mut permitted.up, 0),
            Direction::Down => (&mut permitted.down, permitted.held),
        };
        *count += size.saturating_sub(counted) as u64;
        if permitted.state == State::Answered {
            // Our answer goes its way; what the client still sends does not.
            return if way == Direction::Down { Action::Continue } else { Action::Pause };
        }
        let passes = way == Direction::Up || permitted.search(size, last);
        let now = hostcalls::get_current_time().map(Timestamp::from_nanos);
        if !permitted.goes_on(worker, metrics, now, true) || !passes {
            return Action::Pause;
        }
        match way {
            Direction::Up => permitted.sent |= last,
            Direction::Down if last => permitted.release_place(),
            Direction::Down => {}
        }
        Action::Continue
    }

    /// Judges the request. `room`: may the VM keep another stream? `body`: something follows the head.
    pub(crate) fn request_headers(
        &mut self,
        worker: &mut Worker,
        crypto: &HostCrypto,
        metrics: &mut Metrics,
        room: bool,
        body: bool,
    ) -> Action {
        let (mut exchange, lineage) = match std::mem::replace(self, Self::Denied) {
            Self::Begun(exchange, lineage) => (exchange, lineage),
            // Its head came a second time: the core refuses that.
            Self::Permitted(Permitted { exchange, lineage, state: State::Open, .. }) => (exchange, lineage),
            // A second local reply is a use-after-free in older Envoys.
            Self::Permitted(_) | Self::Denied => return Action::Pause,
        };
        let judged = judge(&mut exchange, &lineage.newest(), worker, crypto, room, body);
        metrics.decided(exchange.reason());
        match judged {
            Ok(up) => {
                *self = Self::Permitted(Permitted {
                    exchange,
                    lineage,
                    state: State::Open,
                    up,
                    down: 0,
                    sent: !body,
                    responded: false,
                    held: 0,
                    status: None,
                });
                Action::Continue
            }
            Err(denial) => {
                // Now, not when the stream ends: a denial is on record even if the VM is gone by then.
                let code = if denial.response().grpc_status.is_some() { 200 } else { denial.response().status };
                seal(&exchange, &End { response_code: Some(code), ..End::default() });
                let _ = answer(&denial);
                Action::Pause
            }
        }
    }

    pub(crate) fn request_trailers(&mut self, worker: &mut Worker) -> Action {
        let Self::Permitted(permitted @ Permitted { state: State::Open, .. }) = self else { return Action::Pause };
        let stripped =
            edit(MapType::HttpRequestTrailers, &mut permitted.up, |trailers| permitted.exchange.request_trailer_edits(trailers));
        if stripped.is_err() {
            return self.fail(worker);
        }
        if let Self::Permitted(permitted) = self {
            permitted.sent = true;
        }
        Action::Continue
    }

    /// Of the upstream's response, or of a reply that the proxy made. Our own denials are as we wrote them.
    /// `last`: no body follows.
    pub(crate) fn response_headers(&mut self, last: bool, worker: &mut Worker, metrics: &mut Metrics) -> Action {
        if let Self::Permitted(permitted) = self
            && permitted.is_overdue(worker, metrics)
        {
            return Action::Pause;
        }
        let mut status = None;
        let mut readable = true;
        let stripped = match self {
            Self::Begun(exchange, _) => edit(MapType::HttpResponseHeaders, &mut 0, |headers| exchange.response_edits(headers)),
            Self::Permitted(permitted @ Permitted { state: State::Open, .. }) => {
                edit(MapType::HttpResponseHeaders, &mut permitted.down, |headers| {
                    status = fields::status(headers);
                    readable = last || permitted.exchange.can_read_response(headers);
                    permitted.exchange.response_edits(headers)
                })
            }
            Self::Permitted(Permitted { state: State::Cut, .. }) => return Action::Pause,
            Self::Permitted(_) | Self::Denied => return Action::Continue,
        };
        if let Self::Permitted(permitted) = self {
            if stripped.is_ok() && !readable {
                permitted.end(metrics);
                return Action::Pause;
            }
            permitted.status = status;
            permitted.responded = stripped.is_ok();
            if last && permitted.responded {
                permitted.release_place();
            }
        }
        // What could not be cleaned is not passed on; before the head has gone out there is still an answer to give.
        if stripped.is_ok() { Action::Continue } else { self.fail(worker) }
    }

    pub(crate) fn response_trailers(&mut self) -> Action {
        let stripped = match self {
            Self::Begun(exchange, _) => {
                edit(MapType::HttpResponseTrailers, &mut 0, |trailers| exchange.response_trailer_edits(trailers))
            }
            Self::Permitted(Permitted { state: State::Open, exchange, down, .. }) => {
                edit(MapType::HttpResponseTrailers, down, |trailers| exchange.response_trailer_edits(trailers))
            }
            Self::Permitted(Permitted { state: State::Cut, .. }) => return Action::Pause,
            Self::Permitted(_) | Self::Denied => return Action::Continue,
        };
        if stripped.is_err() {
            return Action::Pause;
        }
        if let Self::Permitted(permitted) = self {
            permitted.release_place();
        }
        Action::Continue
    }

    /// The stream is over: seals the record of what was permitted, where the access log finds it.
    pub(crate) fn log(&self, metrics: &mut Metrics) {
        if let Self::Permitted(permitted) = self {
            if permitted.exchange.credential_came_back() {
                metrics.was_echoed();
            }
            // Without a response's head there was none, or one that the proxy made past the filters.
            let asked = || hostcalls::get_integer_property("response\0code").and_then(|code| u16::try_from(code).ok());
            let end = End {
                response_code: permitted.status.or_else(asked).filter(|code| *code > 0),
                bytes_up: Some(permitted.up),
                bytes_down: Some(permitted.down),
            };
            seal(&permitted.exchange, &end);
        }
    }

    /// What was permitted cannot be carried out: a denial after all, also on record.
    fn fail(&mut self, worker: &mut Worker) -> Action {
        match std::mem::replace(self, Self::Denied) {
            Self::Permitted(mut permitted) => {
                let _ = answer(&permitted.exchange.fail(worker, Timestamp::default()));
                // The status that was seen is not the one that goes out.
                *self = Self::Permitted(Permitted { state: State::Answered, status: None, ..permitted });
            }
            Self::Begun(mut exchange, _) => {
                let denial = exchange.fail(worker, Timestamp::default());
                seal(&exchange, &End { response_code: Some(denial.response().status), ..End::default() });
                let _ = answer(&denial);
            }
            Self::Denied => {}
        }
        Action::Pause
    }
}

/// Judges and edits; gives the size of the head as it came.
fn judge(
    exchange: &mut Exchange,
    newest: &Rc<Policy>,
    worker: &mut Worker,
    crypto: &HostCrypto,
    room: bool,
    body: bool,
) -> Result<u64, Denial> {
    let map = hostcalls::get_map(MapType::HttpRequestHeaders);
    let headers = map.as_deref().map_err(|failed| *failed).and_then(fields::parse);
    let now = hostcalls::get_current_time().map(Timestamp::from_nanos);
    let (Ok(headers), Ok(now)) = (headers, now) else {
        return Err(exchange.fail(worker, now.unwrap_or_default()));
    };
    if !room {
        return Err(exchange.overload(worker, now));
    }
    #[cfg(feature = "trap-for-tests")]
    trap_if_asked(&headers);
    // For the record, and for the shares of addresses; where the policy watches it, the core denies a request without one.
    let source = hostcalls::get_property("source\0address").ok().flatten();
    let shown = PeerProperties::read(exchange.peer_wanted());
    let peer = shown.as_ref().map(PeerProperties::peer);
    let head = Head { headers: &headers, source_address: source.as_deref(), body, peer };
    match exchange.request(&head, worker, now, crypto) {
        Decision::Refuse(denial) => Err(denial),
        Decision::Forward(permit) => match exchange.overtaken(newest, &headers, worker, now) {
            Some(denial) => Err(denial),
            None => match apply(MapType::HttpRequestHeaders, permit.edits()) {
                Ok(()) => Ok(size_of(&headers)),
                // Half of the edits may be done: what wears our prefix is no longer known to be ours.
                Err(Failed) => Err(exchange.fail(worker, now)),
            },
        },
    }
}

/// Where that fails the request stays held until it is cut, or the proxy's own timeout ends it.
fn answer(denial: &Denial) -> Result<(), Failed> {
    let response = denial.response();
    let headers = fields::serialise(&response.headers);
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
    edits.set().try_for_each(|(name, value)| hostcalls::set_map_value(map, name, value))
}

#[cfg(feature = "trap-for-tests")]
fn trap_if_asked(headers: &Headers<'_>) {
    if headers.iter().any(|(name, _)| *name == b"x-chaperone-test-trap") {
        std::process::abort();
    }
}
