//! One whole request through a worker: headers, body, trailers, the response, the log.

use super::{FilterState, Head, Headers, LocalReply, LogInfo, Properties, Response, StreamId, Traffic, Trap, Worker};
use std::sync::Arc;

/// A complete request, as a client sends it or as upstream gets it.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Headers, pseudo headers included.
    pub headers: Headers,
    /// Body.
    pub body: Vec<u8>,
    /// Trailers.
    pub trailers: Option<Headers>,
    /// What the filter can read besides.
    pub properties: Arc<Properties>,
}

/// What became of a request.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// What reached upstream; `None`: not one byte.
    pub upstream: Option<Request>,
    /// The local reply that was given instead of, or in place of, upstream's response.
    pub local_reply: Option<LocalReply>,
    /// What the client got; `None` when the stream was reset or held for ever.
    pub response: Option<Response>,
    /// Properties that the filter set, such as its record.
    pub filter_state: FilterState,
    /// What the VM died of, if it is dead.
    pub trap: Option<Arc<Trap>>,
}

impl Exchange {
    pub(super) fn without_worker() -> Self {
        let reply = LocalReply::no_configuration();
        Self { response: Some(reply.response(false, false)), local_reply: Some(reply), ..Self::default() }
    }

    /// A property that the filter set.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&[u8]> {
        self.filter_state.iter().find(|(key, _)| key == name.as_bytes()).map(|(_, value)| value.as_slice())
    }
}

impl Worker {
    /// Runs a whole request. `upstream` answers what reaches it, once all of it has.
    ///
    /// The body is handed over in one piece. A pause that nobody ends leaves the exchange without a response.
    pub fn exchange(&mut self, request: Request, upstream: impl FnOnce(&Request) -> Response) -> Exchange {
        let Request { headers, body, trailers, properties } = request;
        let end = body.is_empty() && trailers.is_none();
        let Ok(stream) = self.begin(Head { headers, end_of_stream: end }, Arc::clone(&properties)) else {
            return Exchange::without_worker();
        };
        if !body.is_empty() {
            self.request_data(stream, body, trailers.is_none());
        }
        if let Some(trailers) = trailers {
            self.request_trailers(stream, trailers);
        }
        let mut traffic = Traffic::default();
        self.record(stream, &mut traffic);
        let mut exchange = Exchange::default();
        if traffic.request_ended && traffic.response.is_none() && !traffic.reset {
            let forwarded = Request {
                headers: traffic.request.take().unwrap_or_default(),
                body: std::mem::take(&mut traffic.request_body),
                trailers: traffic.request_trailers.take(),
                properties,
            };
            let Response { headers, body } = upstream(&forwarded);
            exchange.upstream = Some(forwarded);
            self.response_head(stream, Head { headers, end_of_stream: body.is_empty() });
            if !body.is_empty() {
                self.response_data(stream, body, true);
            }
            self.record(stream, &mut traffic);
        }
        exchange.local_reply = traffic.local_reply;
        let headers = traffic.response.filter(|_| traffic.response_ended);
        exchange.response = headers.map(|headers| Response { headers, body: traffic.response_body });
        exchange.filter_state = self.end(stream, LogInfo::default());
        exchange.trap = self.vm().trap().cloned();
        exchange
    }

    fn record(&mut self, stream: StreamId, traffic: &mut Traffic) {
        for event in self.events(stream) {
            traffic.record(event);
        }
    }
}
