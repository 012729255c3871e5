//! Single stream callbacks for a worker that drives the stream: maps and bodies stay where the guest sees them.

use super::headers::HeaderMap;
use super::reply::{is_grpc, status_of};
use super::stream::{BodyOf, Part};
use super::{Headers, MapType, StreamId, Trap, Vm};
use std::sync::Arc;

/// What a callback came to.
pub(super) enum CallbackResult {
    /// What it answered; `stopped`: it asked for a local reply, so that the answer does not count.
    Action { action: u32, stopped: bool },
    /// It has no such callback.
    NoCallback,
    /// The VM is dead, by now or before.
    Failed,
}

impl Vm {
    /// Hands over a header map that has arrived.
    pub(super) fn put_map(&mut self, stream: StreamId, part: Part, headers: Headers) {
        let Some(state) = self.stream_mut(stream) else { return };
        let map = HeaderMap::incoming(part.direction(), headers);
        match part {
            Part::RequestHeaders => {
                state.grpc = map.get(b"content-type").is_some_and(is_grpc);
                state.head = map.get(b":method") == Some(b"HEAD");
            }
            Part::ResponseHeaders => {
                state.response_started = true;
                state.info.response_code = Some(status_of(map.entries()));
            }
            Part::RequestTrailers | Part::ResponseTrailers => {}
        }
        *part.slot(state) = Some(map);
        state.hide(part.map_type(), false);
    }

    /// The map as the filter left it.
    pub(super) fn map_of(&mut self, stream: StreamId, part: Part) -> Headers {
        let Some(state) = self.stream_mut(stream) else { return Headers::new() };
        part.slot(state).as_ref().map(|map| map.entries().clone()).unwrap_or_default()
    }

    pub(super) fn hide_map(&mut self, stream: StreamId, map: MapType) {
        if let Some(state) = self.stream_mut(stream) {
            state.hide(map, true);
        }
    }

    pub(super) fn put_body(&mut self, stream: StreamId, of: BodyOf, bytes: Vec<u8>) {
        if let Some(state) = self.stream_mut(stream) {
            *of.slot(state) = Some(bytes);
        }
    }

    pub(super) fn take_body(&mut self, stream: StreamId, of: BodyOf) -> Option<Vec<u8>> {
        self.stream_mut(stream).and_then(|state| of.slot(state).take())
    }

    /// The callback for a header map, in the form of the module's ABI.
    pub(super) fn call_map(&mut self, context: u32, part: Part, count: u32, end: u32) -> Result<Option<u32>, Arc<Trap>> {
        let old = (context, count);
        match part {
            Part::RequestHeaders if self.exports.old_request_headers.is_some() => {
                self.call(context, |e| &e.old_request_headers, old)
            }
            Part::ResponseHeaders if self.exports.old_response_headers.is_some() => {
                self.call(context, |e| &e.old_response_headers, old)
            }
            Part::RequestHeaders => self.call(context, |e| &e.request_headers, (context, count, end)),
            Part::ResponseHeaders => self.call(context, |e| &e.response_headers, (context, count, end)),
            Part::RequestTrailers => self.call(context, |e| &e.request_trailers, (context, count)),
            Part::ResponseTrailers => self.call(context, |e| &e.response_trailers, (context, count)),
        }
    }

    /// The callback for a map that was put there.
    pub(super) fn ask_about_map(&mut self, stream: StreamId, part: Part, end_of_stream: bool) -> CallbackResult {
        let Some(state) = self.stream_mut(stream) else { return CallbackResult::Failed };
        let count = part.slot(state).as_ref().map_or(0, |map| map.entries().len());
        let (count, end, context) = (u32::try_from(count).unwrap_or(u32::MAX), u32::from(end_of_stream), stream.context);
        let called = self.call_map(context, part, count, end);
        self.result_of(called.ok())
    }

    /// The callback for a body that was put there.
    pub(super) fn ask_about_body(&mut self, stream: StreamId, of: BodyOf, end_of_stream: bool) -> CallbackResult {
        let Some(state) = self.stream_mut(stream) else { return CallbackResult::Failed };
        let length = of.slot(state).as_ref().map_or(0, Vec::len);
        let (length, end, context) = (u32::try_from(length).unwrap_or(u32::MAX), u32::from(end_of_stream), stream.context);
        let called = match of {
            BodyOf::Request => self.call(context, |e| &e.request_body, (context, length, end)),
            BodyOf::Response => self.call(context, |e| &e.response_body, (context, length, end)),
        };
        self.result_of(called.ok())
    }

    fn result_of(&self, called: Option<Option<u32>>) -> CallbackResult {
        match called {
            None => CallbackResult::Failed,
            Some(None) => CallbackResult::NoCallback,
            Some(Some(action)) => CallbackResult::Action { action, stopped: self.store.data().stop_iteration },
        }
    }
}
