//! What the host knows while a guest runs: its contexts, and which of them is speaking.

use super::callout::Callout;
use super::faults::{Fault, SpoilAnswer, SpoilMap};
use super::headers::HeaderMap;
use super::module::Abi;
use super::shared::Metric;
use super::{Clock, Clusters, Headers, HostCall, LocalReply, LogLevel, LogSink, MapType, Plugin, Properties, Shared};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use wasmtime::{Memory, StoreLimits, TypedFunc};

/// What a VM is given for its lifetime. No `Debug`: the environment holds credentials.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) vm_id: String,
    pub(super) configuration: Vec<u8>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) clock: Clock,
    pub(super) log: LogSink,
    pub(super) log_level: LogLevel,
    pub(super) shared: Shared,
    pub(super) clusters: Clusters,
}

/// Envoy allows only some host calls while a guest starts and while it allocates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Allocating,
    Running,
}

pub(super) struct HostState {
    pub(super) settings: Settings,
    pub(super) limits: StoreLimits,
    pub(super) memory: Option<Memory>,
    /// Shared, as a copy of it costs more than the call.
    pub(super) allocate: Option<Arc<TypedFunc<u32, u32>>>,
    pub(super) phase: Phase,
    pub(super) contexts: FxHashMap<u32, Context>,
    /// The context whose callback runs.
    pub(super) current: u32,
    /// The context that `proxy_set_effective_context` chose for this callback; 0 is none.
    pub(super) effective: u32,
    /// A local reply was asked for in this callback: whatever it returns, nothing goes on.
    pub(super) stop_iteration: bool,
    /// What this callback asked for about streams that a [`super::Worker`] drives, to be done when it has returned.
    pub(super) effects: VecDeque<Effect>,
    /// Callouts that were made and not yet handed out.
    pub(super) callouts: Vec<Callout>,
    pub(super) next_callout: u32,
    /// The ABI that the module speaks.
    pub(super) abi: Abi,
    /// The VM's own number.
    pub(super) vm: u64,
    pub(super) metrics: Vec<(u32, Arc<Metric>)>,
    /// Calls by [`HostCall`].
    pub(super) calls: [u64; HostCall::COUNT],
    /// Answers that a test forces upon a host call.
    pub(super) faults: [Option<Fault>; HostCall::COUNT],
    /// What a test does to header maps that the guest reads.
    pub(super) spoil_map: Option<SpoilMap>,
    /// What a test does to the answers of foreign functions.
    pub(super) spoil_answer: Option<SpoilAnswer>,
    /// Reused between host calls, so that answering costs no allocation.
    pub(super) scratch: Vec<u8>,
}

/// The answer to a callout, as the guest reads it.
pub(super) struct CalloutAnswered {
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) trailers: HeaderMap,
}

/// What a guest asked for about a stream.
#[derive(Debug)]
pub(super) struct Effect {
    pub(super) stream: u32,
    pub(super) action: DeferredAction,
}

/// What a worker does about a stream when the callback that asked for it has returned.
#[derive(Debug)]
pub(super) enum DeferredAction {
    ContinueRequest,
    ContinueResponse,
    Close,
    Reply(LocalReply),
}

pub(super) enum Context {
    Root(Root),
    Stream(Box<Stream>),
}

