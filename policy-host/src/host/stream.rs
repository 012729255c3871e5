//! One request and its response on a VM: the stream callbacks, each as Envoy makes it.

use super::headers::{Direction, HeaderMap};
use super::reply::{Response, is_grpc, status_of};
use super::state::{Context, Stream, logged};
use super::{FilterState, Headers, LocalReply, LogInfo, MapType, Properties, RootId, Trap, Vm};
use std::sync::Arc;

/// One stream of one VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamId {
    pub(super) vm: u64,
    pub(super) context: u32,
}

/// Headers that begin a request or a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// All of them in order, pseudo headers included.
    pub headers: Headers,
    /// No body and no trailers follow.
    pub end_of_stream: bool,
}

/// What a callback decided.
#[derive(Clone, Debug)]
pub enum Outcome<T> {
    /// Go on, with the headers or the body as the filter left them.
    Continue(T),
    /// Answer this instead; see [`Vm::local_response`].
    LocalReply(LocalReply),
    /// Hold everything until the filter continues the stream.
    Paused,
    /// Reset the stream.
    Reset,
    /// The VM is dead: answer `reply`, as Envoy does under FAIL_CLOSED.
    Trapped {
        /// What it died of.
        trap: Arc<Trap>,
        /// 503.
        reply: LocalReply,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    RequestHeaders,
    RequestTrailers,
    ResponseHeaders,
    ResponseTrailers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyOf {
    Request,
    Response,
}

impl Vm {
    /// A new stream under a root context. The filter hears of it with the first callback.
    pub fn open(&mut self, root: RootId, properties: impl Into<Arc<Properties>>) -> StreamId {
        if root.vm != self.id {
            // Its VM is gone, so the stream is dead from the start.
            return StreamId { vm: root.vm, context: 0 };
        }
        let context = self.allocate_context();
        let state = self.store.data_mut();
        let started = state.settings.clock.wall();
        let plugin = state.root_by_id(root.context).map(|root| {
            root.streams += 1;
            Arc::clone(&root.plugin)
        });
        let stream = Stream {
            root: root.context,
            plugin: plugin.unwrap_or_default(),
            properties: properties.into(),
            started,
            ..Stream::default()
        };
        state.contexts.insert(context, Context::Stream(Box::new(stream)));
        StreamId { vm: self.id, context }
    }

    /// `proxy_on_request_headers`.
    pub fn request_headers(&mut self, stream: StreamId, head: Head) -> Outcome<Headers> {
        self.map_callback(stream, Part::RequestHeaders, head.headers, head.end_of_stream)
    }

    /// `proxy_on_request_trailers`.
    pub fn request_trailers(&mut self, stream: StreamId, trailers: Headers) -> Outcome<Headers> {
        self.map_callback(stream, Part::RequestTrailers, trailers, true)
    }

    /// `proxy_on_response_headers`, for a response from upstream.
    pub fn response_headers(&mut self, stream: StreamId, head: Head) -> Outcome<Headers> {
        if let Some(stream) = self.stream_mut(stream) {
            stream.info.response_code_details.get_or_insert_with(|| "via_upstream".into());
        }
        self.map_callback(stream, Part::ResponseHeaders, head.headers, head.end_of_stream)
    }

    /// `proxy_on_response_trailers`.
    pub fn response_trailers(&mut self, stream: StreamId, trailers: Headers) -> Outcome<Headers> {
        self.map_callback(stream, Part::ResponseTrailers, trailers, true)
    }

    /// `proxy_on_request_body` with one piece of the body, which the filter may change.
    pub fn request_body(&mut self, stream: StreamId, body: Vec<u8>, end_of_stream: bool) -> Outcome<Vec<u8>> {
        self.body_callback(stream, BodyOf::Request, body, end_of_stream)
    }

    /// `proxy_on_response_body` with one piece of the body, which the filter may change.
    pub fn response_body(&mut self, stream: StreamId, body: Vec<u8>, end_of_stream: bool) -> Outcome<Vec<u8>> {
        self.body_callback(stream, BodyOf::Response, body, end_of_stream)
    }

    /// Does the filter look at request bodies?
    #[must_use]
    pub fn wants_request_body(&self) -> bool {
        self.exports.request_body.is_some()
    }

    /// Does the filter look at response bodies?
    #[must_use]
    pub fn wants_response_body(&self) -> bool {
        self.exports.response_body.is_some()
    }

    /// What the client gets for a local reply: Envoy's response, which `proxy_on_response_headers` still sees and may change,
    /// unless the reply stands for a dead VM or came after the response had begun.
    pub fn local_response(&mut self, stream: StreamId, reply: &LocalReply) -> Response {
        let Some(state) = self.stream_mut(stream) else { return reply.response(false, false) };
        let mut response = reply.response(state.grpc, state.head);
        state.info.response_code_details = Some(reply.details.clone());
        if state.failed || state.response_started {
            state.info.response_code = Some(response.status());
            return response;
        }
        let end_of_stream = response.body.is_empty();
        match self.map_callback(stream, Part::ResponseHeaders, response.headers.clone(), end_of_stream) {
            Outcome::Continue(headers) => response.headers = headers,
            Outcome::Trapped { reply, .. } => return self.local_response(stream, &reply),
            Outcome::LocalReply(_) | Outcome::Paused | Outcome::Reset => {}
        }
        response
    }

    /// `proxy_on_log`. Fields of `info` that are `None` keep what the host has seen. Answers the properties that the filter set.
    pub fn log(&mut self, stream: StreamId, info: LogInfo) -> FilterState {
        self.create(stream);
        let Some(state) = self.stream_mut(stream) else { return FilterState::new() };
        state.info = LogInfo {
            response_code: info.response_code.or(state.info.response_code),
            response_code_details: info.response_code_details.or_else(|| state.info.response_code_details.take()),
            request_bytes: info.request_bytes.max(state.info.request_bytes),
            response_bytes: info.response_bytes.max(state.info.response_bytes),
            ..info
        };
        state.logging = true;
        // A trap is for the next request to notice; this one is over.
        let _ = self.call(stream.context, |exports| &exports.log, stream.context);
        let Some(state) = self.stream_mut(stream) else { return FilterState::new() };
        state.logging = false;
        std::mem::take(&mut state.filter_state)
    }

    /// Keeps a map for the log as it goes on.
    pub(super) fn log_map(&mut self, stream: StreamId, part: Part) {
        let Some(state) = self.stream_mut(stream) else { return };
        match part {
            Part::ResponseHeaders => {
                state.logged_response = state.response_headers.clone();
                state.info.response_code = state.response_headers.as_ref().map(|map| status_of(map.entries()));
            }
            Part::ResponseTrailers => state.logged_trailers = state.response_trailers.clone(),
            // The request's head stays where it is, and is logged as it then stands.
            Part::RequestHeaders | Part::RequestTrailers => {}
        }
    }

    /// `proxy_on_done` and `proxy_on_delete`: the stream is gone.
    pub fn close(&mut self, stream: StreamId) {
        let Some(state) = self.stream_mut(stream) else { return };
        let (root, created) = (state.root, state.created);
        if created {
            let _ = self.call(stream.context, |exports| &exports.done, stream.context);
            let _ = self.call(stream.context, |exports| &exports.delete, stream.context);
        }
        let state = self.store.data_mut();
        state.contexts.remove(&stream.context);
        if let Some(root) = state.root_by_id(root) {
            root.streams = root.streams.saturating_sub(1);
        }
        self.end_root_if_idle(root);
    }

    /// [`Self::log`], then [`Self::close`].
    pub fn finish(&mut self, stream: StreamId, info: LogInfo) -> FilterState {
        let filter_state = self.log(stream, info);
        self.close(stream);
        filter_state
    }

    /// Has the filter asked to reset this stream, perhaps from another context?
    pub fn is_closed(&mut self, stream: StreamId) -> bool {
        self.stream_mut(stream).is_none_or(|stream| stream.closed)
    }

    pub(super) fn stream_mut(&mut self, stream: StreamId) -> Option<&mut Stream> {
        if stream.vm != self.id {
            return None;
        }
        self.store.data_mut().stream_by_id(stream.context)
    }

    /// `proxy_on_context_create`, once.
    pub(super) fn create(&mut self, stream: StreamId) {
        let Some(state) = self.stream_mut(stream) else { return };
        if state.created {
            return;
        }
        state.created = true;
        let root = state.root;
        let _ = self.call(stream.context, |exports| &exports.context_create, (stream.context, root));
    }

    fn failed(&mut self, stream: StreamId) -> Outcome<Headers> {
        let trap = self.trap().cloned();
        if let Some(state) = self.stream_mut(stream) {
            state.failed = true;
        }
        let trap = trap.unwrap_or_else(|| Arc::new(Trap::new("the stream's VM is gone")));
        Outcome::Trapped { trap, reply: LocalReply::failed_vm() }
    }

    fn map_callback(&mut self, stream: StreamId, part: Part, headers: Headers, end_of_stream: bool) -> Outcome<Headers> {
        match part {
            Part::RequestHeaders => self.create(stream),
            Part::ResponseHeaders => {
                if let Some(state) = self.stream_mut(stream) {
                    state.response_started = true;
                }
            }
            Part::RequestTrailers | Part::ResponseTrailers => {}
        }
        let keeps_log = self.exports.log.is_some();
        let Some(state) = self.stream_mut(stream) else { return self.failed(stream) };
        if state.failed && part != Part::RequestHeaders {
            // Envoy has answered in the VM's place and does not ask it about that answer.
            return Outcome::Continue(headers);
        }
        let map = HeaderMap::incoming(part.direction(), headers);
        let count = u32::try_from(map.entries().len()).unwrap_or(u32::MAX);
        if part == Part::RequestHeaders {
            state.grpc = map.get(b"content-type").is_some_and(is_grpc);
            state.head = map.get(b":method") == Some(b"HEAD");
        }
        state.continued = false;
        *part.slot(state) = Some(map);
        let (context, end) = (stream.context, u32::from(end_of_stream));
        let called = self.call_map(context, part, count, end);
        let Ok(action) = called else { return self.failed(stream) };
        let Some(state) = self.stream_mut(stream) else { return self.failed(stream) };
        if let Some(stopped) = state.stopped(action.unwrap_or(0)) {
            if keeps_log && part == Part::RequestHeaders {
                state.logged_request = state.request_headers.clone();
            }
            return stopped;
        }
        let headers = part.slot(state).take().map(HeaderMap::into_entries).unwrap_or_default();
        if part == Part::ResponseHeaders {
            state.info.response_code = Some(status_of(&headers));
        }
        if keeps_log {
            match part {
                Part::RequestHeaders => state.logged_request = Some(logged(&headers, part.direction())),
                Part::ResponseHeaders => state.logged_response = Some(logged(&headers, part.direction())),
                Part::ResponseTrailers => state.logged_trailers = Some(logged(&headers, part.direction())),
                Part::RequestTrailers => {}
            }
        }
        Outcome::Continue(headers)
    }

    fn body_callback(&mut self, stream: StreamId, of: BodyOf, body: Vec<u8>, end_of_stream: bool) -> Outcome<Vec<u8>> {
        let Some(state) = self.stream_mut(stream) else { return self.failed(stream).without_headers() };
        if state.failed {
            return Outcome::Continue(body);
        }
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        state.continued = false;
        *of.slot(state) = Some(body);
        let (context, end) = (stream.context, u32::from(end_of_stream));
        let called = match of {
            BodyOf::Request => self.call(context, |e| &e.request_body, (context, length, end)),
            BodyOf::Response => self.call(context, |e| &e.response_body, (context, length, end)),
        };
        let Ok(action) = called else { return self.failed(stream).without_headers() };
        let Some(state) = self.stream_mut(stream) else { return self.failed(stream).without_headers() };
        let body = of.slot(state).take().unwrap_or_default();
        state.stopped(action.unwrap_or(0)).map_or(Outcome::Continue(body), Outcome::without_headers)
    }
}

impl Stream {
    /// What keeps the stream from going on after a callback that answered `action`.
    fn stopped(&mut self, action: u32) -> Option<Outcome<Headers>> {
        if self.closed {
            return Some(Outcome::Reset);
        }
        if let Some(reply) = self.local_reply.as_ref().filter(|_| !self.replied) {
            self.replied = true;
            return Some(Outcome::LocalReply(reply.clone()));
        }
        (action != 0 && !self.continued).then_some(Outcome::Paused)
    }
}

impl Outcome<Headers> {
    /// The same where nothing went on; what did had headers, not a body.
    fn without_headers(self) -> Outcome<Vec<u8>> {
        match self {
            Self::Continue(_) | Self::Paused => Outcome::Paused,
            Self::LocalReply(reply) => Outcome::LocalReply(reply),
            Self::Reset => Outcome::Reset,
            Self::Trapped { trap, reply } => Outcome::Trapped { trap, reply },
        }
    }
}

impl Part {
    pub(super) fn direction(self) -> Direction {
        match self {
            Self::RequestHeaders => Direction::Request,
            Self::ResponseHeaders => Direction::Response,
            Self::RequestTrailers | Self::ResponseTrailers => Direction::Trailers,
        }
    }

    pub(super) fn map_type(self) -> MapType {
        match self {
            Self::RequestHeaders => MapType::RequestHeaders,
            Self::RequestTrailers => MapType::RequestTrailers,
            Self::ResponseHeaders => MapType::ResponseHeaders,
            Self::ResponseTrailers => MapType::ResponseTrailers,
        }
    }

    pub(super) fn slot(self, stream: &mut Stream) -> &mut Option<HeaderMap> {
        match self {
            Self::RequestHeaders => &mut stream.request_headers,
            Self::RequestTrailers => &mut stream.request_trailers,
            Self::ResponseHeaders => &mut stream.response_headers,
            Self::ResponseTrailers => &mut stream.response_trailers,
        }
    }
}

impl BodyOf {
    pub(super) fn slot(self, stream: &mut Stream) -> &mut Option<Vec<u8>> {
        match self {
            Self::Request => &mut stream.request_body,
            Self::Response => &mut stream.response_body,
        }
    }
}
