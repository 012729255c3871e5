//! A stream whose request waits for what its decision needs: nothing of it has gone on.

use std::rc::Rc;

use chaperone_policy::{Context, Decision, Denial, End, Exchange, Given, Headers, Lineage, Need, Timestamp, WholeBody};

use super::permitted::Permitted;
use super::{With, apply, edit, refuse, seal};
use crate::fields;
use crate::hostcalls::{self, Failed};
use crate::types::{BufferType, LogLevel, MapType};

/// A request that waits. The proxy keeps its head and what has come of its body.
pub(crate) struct Held {
    pub(super) exchange: Exchange,
    pub(super) lineage: Rc<Lineage>,
    /// Bytes of the head, and of trailers.
    pub(super) head: u64,
    /// Bytes of the body that have come.
    pub(super) body: usize,
    /// All of the request has come.
    pub(super) ended: bool,
}

/// What becomes of a request that waits.
pub(super) enum Next {
    /// It still does.
    Waits(Held),
    /// It goes on.
    Passes(Permitted),
    /// It has been answered.
    Answered,
}

impl Held {
    /// A piece of its body; `size` counts all that has come.
    pub(super) fn body(mut self, size: usize, last: bool, with: &mut With<'_>) -> Next {
        self.exchange.request_bytes(size.saturating_sub(self.body) as u64);
        self.body = size;
        self.ended |= last;
        self.look(with)
    }

    /// Its trailers, which end it. What must not be in them is taken off at once.
    pub(super) fn trailers(mut self, with: &mut With<'_>) -> Next {
        let stripped =
            edit(MapType::HttpRequestTrailers, &mut self.head, |trailers| self.exchange.request_trailer_edits(trailers));
        if stripped.is_err() {
            return self.refuse(None, with);
        }
        self.ended = true;
        self.look(with)
    }

    /// Whether what has come of the body is what was waited for.
    fn look(self, with: &mut With<'_>) -> Next {
        let Some(Need::Body { most_bytes }) = self.exchange.waits_for() else { return Next::Waits(self) };
        if self.body > most_bytes {
            // A body that exceeds the proxy's own buffer is shown once more after the proxy has answered it: a second answer would be
            // one too many.
            let answered =
                hostcalls::get_property("response\0code_details").is_ok_and(|said| said.is_some_and(|said| !said.is_empty()));
            return if answered {
                let map = hostcalls::get_map(MapType::HttpRequestHeaders);
                let headers = map.as_deref().map_err(|failed| *failed).and_then(fields::parse).unwrap_or_default();
                let code = hostcalls::get_integer_property("response\0code").and_then(|code| u16::try_from(code).ok());
                self.conclude(&Given::TooLarge, &headers, code, with);
                Next::Answered
            } else {
                self.resume(&Given::TooLarge, now(), with)
            };
        }
        if !self.ended {
            return Next::Waits(self);
        }
        let body = hostcalls::get_buffer(BufferType::HttpRequestBody, self.body);
        match body {
            Ok(body) if body.len() == self.body => self.resume(&Given::Body(WholeBody::of_ended(&body)), now(), with),
            // Half of a body is none.
            Ok(_) | Err(Failed) => self.refuse(None, with),
        }
    }

    /// Has the proxy got more of the request than it shows? Then it holds the body with the head, and would show it only when the
    /// head has gone on: too late to decide.
    fn is_hidden(&self) -> bool {
        let waits = self.body == 0 && !self.ended && matches!(self.exchange.waits_for(), Some(Need::Body { .. }));
        waits && hostcalls::get_integer_property("request\0total_size").is_some_and(|size| size > self.head)
    }

    /// From the tick, or when what it waits for may be there; the host's calls must be about this stream.
    pub(super) fn tick(self, now: Result<Timestamp, Failed>, with: &mut With<'_>) -> Next {
        let next = if self.lineage.is_abandoned() {
            let mut held = self;
            let denial = held.exchange.orphan(with.worker);
            held.refuse(Some(denial), with)
        } else if self.is_hidden() {
            hostcalls::log(
                LogLevel::Error,
                "chaperone: the proxy does not show bodies while heads are held: set allow_on_headers_stop_iteration: true beside the filter's configuration",
            );
            self.refuse(None, with)
        } else {
            self.resume(&Given::Nothing, now, with)
        };
        match next {
            Next::Passes(permitted) if hostcalls::resume_http_request().is_err() => {
                // Nothing has gone on: held for good, and answered.
                let Permitted { exchange, lineage, up, .. } = permitted;
                Held { exchange, lineage, head: up, body: 0, ended: true }.refuse(None, with)
            }
            Next::Waits(_) | Next::Passes(_) | Next::Answered => next,
        }
    }

    fn resume(mut self, given: &Given<'_>, now: Result<Timestamp, Failed>, with: &mut With<'_>) -> Next {
        let map = hostcalls::get_map(MapType::HttpRequestHeaders);
        let headers = map.as_deref().map_err(|failed| *failed).and_then(fields::parse);
        let (Ok(headers), Ok(now)) = (headers, now) else { return self.refuse(None, with) };
        let newest = self.lineage.newest();
        let context = Context { now, newest: &newest, verifier: with.crypto };
        match self.exchange.resume(given, &headers, with.worker, &context) {
            Decision::Hold(_) => Next::Waits(self),
            Decision::Refuse(denial) => self.refuse(Some(denial), with),
            Decision::Forward(permit)
                if apply(MapType::HttpRequestHeaders, permit.edits()).is_ok() && put_body(permit.body(), self.body).is_ok() =>
            {
                with.metrics.decided(self.exchange.reason());
                let Self { exchange, lineage, head, body, ended } = self;
                Next::Passes(Permitted::new(exchange, lineage, head + body as u64, ended))
            }
            // Half of the edits may be done: what wears our prefix is no longer known to be ours.
            Decision::Forward(_) => self.refuse(None, with),
        }
    }

    /// Answers it; without a denial because the proxy failed us.
    fn refuse(mut self, denial: Option<Denial>, with: &mut With<'_>) -> Next {
        let denial = denial.unwrap_or_else(|| self.exchange.fail(with.worker));
        refuse(&self.exchange, &denial, with);
        Next::Answered
    }

    /// The client has gone, or the proxy has answered it, with this status.
    pub(super) fn gave_up(self, status: Option<u16>, with: &mut With<'_>) {
        self.conclude(&Given::Gone, &[], status, with);
    }

    /// It will not be decided any more: on record as what it would have been.
    fn conclude(mut self, given: &Given<'_>, headers: &Headers<'_>, status: Option<u16>, with: &mut With<'_>) {
        let newest = self.lineage.newest();
        let context = Context { now: with.worker.latest(), newest: &newest, verifier: with.crypto };
        let _ = self.exchange.resume(given, headers, with.worker, &context);
        with.metrics.decided(self.exchange.reason());
        seal(&self.exchange, &End { response_code: status, bytes_up: Some(self.head + self.body as u64), bytes_down: None });
    }
}

/// Puts a changed body into the place of the one that is held.
fn put_body(body: Option<&str>, held: usize) -> Result<(), Failed> {
    body.map_or(Ok(()), |body| hostcalls::set_buffer(BufferType::HttpRequestBody, held, body.as_bytes()))
}

fn now() -> Result<Timestamp, Failed> {
    hostcalls::get_current_time().map(Timestamp::from_nanos)
}
