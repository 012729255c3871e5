//! The names of all host calls, so that they can be counted and made to fail.

use super::state::Phase;

macro_rules! host_calls {
    ($($variant:ident => $name:literal),* $(,)?) => {
        /// A host call that a guest can import. `WasiOther` stands for all of WASI that Envoy only answers with an errno.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum HostCall { $(#[doc = $name] $variant),* }

        impl HostCall {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
            pub(super) const COUNT: usize = Self::ALL.len();

            /// The import's name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The call with this import name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

host_calls! {
    Log => "proxy_log",
    GetLogLevel => "proxy_get_log_level",
    GetCurrentTime => "proxy_get_current_time_nanoseconds",
    SetTickPeriod => "proxy_set_tick_period_milliseconds",
    GetStatus => "proxy_get_status",
    GetProperty => "proxy_get_property",
    SetProperty => "proxy_set_property",
    GetHeaderMapPairs => "proxy_get_header_map_pairs",
    SetHeaderMapPairs => "proxy_set_header_map_pairs",
    GetHeaderMapValue => "proxy_get_header_map_value",
    AddHeaderMapValue => "proxy_add_header_map_value",
    ReplaceHeaderMapValue => "proxy_replace_header_map_value",
    RemoveHeaderMapValue => "proxy_remove_header_map_value",
    GetHeaderMapSize => "proxy_get_header_map_size",
    GetBufferBytes => "proxy_get_buffer_bytes",
    GetBufferStatus => "proxy_get_buffer_status",
    SetBufferBytes => "proxy_set_buffer_bytes",
    SendLocalResponse => "proxy_send_local_response",
    GetConfiguration => "proxy_get_configuration",
    ContinueRequest => "proxy_continue_request",
    ContinueResponse => "proxy_continue_response",
    ClearRouteCache => "proxy_clear_route_cache",
    ContinueStream => "proxy_continue_stream",
    CloseStream => "proxy_close_stream",
    SetEffectiveContext => "proxy_set_effective_context",
    Done => "proxy_done",
    GetSharedData => "proxy_get_shared_data",
    SetSharedData => "proxy_set_shared_data",
    RegisterSharedQueue => "proxy_register_shared_queue",
    ResolveSharedQueue => "proxy_resolve_shared_queue",
    EnqueueSharedQueue => "proxy_enqueue_shared_queue",
    DequeueSharedQueue => "proxy_dequeue_shared_queue",
    DefineMetric => "proxy_define_metric",
    IncrementMetric => "proxy_increment_metric",
    RecordMetric => "proxy_record_metric",
    GetMetric => "proxy_get_metric",
    HttpCall => "proxy_http_call",
    GrpcCall => "proxy_grpc_call",
    GrpcStream => "proxy_grpc_stream",
    GrpcSend => "proxy_grpc_send",
    GrpcCancel => "proxy_grpc_cancel",
    GrpcClose => "proxy_grpc_close",
    CallForeignFunction => "proxy_call_foreign_function",
    FdWrite => "fd_write",
    FdPwrite => "fd_pwrite",
    FdFdstatGet => "fd_fdstat_get",
    EnvironGet => "environ_get",
    EnvironSizesGet => "environ_sizes_get",
    ArgsGet => "args_get",
    ArgsSizesGet => "args_sizes_get",
    ClockTimeGet => "clock_time_get",
    ClockResGet => "clock_res_get",
    RandomGet => "random_get",
    PollOneoff => "poll_oneoff",
    ProcExit => "proc_exit",
    WasiOther => "wasi",
}

impl HostCall {
    /// Envoy traps a guest that makes other calls while it starts or allocates (`setRestrictedCallback`).
    pub(super) fn allowed(self, phase: Phase) -> bool {
        match phase {
            Phase::Running => true,
            Phase::Starting => matches!(
                self,
                Self::Log
                    | Self::FdWrite
                    | Self::ArgsGet
                    | Self::ArgsSizesGet
                    | Self::EnvironGet
                    | Self::EnvironSizesGet
                    | Self::ClockTimeGet
                    | Self::RandomGet
                    | Self::ProcExit
                    | Self::WasiOther
            ),
            Phase::Allocating => {
                matches!(self, Self::Log | Self::FdWrite | Self::ClockTimeGet | Self::PollOneoff | Self::ProcExit)
            }
        }
    }
}
