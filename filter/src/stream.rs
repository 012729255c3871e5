//! One HTTP stream: its headers to the core, the core's answer to the proxy.

use std::rc::Rc;

use chaperone_policy::{Decision, Denial, Edits, End, Exchange, Head, Headers, Policy, Timestamp, Worker};

use crate::abi::{self, Failed, Map};
use crate::crypto::HostCrypto;
use crate::fields;
use crate::metrics::Metrics;

/// What the proxy does next with the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Continue,
    Pause,
}

/// A stream between its creation and its deletion.
pub(crate) enum Stream {
    /// Not judged yet.
    Begun(Exchange),
    /// The policy let it pass; nothing of a request goes on without being here.
    Permitted { exchange: Exchange, seen: Seen, answered: bool },
    /// Answered by us, and on record. Nothing is kept: whoever is denied must not fill the VM by keeping streams open.
    Denied,
}

/// What the callbacks have shown of a permitted stream, so that its record need not ask the host for it: a property costs as
/// much as reading a small header map.
#[derive(Clone, Copy, Default)]
pub(crate) struct Seen {
    /// Bytes of the request, when its head was all of it.
    request_bytes: Option<u64>,
    /// The response's status.
    status: Option<u16>,
}

impl Stream {
    pub(crate) fn new(policy: Rc<Policy>) -> Self {
        Self::Begun(Exchange::begin(policy))
    }

    pub(crate) fn is_permitted(&self) -> bool {
        matches!(self, Self::Permitted { .. })
    }

    /// Judges the request. `whole`: nothing follows its head. `room`: may the VM keep another stream?
    pub(crate) fn request_headers(
        &mut self,
        worker: &mut Worker,
        crypto: &HostCrypto,
        metrics: &mut Metrics,
        whole: bool,
        room: bool,
    ) -> Action {
        let mut exchange = match std::mem::replace(self, Self::Denied) {
            Self::Begun(exchange) | Self::Permitted { exchange, answered: false, .. } => exchange,
            // A second local reply is a use-after-free in older Envoys.
            Self::Permitted { answered: true, .. } | Self::Denied => return Action::Pause,
        };
        let judged = judge(&mut exchange, worker, crypto, room);
        metrics.decided(exchange.reason());
        match judged {
            Ok(bytes) => {
                let seen = Seen { request_bytes: whole.then_some(bytes), status: None };
                *self = Self::Permitted { exchange, seen, answered: false };
                Action::Continue
            }
            Err(denial) => {
                // Now, not when the stream ends: a denial is on record even if the VM is gone by then.
                let code = if denial.response().grpc_status.is_some() { 200 } else { denial.response().status };
                seal(&exchange, &End { response_code: Some(code), ..End::default() });
                answer(&denial);
                Action::Pause
            }
        }
    }

    pub(crate) fn request_trailers(&mut self, worker: &mut Worker) -> Action {
        match self {
            Self::Permitted { exchange, answered: false, .. } => {
                let stripped = edit(Map::RequestTrailers, |trailers| exchange.request_trailer_edits(trailers));
                if stripped.is_ok() { Action::Continue } else { self.fail(worker) }
            }
            Self::Begun(_) | Self::Permitted { answered: true, .. } | Self::Denied => Action::Pause,
        }
    }

    /// Of the upstream's response, or of a reply that the proxy made. Our own denials are as we wrote them.
    pub(crate) fn response_headers(&mut self, worker: &mut Worker) -> Action {
        let (exchange, seen) = match self {
            Self::Begun(exchange) => (exchange, &mut Seen::default()),
            Self::Permitted { exchange, seen, answered: false } => (exchange, seen),
            Self::Permitted { answered: true, .. } | Self::Denied => return Action::Continue,
        };
        let stripped = edit(Map::ResponseHeaders, |headers| {
            seen.status = status_of(headers);
            exchange.response_edits(headers)
        });
        // What could not be cleaned is not passed on; before the head has gone out there is still an answer to give.
        if stripped.is_ok() { Action::Continue } else { self.fail(worker) }
    }

    pub(crate) fn response_trailers(&mut self, _: &mut Worker) -> Action {
        match self {
            Self::Begun(exchange) | Self::Permitted { exchange, answered: false, .. } => {
                let stripped = edit(Map::ResponseTrailers, |trailers| exchange.response_trailer_edits(trailers));
                if stripped.is_ok() { Action::Continue } else { Action::Pause }
            }
            Self::Permitted { answered: true, .. } | Self::Denied => Action::Continue,
        }
    }

