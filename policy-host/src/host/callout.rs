//! HTTP callouts of a filter: what it asks, and what a script of the embedder answers in the place of a cluster.

use super::Headers;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A request that a filter makes by itself, with `proxy_http_call`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CalloutRequest {
    /// The cluster that it names.
    pub cluster: String,
    /// Headers, pseudo headers included.
    pub headers: Headers,
    /// Body.
    pub body: Vec<u8>,
    /// Trailers.
    pub trailers: Headers,
    /// How long the filter waits at most; `None`: for ever.
    pub timeout: Option<Duration>,
}

/// What a cluster answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CalloutResponse {
    /// Headers, `:status` first.
    pub headers: Headers,
    /// Body.
    pub body: Vec<u8>,
    /// Trailers.
    pub trailers: Headers,
}

impl CalloutResponse {
    /// A response of this status and body.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { headers: vec![(b":status".to_vec(), status.to_string().into_bytes())], body: body.into(), trailers: Vec::new() }
    }
}

/// What becomes of a callout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CalloutAnswer {
    /// There is no such cluster: the host call itself answers `BadArgument`.
    NoCluster,
    /// A response, this long after the call. When the filter's timeout is shorter, it is told of a reset at its end instead.
    Response(CalloutResponse, Duration),
    /// Nobody listens there: after this long Envoy answers 503.
    Unreachable(Duration),
    /// The connection breaks in the middle of the answer, after this long: the filter sees no headers, and a status of `reset`.
    Reset(Duration),
    /// Nothing comes back.
    Silence,
}

type Script = dyn Fn(&CalloutRequest) -> CalloutAnswer + Send + Sync;

/// The clusters that a filter's callouts can reach: a script that answers each of them. The default knows no cluster.
#[derive(Clone)]
pub struct Clusters(Arc<Script>);

impl Clusters {
    /// Answers with this script.
    pub fn new(script: impl Fn(&CalloutRequest) -> CalloutAnswer + Send + Sync + 'static) -> Self {
        Self(Arc::new(script))
    }

    pub(super) fn answer(&self, request: &CalloutRequest) -> CalloutAnswer {
        (self.0)(request)
    }
}

impl Default for Clusters {
    fn default() -> Self {
        Self::new(|_| CalloutAnswer::NoCluster)
    }
}

impl fmt::Debug for Clusters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clusters")
    }
}

/// A callout under way.
#[derive(Debug)]
pub(super) struct Callout {
    pub(super) token: u32,
    /// The root context that is told of the answer.
    pub(super) root: u32,
    /// When, on the monotonic clock.
    pub(super) due: u64,
    /// What it is; `None`: reset.
    pub(super) response: Option<CalloutResponse>,
}

impl Callout {
    /// `None`: nothing will ever come.
    pub(super) fn new(token: u32, root: u32, now: u64, timeout: Option<Duration>, answer: CalloutAnswer) -> Option<Self> {
        let (response, after) = match answer {
            CalloutAnswer::NoCluster | CalloutAnswer::Silence => (None, Duration::MAX),
            CalloutAnswer::Response(response, after) => (Some(response), after),
            CalloutAnswer::Unreachable(after) => (Some(local(503, UNREACHABLE)), after),
            CalloutAnswer::Reset(after) => (None, after),
        };
        let (response, after) = match timeout {
            Some(timeout) if timeout < after => (None, timeout),
            Some(_) | None if after == Duration::MAX => return None,
            Some(_) | None => (response, after),
        };
        let due = now.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX));
        Some(Self { token, root, due, response })
    }
}

const UNREACHABLE: &str = "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure";

/// What Envoy's router answers a callout itself.
fn local(status: u16, text: &str) -> CalloutResponse {
    let mut response = CalloutResponse::new(status, text);
    response.headers.push((b"content-length".to_vec(), text.len().to_string().into_bytes()));
    response.headers.push((b"content-type".to_vec(), b"text/plain".to_vec()));
    response
}
