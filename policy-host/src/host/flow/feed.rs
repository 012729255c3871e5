//! What an embedder calls: streams are opened, fed, watched and ended.

use super::drive::To;
use super::{Event, Flow};
use crate::host::stream::Part;
use crate::host::{FilterState, Head, Headers, LocalReply, LogInfo, Properties, StreamId, Worker};
use std::sync::Arc;

impl Worker {
    /// Opens a stream with the head of its request, under the configuration that serves now. See [`Worker::events`] for what came
    /// of it.
    ///
    /// # Errors
    /// The reply to give while there is no configuration.
    pub fn begin(&mut self, head: Head, properties: impl Into<Arc<Properties>>) -> Result<StreamId, LocalReply> {
        let id = self.open(properties)?;
        self.flows.insert(id, Flow::default());
        if let Some(state) = self.vm.stream_mut(id) {
            state.driven = true;
        }
        self.vm.create(id);
        self.settle();
        self.arrive_head(id, To::Upstream, head);
        self.run_due();
        Ok(id)
    }

    /// A piece of the request's body has arrived. It may have no bytes where it only ends the request.
    pub fn request_data(&mut self, stream: StreamId, bytes: impl Into<Vec<u8>>, end_of_stream: bool) {
        self.count_bytes(stream, To::Upstream, bytes.into(), end_of_stream);
    }

    /// The request's trailers have arrived: the last piece of its body came without the end of the stream.
    pub fn request_trailers(&mut self, stream: StreamId, trailers: Headers) {
        self.vm.put_map(stream, Part::RequestTrailers, trailers);
        self.arrive_trailers(stream, To::Upstream);
        self.run_due();
    }

    /// Upstream's response begins. Without effect once the stream was answered or cut.
    pub fn response_head(&mut self, stream: StreamId, head: Head) {
        if self.flows.get(&stream).is_none_or(|flow| flow.replied || flow.response.begun) {
            return;
        }
        if let Some(state) = self.vm.stream_mut(stream) {
            state.info.response_code_details.get_or_insert_with(|| "via_upstream".into());
        }
        self.arrive_head(stream, To::Client, head);
        self.run_due();
    }

    /// A piece of the response's body has arrived.
    pub fn response_data(&mut self, stream: StreamId, bytes: impl Into<Vec<u8>>, end_of_stream: bool) {
        if self.flows.get(&stream).is_some_and(|flow| !flow.replied) {
            self.count_bytes(stream, To::Client, bytes.into(), end_of_stream);
        }
    }

    /// The response's trailers have arrived.
    pub fn response_trailers(&mut self, stream: StreamId, trailers: Headers) {
        if self.flows.get(&stream).is_some_and(|flow| !flow.replied) {
            self.vm.put_map(stream, Part::ResponseTrailers, trailers);
            self.arrive_trailers(stream, To::Client);
            self.run_due();
        }
    }

    fn count_bytes(&mut self, stream: StreamId, to: To, bytes: Vec<u8>, end_of_stream: bool) {
        if let Some(state) = self.vm.stream_mut(stream) {
            let size = match to {
                To::Upstream => &mut state.info.request_bytes,
                To::Client => &mut state.info.response_bytes,
            };
            *size += bytes.len() as u64;
        }
        self.arrive_body(stream, to, bytes, end_of_stream);
        self.run_due();
    }

    /// The proxy itself answers, as Envoy's router does when upstream cannot be reached: through the filter, where the response has
    /// not begun.
    pub fn answer(&mut self, stream: StreamId, reply: LocalReply) {
        self.reply(stream, reply);
        self.run_due();
    }

    /// Upstream or the connection broke: the stream is cut.
    pub fn reset(&mut self, stream: StreamId) {
        self.cut(stream);
    }

    /// What has happened to the stream since this was last asked, in order. Call it after each feeding, each tick, each
    /// configuration: the filter may act on any stream from any callback.
    pub fn events(&mut self, stream: StreamId) -> Vec<Event> {
        self.flows.get_mut(&stream).map(|flow| flow.events.drain(..).collect()).unwrap_or_default()
    }

    /// Open streams to which something has happened that nobody has asked for yet.
    #[must_use]
    pub fn eventful(&self) -> Vec<StreamId> {
        self.flows.iter().filter(|(_, flow)| !flow.events.is_empty()).map(|(id, _)| *id).collect()
    }

    /// The stream is over, whoever ended it: `proxy_on_log`, `proxy_on_done`, `proxy_on_delete`. Answers the properties that the
    /// filter set. Fields of `info` that are `None` keep what the host has seen.
    pub fn end(&mut self, stream: StreamId, info: LogInfo) -> FilterState {
        self.flows.remove(&stream);
        let filter_state = self.vm.finish(stream, info);
        self.settle();
        filter_state
    }
}