    /// The stream is over: seals the record of what was permitted, where the access log finds it.
    pub(crate) fn log(&self) {
        if let Self::Permitted { exchange, seen, .. } = self {
            // Without a response's head there was none, or one that the proxy made past the filters.
            let asked = || abi::integer_property("response\0code").and_then(|code| u16::try_from(code).ok());
            let end = End {
                response_code: seen.status.or_else(asked).filter(|code| *code > 0),
                bytes_up: seen.request_bytes.or_else(|| abi::integer_property("request\0total_size")),
                bytes_down: abi::integer_property("response\0total_size"),
            };
            seal(exchange, &end);
        }
    }

    /// What was permitted cannot be carried out: a denial after all, also on record.
    fn fail(&mut self, worker: &mut Worker) -> Action {
        match std::mem::replace(self, Self::Denied) {
            Self::Permitted { mut exchange, seen, .. } => {
                answer(&exchange.fail(worker, Timestamp::default()));
                // The status that was seen is not the one that goes out.
                *self = Self::Permitted { exchange, seen: Seen { status: None, ..seen }, answered: true };
            }
            Self::Begun(mut exchange) => {
                let denial = exchange.fail(worker, Timestamp::default());
                seal(&exchange, &End { response_code: Some(denial.response().status), ..End::default() });
                answer(&denial);
            }
            Self::Denied => {}
        }
        Action::Pause
    }
}

/// Judges and edits; gives the size of the head as it came.
fn judge(exchange: &mut Exchange, worker: &mut Worker, crypto: &HostCrypto, room: bool) -> Result<u64, Denial> {
    let map = abi::header_map(Map::RequestHeaders);
    let headers = map.as_deref().map_err(|failed| *failed).and_then(fields::parse);
    let now = abi::now().map(Timestamp::from_nanos);
    let (Ok(headers), Ok(now)) = (headers, now) else {
        return Err(exchange.fail(worker, now.unwrap_or_default()));
    };
    if !room {
        return Err(exchange.overload(worker, now));
    }
    #[cfg(feature = "trap-for-tests")]
    trap_if_asked(&headers);
    // The address is for the record alone; a request without one is judged all the same.
    let source = abi::property("source\0address").ok();
    let head = Head { headers: &headers, source_address: source.as_deref() };
    match exchange.request(&head, worker, now, crypto) {
        Decision::Refuse(denial) => Err(denial),
        Decision::Forward(permit) => match apply(Map::RequestHeaders, permit.edits()) {
            Ok(()) => Ok(headers.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum()),
            // Half of the edits may be done: what wears our prefix is no longer known to be ours.
            Err(Failed) => Err(exchange.fail(worker, now)),
        },
    }
}

fn answer(denial: &Denial) {
    let response = denial.response();
    let headers = fields::serialise(&response.headers);
    let sent = abi::send_local_response(response.status, &response.details, &response.body, &headers, response.grpc_status);
    if sent.is_err() {
        // The request stays held until the proxy's own timeout ends it.
        abi::log(abi::Level::Error, "chaperone: a denial could not be sent");
    }
}

fn seal(exchange: &Exchange, end: &End) {
    if let Some(record) = exchange.record(end)
        && abi::set_property("session_audit", record.as_bytes()).is_err()
    {
        abi::log(abi::Level::Error, "chaperone: the audit record could not be sealed");
    }
}

/// Reads a map, asks for its edits and makes them.
fn edit(map: Map, edits: impl FnOnce(&Headers<'_>) -> Edits) -> Result<(), Failed> {
    let serialised = abi::header_map(map)?;
    apply(map, &edits(&fields::parse(&serialised)?))
}

fn apply(map: Map, edits: &Edits) -> Result<(), Failed> {
    edits.removed().try_for_each(|name| abi::remove_header(map, name))?;
    edits.set().try_for_each(|(name, value)| abi::set_header(map, name, value))
}

fn status_of(headers: &Headers<'_>) -> Option<u16> {
    let (_, value) = headers.iter().find(|(name, _)| *name == b":status")?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(feature = "trap-for-tests")]
fn trap_if_asked(headers: &Headers<'_>) {
    if headers.iter().any(|(name, _)| *name == b"x-chaperone-test-trap") {
        std::process::abort();
    }
}
