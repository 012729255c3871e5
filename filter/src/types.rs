//! The ABI's enumerations (proxy-wasm 0.2.1), named as in the official crate `proxy-wasm`. Only what is needed of each.

/// What the proxy does next with the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Action {
    Continue = 0,
    Pause = 1,
}

/// How important a log line is.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub(crate) enum LogLevel {
    Info = 2,
    Error = 4,
}

/// Which header map.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
#[expect(clippy::enum_variant_names, reason = "the crate's names; those of gRPC are not needed")]
pub(crate) enum MapType {
    HttpRequestHeaders = 0,
    HttpRequestTrailers = 1,
    HttpResponseHeaders = 2,
    HttpResponseTrailers = 3,
    HttpCallResponseHeaders = 6,
}

/// Which buffer.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub(crate) enum BufferType {
    HttpRequestBody = 0,
    HttpResponseBody = 1,
    HttpCallResponseBody = 4,
    PluginConfiguration = 7,
}

/// Which kind of metric.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub(crate) enum MetricType {
    Counter = 0,
    Gauge = 1,
}

/// Which half of a stream; 2 and 3 are the sides of a TCP connection, which an HTTP stream has not.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub(crate) enum StreamType {
    HttpRequest = 0,
    HttpResponse = 1,
}