pub(super) struct Root {
    pub(super) plugin: Arc<Plugin>,
    /// Readable only inside `proxy_on_configure` and the context's creation.
    pub(super) configuration: Option<Arc<[u8]>>,
    pub(super) tick_period: Option<u32>,
    /// Open streams.
    pub(super) streams: usize,
    /// No new streams: a newer configuration serves.
    pub(super) retired: bool,
    /// Said "not yet" to `proxy_on_done`.
    pub(super) pending_done: bool,
    /// When its next tick is due, on the monotonic clock.
    pub(super) tick_due: Option<u64>,
    /// The answer to a callout, while its callback runs.
    pub(super) callout_answer: Option<CalloutAnswered>,
    /// What `proxy_get_status` says.
    pub(super) status: (u32, &'static str),
}

/// What happened to a request, for the log.
#[derive(Clone, Debug, Default)]
pub struct LogInfo {
    /// `response.code`.
    pub response_code: Option<u16>,
    /// `response.code_details`.
    pub response_code_details: Option<String>,
    /// `response.flags`.
    pub response_flags: u64,
    /// `request.size`: bytes of the request body.
    pub request_bytes: u64,
    /// `response.size`: bytes of the response body.
    pub response_bytes: u64,
    /// `request.duration`.
    pub duration_nanoseconds: u64,
}

/// Properties that the filter set, by name and in order. In Envoy they are filter state `wasm.<name>`.
pub type FilterState = Vec<(Vec<u8>, Vec<u8>)>;

#[derive(Default)]
pub(super) struct Stream {
    pub(super) root: u32,
    pub(super) plugin: Arc<Plugin>,
    pub(super) properties: Arc<Properties>,
    /// Wall time of the first callback, in nanoseconds.
    pub(super) started: u64,
    /// `proxy_on_context_create` has run.
    pub(super) created: bool,
    pub(super) request_headers: Option<HeaderMap>,
    pub(super) request_trailers: Option<HeaderMap>,
    pub(super) response_headers: Option<HeaderMap>,
    pub(super) response_trailers: Option<HeaderMap>,
    pub(super) request_body: Option<Vec<u8>>,
    pub(super) response_body: Option<Vec<u8>>,
    /// What the access log sees of them; of the request's head, where there is none, the head itself.
    pub(super) logged_request: Option<HeaderMap>,
    pub(super) logged_response: Option<HeaderMap>,
    pub(super) logged_trailers: Option<HeaderMap>,
    pub(super) logging: bool,
    pub(super) filter_state: FilterState,
    pub(super) info: LogInfo,
    pub(super) grpc: bool,
    pub(super) head: bool,
    /// The first local reply; later ones are ignored.
    pub(super) local_reply: Option<LocalReply>,
    /// `proxy_on_response_headers` has been called: a reply from now on goes past the filter.
    pub(super) response_started: bool,
    /// The local reply has been handed to the embedder.
    pub(super) replied: bool,
    /// Envoy answered in place of the failed VM: the VM is not asked again about this stream.
    pub(super) failed: bool,
    /// `proxy_continue_stream` was called in this callback.
    pub(super) continued: bool,
    /// `proxy_close_stream` was called.
    pub(super) closed: bool,
    /// A worker drives it: what is to be done about it goes to [`HostState::effects`].
    pub(super) driven: bool,
    /// Maps, by [`MapType`], that Envoy has taken away from the filter although the stream still has them.
    pub(super) hidden: [bool; 4],
}

impl HostState {
    pub(super) fn new(settings: Settings, limits: StoreLimits) -> Self {
        Self {
            settings,
            limits,
            memory: None,
            allocate: None,
            phase: Phase::Starting,
            contexts: FxHashMap::default(),
            current: 0,
            effective: 0,
            stop_iteration: false,
            effects: VecDeque::new(),
            callouts: Vec::new(),
            next_callout: 1,
            abi: Abi::V0_2_1,
            vm: 0,
            metrics: Vec::new(),
            calls: [0; HostCall::COUNT],
            faults: [const { None }; HostCall::COUNT],
            spoil_map: None,
            spoil_answer: None,
            scratch: Vec::new(),
        }
    }

    fn context_id(&self) -> u32 {
        if self.effective != 0 && self.contexts.contains_key(&self.effective) { self.effective } else { self.current }
    }

    pub(super) fn stream(&self) -> Option<&Stream> {
        match self.contexts.get(&self.context_id())? {
            Context::Stream(stream) => Some(stream),
            Context::Root(_) => None,
        }
    }

    pub(super) fn stream_mut(&mut self) -> Option<&mut Stream> {
        let id = self.context_id();
        self.stream_by_id(id)
    }

    pub(super) fn stream_by_id(&mut self, id: u32) -> Option<&mut Stream> {
        match self.contexts.get_mut(&id)? {
            Context::Stream(stream) => Some(stream),
            Context::Root(_) => None,
        }
    }

    /// The context id of the root of the context that speaks.
    pub(super) fn root_context(&self) -> u32 {
        let id = self.context_id();
        match self.contexts.get(&id) {
            Some(Context::Stream(stream)) => stream.root,
            Some(Context::Root(_)) | None => id,
        }
    }

    /// The root of the context that speaks, to be read.
    pub(super) fn root(&self) -> Option<&Root> {
        match self.contexts.get(&self.root_context())? {
            Context::Root(root) => Some(root),
            Context::Stream(_) => None,
        }
    }

    /// The map that a reading host call sees.
    pub(super) fn map(&self, kind: MapType) -> Option<&HeaderMap> {
        match kind {
            MapType::HttpCallHeaders => self.root()?.callout_answer.as_ref().map(|answer| &answer.headers),
            MapType::HttpCallTrailers => {
                self.root()?.callout_answer.as_ref().map(|answer| &answer.trailers).filter(|map| !map.entries().is_empty())
            }
            MapType::RequestHeaders
            | MapType::RequestTrailers
            | MapType::ResponseHeaders
            | MapType::ResponseTrailers
            | MapType::GrpcInitialMetadata
            | MapType::GrpcTrailingMetadata => self.stream()?.map(kind),
        }
    }

