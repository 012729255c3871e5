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
pub(crate) struct Stream {
    exchange: Exchange,
    /// The policy let it pass; without this nothing of the request goes on.
    permitted: bool,
    /// A local reply was sent. A second one is a use-after-free in older Envoys.
    answered: bool,
}

impl Stream {
    pub(crate) fn new(policy: Rc<Policy>) -> Self {
        Self { exchange: Exchange::begin(policy), permitted: false, answered: false }
    }

    pub(crate) fn request_headers(&mut self, worker: &mut Worker, crypto: &HostCrypto, metrics: &mut Metrics) -> Action {
        let judged = self.judge(worker, crypto);
        metrics.decided(self.exchange.reason(), worker.counts(), crypto.made());
        match judged {
            Ok(()) => self.permitted = true,
            Err(denial) => self.answer(&denial),
        }
        self.held_or_gone()
    }

    fn judge(&mut self, worker: &mut Worker, crypto: &HostCrypto) -> Result<(), Denial> {
        let map = abi::header_map(Map::RequestHeaders);
        let headers = map.as_deref().map_err(|failed| *failed).and_then(fields::parse);
        let now = abi::now().map(Timestamp::from_nanos);
        let (Ok(headers), Ok(now)) = (headers, now) else {
            return Err(self.exchange.fail(worker, now.unwrap_or_default()));
        };
        #[cfg(feature = "trap-for-tests")]
        trap_if_asked(&headers);
        // The address is for the record alone; a request without one is judged all the same.
        let source = abi::property("source\0address").ok();
        let head = Head { headers: &headers, source_address: source.as_deref() };
        match self.exchange.request(&head, worker, now, crypto) {
            Decision::Refuse(denial) => Err(denial),
            Decision::Forward(permit) => match apply(Map::RequestHeaders, permit.edits()) {
                Ok(()) => Ok(()),
                // Half of the edits may be done: what wears our prefix is no longer known to be ours.
                Err(Failed) => Err(self.exchange.fail(worker, now)),
            },
        }
    }

    pub(crate) fn request_trailers(&mut self) -> Action {
        if self.permitted && self.strip_trailers(Map::RequestTrailers).is_err() {
            self.permitted = false;
            self.answer_failure();
        }
        self.held_or_gone()
    }

    /// Of the upstream's response and of our own denials alike.
    pub(crate) fn response_headers(&mut self) -> Action {
        self.response(Map::ResponseHeaders, |stream| {
            edit(Map::ResponseHeaders, |headers| stream.exchange.response_edits(headers))
        })
    }

    pub(crate) fn response_trailers(&mut self) -> Action {
        self.response(Map::ResponseTrailers, |stream| stream.strip_trailers(Map::ResponseTrailers))
    }

    fn response(&mut self, map: Map, edit: impl FnOnce(&Self) -> Result<(), Failed>) -> Action {
        if edit(self).is_ok() || self.answered {
            return Action::Continue;
        }
        // What could not be cleaned is not passed on; before the head has gone out there is still an answer to give.
        if matches!(map, Map::ResponseHeaders) {
            self.answer_failure();
        }
        Action::Pause
    }

    /// The stream is over: seals its record, where the access log finds it.
    pub(crate) fn log(&self, proxy: Option<&str>) {
        let end = End {
            response_code: abi::integer_property("response\0code")
                .and_then(|code| u16::try_from(code).ok())
                .filter(|code| *code > 0),
            bytes_up: abi::integer_property("request\0total_size"),
            bytes_down: abi::integer_property("response\0total_size"),
            proxy,
        };
        if let Some(record) = self.exchange.record(&end)
            && abi::set_property("session_audit", record.as_bytes()).is_err()
        {
            abi::log(abi::Level::Error, "chaperone: the audit record could not be sealed");
        }
    }

    fn strip_trailers(&self, map: Map) -> Result<(), Failed> {
        edit(map, |headers| self.exchange.trailer_edits(headers))
    }

    fn held_or_gone(&self) -> Action {
        if self.permitted && !self.answered { Action::Continue } else { Action::Pause }
    }

    fn answer(&mut self, denial: &Denial) {
        if self.answered {
            return;
        }
        self.answered = true;
        let response = denial.response();
        let headers = fields::serialise(&response.headers);
        let sent = abi::send_local_response(response.status, &response.details, &response.body, &headers, response.grpc_status);
        if sent.is_err() {
            // The request stays held until the proxy's own timeout ends it.
            abi::log(abi::Level::Error, "chaperone: a denial could not be sent");
        }
    }

    fn answer_failure(&mut self) {
        if !self.answered {
            self.answered = true;
            if abi::send_local_response(503, "chaperone{internal_error}", "", &[], None).is_err() {
                abi::log(abi::Level::Error, "chaperone: a denial could not be sent");
            }
        }
    }
}

/// Reads a map, asks for its edits and makes them.
fn edit(map: Map, edits: impl FnOnce(&Headers<'_>) -> Edits) -> Result<(), Failed> {
    let serialised = abi::header_map(map)?;
    apply(map, &edits(&fields::parse(&serialised)?))
}

fn apply(map: Map, edits: &Edits) -> Result<(), Failed> {
    edits.remove.iter().try_for_each(|name| abi::remove_header(map, name))?;
    edits.set.iter().try_for_each(|(name, value)| abi::set_header(map, name.as_bytes(), value))
}

#[cfg(feature = "trap-for-tests")]
fn trap_if_asked(headers: &Headers<'_>) {
    if headers.iter().any(|(name, _)| *name == b"x-chaperone-test-trap") {
        std::process::abort();
    }
}
