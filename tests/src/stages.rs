//! One message through the filter callback by callback, so that a test can do something to the host before each of them.

use policy_host::host::{
    Head, Headers, HostCall, LocalReply, LogInfo, Outcome, Properties, Response, RootId, StreamId, Trap, Vm,
};
use std::sync::Arc;

/// The callbacks of a stream, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// `proxy_on_request_headers`, and the creation of the stream's context.
    RequestHeaders,
    /// `proxy_on_request_body`, of the only piece.
    RequestBody,
    /// `proxy_on_request_trailers`.
    RequestTrailers,
    /// `proxy_on_response_headers`, of the upstream's response or of a local reply.
    ResponseHeaders,
    /// `proxy_on_response_body`, of the only piece.
    ResponseBody,
    /// `proxy_on_response_trailers`.
    ResponseTrailers,
    /// `proxy_on_log`, and the end of the stream.
    Log,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::RequestHeaders,
        Self::RequestBody,
        Self::RequestTrailers,
        Self::ResponseHeaders,
        Self::ResponseBody,
        Self::ResponseTrailers,
        Self::Log,
    ];
}

/// A request and what the upstream answers it; each body is one piece.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The request's head.
    pub request: Headers,
    /// The request's body.
    pub request_body: Option<Vec<u8>>,
    /// The request's trailers.
    pub request_trailers: Option<Headers>,
    /// The response's head.
    pub response: Headers,
    /// The response's body.
    pub response_body: Option<Vec<u8>>,
    /// The response's trailers.
    pub response_trailers: Option<Headers>,
    /// What the proxy knows besides.
    pub properties: Arc<Properties>,
}

/// What became of a message.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    /// The head that went upstream.
    pub upstream: Option<Headers>,
    /// The body that went upstream.
    pub upstream_body: Option<Vec<u8>>,
    /// The trailers that went upstream.
    pub upstream_trailers: Option<Headers>,
    /// The head that the client got, of the upstream's response or of a local reply.
    pub client: Option<Headers>,
    /// The body that the client got of the upstream's response.
    pub client_body: Option<Vec<u8>>,
    /// The trailers that the client got.
    pub client_trailers: Option<Headers>,
    /// The first local reply.
    pub reply: Option<LocalReply>,
    /// The callback that held the stream, for ever.
    pub held: Option<Stage>,
    /// How many local replies the filter asked for.
    pub replies: u64,
    /// The record that the filter set.
    pub record: Option<Vec<u8>>,
    /// What the VM died of.
    pub trap: Option<Arc<Trap>>,
}

impl Ran {
    /// Everything went on as the client and the upstream sent it, edited.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.upstream.is_some() && self.reply.is_none() && self.held.is_none() && self.trap.is_none()
    }
}

/// Runs a message. `before` is called before each callback that is made.
pub fn run(vm: &mut Vm, root: RootId, message: &Message, before: impl FnMut(Stage, &mut Vm)) -> Ran {
    let stream = vm.open(root, Arc::clone(&message.properties));
    run_stream(vm, stream, message, before)
}

/// Runs a message on a stream that is open, and closes it.
pub fn run_stream(vm: &mut Vm, stream: StreamId, message: &Message, mut before: impl FnMut(Stage, &mut Vm)) -> Ran {
    let replies = vm.call_count(HostCall::SendLocalResponse);
    let mut ran = Ran::default();
    let _ = through(vm, stream, message, &mut before, &mut ran);
    before(Stage::Log, vm);
    let info = LogInfo { response_code: ran.client.as_ref().map(status), ..LogInfo::default() };
    let set = vm.finish(stream, info);
    ran.record = set.into_iter().find(|(name, _)| name == b"session_audit").map(|(_, value)| value);
    ran.replies = vm.call_count(HostCall::SendLocalResponse) - replies;
    ran.trap = vm.trap().cloned();
    ran
}

/// `None` where it ends before the last callback.
fn through(
    vm: &mut Vm,
    stream: StreamId,
    message: &Message,
    before: &mut impl FnMut(Stage, &mut Vm),
    ran: &mut Ran,
) -> Option<()> {
    let Message { request, request_body, request_trailers, response, response_body, response_trailers, properties: _ } =
        message.clone();
    let ends = request_body.is_none() && request_trailers.is_none();
    before(Stage::RequestHeaders, vm);
    let outcome = vm.request_headers(stream, Head { headers: request, end_of_stream: ends });
    ran.upstream = Some(go_on(vm, stream, Stage::RequestHeaders, outcome, before, ran)?);
    if let Some(body) = request_body {
        before(Stage::RequestBody, vm);
        let outcome = vm.request_body(stream, body, request_trailers.is_none());
        ran.upstream_body = Some(go_on(vm, stream, Stage::RequestBody, outcome, before, ran)?);
    }
    if let Some(trailers) = request_trailers {
        before(Stage::RequestTrailers, vm);
        let outcome = vm.request_trailers(stream, trailers);
        ran.upstream_trailers = Some(go_on(vm, stream, Stage::RequestTrailers, outcome, before, ran)?);
    }
    let ends = response_body.is_none() && response_trailers.is_none();
    before(Stage::ResponseHeaders, vm);
    let outcome = vm.response_headers(stream, Head { headers: response, end_of_stream: ends });
    ran.client = Some(go_on(vm, stream, Stage::ResponseHeaders, outcome, before, ran)?);
    if let Some(body) = response_body {
        before(Stage::ResponseBody, vm);
        let outcome = vm.response_body(stream, body, response_trailers.is_none());
        ran.client_body = Some(go_on(vm, stream, Stage::ResponseBody, outcome, before, ran)?);
    }
    if let Some(trailers) = response_trailers {
        before(Stage::ResponseTrailers, vm);
        let outcome = vm.response_trailers(stream, trailers);
        ran.client_trailers = Some(go_on(vm, stream, Stage::ResponseTrailers, outcome, before, ran)?);
    }
    Some(())
}

fn go_on<T>(
    vm: &mut Vm,
    stream: StreamId,
    stage: Stage,
    outcome: Outcome<T>,
    before: &mut impl FnMut(Stage, &mut Vm),
    ran: &mut Ran,
) -> Option<T> {
    let reply = match outcome {
        Outcome::Continue(part) => return Some(part),
        Outcome::Paused | Outcome::Reset => {
            ran.held = Some(stage);
            return None;
        }
        Outcome::LocalReply(reply) | Outcome::Trapped { reply, .. } => reply,
    };
    before(Stage::ResponseHeaders, vm);
    let Response { headers, body: _ } = vm.local_response(stream, &reply);
    ran.client = Some(headers);
    ran.reply = Some(reply);
    None
}

fn status(headers: &Headers) -> u16 {
    let value = headers.iter().find(|(name, _)| name == b":status").map(|(_, value)| value.as_slice());
    value.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok()).unwrap_or(0)
}