    /// Does what the guest asks for about the stream that it speaks of, if that is one; `act` says what is left for a worker to do.
    pub(super) fn defer(&mut self, act: impl FnOnce(&mut Stream) -> Option<DeferredAction>) {
        let id = self.context_id();
        if let Some(action) = self.stream_by_id(id).and_then(act) {
            self.effects.push_back(Effect { stream: id, action });
        }
    }

    /// The root of the context that speaks: itself, or its stream's.
    pub(super) fn root_mut(&mut self) -> Option<&mut Root> {
        let id = self.root_context();
        self.root_by_id(id)
    }

    pub(super) fn root_by_id(&mut self, id: u32) -> Option<&mut Root> {
        match self.contexts.get_mut(&id)? {
            Context::Root(root) => Some(root),
            Context::Stream(_) => None,
        }
    }

    pub(super) fn plugin(&self) -> Option<&Plugin> {
        match self.contexts.get(&self.context_id())? {
            Context::Root(root) => Some(&root.plugin),
            Context::Stream(stream) => Some(&stream.plugin),
        }
    }

    /// Only inside the creation and configuration of a root.
    pub(super) fn plugin_configuration(&self) -> Option<&Arc<[u8]>> {
        match self.contexts.get(&self.context_id())? {
            Context::Root(root) => root.configuration.as_ref(),
            Context::Stream(_) => None,
        }
    }
}

impl Stream {
    /// The map that a reading host call sees.
    pub(super) fn map(&self, kind: MapType) -> Option<&HeaderMap> {
        match kind {
            _ if !self.logging && self.is_hidden(kind) => None,
            MapType::RequestHeaders if self.logging => self.log_of_request(),
            MapType::ResponseHeaders if self.logging => self.logged_response.as_ref(),
            MapType::ResponseTrailers if self.logging => self.logged_trailers.as_ref(),
            MapType::RequestTrailers if self.logging => None,
            MapType::RequestHeaders => self.request_headers.as_ref(),
            MapType::RequestTrailers => self.request_trailers.as_ref(),
            MapType::ResponseHeaders => self.response_headers.as_ref(),
            MapType::ResponseTrailers => self.response_trailers.as_ref(),
            MapType::GrpcInitialMetadata
            | MapType::GrpcTrailingMetadata
            | MapType::HttpCallHeaders
            | MapType::HttpCallTrailers => None,
        }
    }

    /// The map that a writing host call changes: never the log's.
    pub(super) fn map_mut(&mut self, kind: MapType) -> Option<&mut HeaderMap> {
        match kind {
            _ if self.is_hidden(kind) => None,
            MapType::RequestHeaders => {
                if self.logging && self.logged_request.is_none() {
                    self.logged_request = self.request_headers.clone();
                }
                self.request_headers.as_mut()
            }
            MapType::RequestTrailers => self.request_trailers.as_mut(),
            MapType::ResponseHeaders => self.response_headers.as_mut(),
            MapType::ResponseTrailers => self.response_trailers.as_mut(),
            MapType::GrpcInitialMetadata
            | MapType::GrpcTrailingMetadata
            | MapType::HttpCallHeaders
            | MapType::HttpCallTrailers => None,
        }
    }

    /// What the access log sees of the request's head.
    pub(super) fn log_of_request(&self) -> Option<&HeaderMap> {
        self.logged_request.as_ref().or(self.request_headers.as_ref())
    }

    fn is_hidden(&self, kind: MapType) -> bool {
        self.hidden.get(kind as usize).is_some_and(|hidden| *hidden)
    }

    pub(super) fn hide(&mut self, kind: MapType, hidden: bool) {
        if let Some(slot) = self.hidden.get_mut(kind as usize) {
            *slot = hidden;
        }
    }

    pub(super) fn set_filter_state(&mut self, key: &[u8], value: &[u8]) {
        if let Some((_, present)) = self.filter_state.iter_mut().find(|(k, _)| k == key) {
            value.clone_into(present);
        } else {
            self.filter_state.push((key.to_vec(), value.to_vec()));
        }
    }
}

/// What the access log keeps of headers that went on.
pub(super) fn logged(headers: &Headers, direction: super::headers::Direction) -> HeaderMap {
    HeaderMap::incoming(direction, headers.clone())
}
