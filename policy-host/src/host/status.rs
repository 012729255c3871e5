//! The numbers of the proxy-wasm ABI 0.2.x: statuses of host calls, kinds of header maps and buffers, log levels.

macro_rules! abi_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $value:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum $name { $($(#[$doc])* $variant = $value),* }

        impl $name {
            /// The variant with this number in the ABI.
            #[must_use]
            pub fn from_abi(number: u32) -> Option<Self> {
                match number { $($value => Some(Self::$variant),)* _ => None }
            }
        }

        impl From<$name> for u32 {
            fn from(value: $name) -> Self { value as Self }
        }
    };
}

abi_enum! {
    /// What a host call answers (`proxy_status_t`).
    Status {
        /// Done.
        Ok = 0,
        /// No such thing.
        NotFound = 1,
        /// An argument that makes no sense, or a thing that is not available in this callback.
        BadArgument = 2,
        /// The value cannot be written down.
        SerializationFailure = 3,
        /// The argument cannot be read.
        ParseFailure = 4,
        /// The expression cannot be evaluated.
        BadExpression = 5,
        /// A pointer leads out of the guest's memory, or the guest could not allocate.
        InvalidMemoryAccess = 6,
        /// The queue is empty.
        Empty = 7,
        /// Somebody else changed the value first.
        CasMismatch = 8,
        /// The result has another type than expected.
        ResultMismatch = 9,
        /// The host failed.
        InternalFailure = 10,
        /// The connection broke.
        BrokenConnection = 11,
        /// The host does not do that.
        Unimplemented = 12,
    }
}

abi_enum! {
    /// Which header map a host call is about (`proxy_map_type_t`).
    MapType {
        /// Request headers.
        RequestHeaders = 0,
        /// Request trailers.
        RequestTrailers = 1,
        /// Response headers.
        ResponseHeaders = 2,
        /// Response trailers.
        ResponseTrailers = 3,
        /// Initial metadata of a gRPC callout.
        GrpcInitialMetadata = 4,
        /// Trailing metadata of a gRPC callout.
        GrpcTrailingMetadata = 5,
        /// Response headers of an HTTP callout.
        HttpCallHeaders = 6,
        /// Response trailers of an HTTP callout.
        HttpCallTrailers = 7,
    }
}

abi_enum! {
    /// Which buffer a host call is about (`proxy_buffer_type_t`).
    BufferType {
        /// Request body.
        RequestBody = 0,
        /// Response body.
        ResponseBody = 1,
        /// TCP data from downstream.
        DownstreamData = 2,
        /// TCP data from upstream.
        UpstreamData = 3,
        /// Response body of an HTTP callout.
        HttpCallBody = 4,
        /// Message of a gRPC callout.
        GrpcMessage = 5,
        /// Configuration of the VM.
        VmConfiguration = 6,
        /// Configuration of the plugin.
        PluginConfiguration = 7,
        /// Data of a foreign function.
        CallData = 8,
    }
}

abi_enum! {
    /// Levels of the proxy's log (`proxy_log_level_t`).
    LogLevel {
        /// Finest.
        Trace = 0,
        /// For debugging.
        Debug = 1,
        /// The default. A guest's stdout is logged here.
        Info = 2,
        /// Something to look at.
        Warn = 3,
        /// A guest's stderr is logged here.
        Error = 4,
        /// Worst.
        Critical = 5,
    }
}
