//! One whole request through a worker: headers, body, trailers, the response, the log.

use super::{FilterState, Head, Headers, LocalReply, LogInfo, Outcome, Properties, Response, StreamId, Trap, Worker};
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

    /// Takes an outcome apart: `Some` is what goes on.
    fn go_on<T>(&mut self, worker: &mut Worker, stream: StreamId, outcome: Outcome<T>) -> Option<T> {
        let reply = match outcome {
            Outcome::Continue(what) => return Some(what),
            Outcome::Paused | Outcome::Reset => return None,
            Outcome::LocalReply(reply) => reply,
            Outcome::Trapped { trap, reply } => {
                self.trap = Some(trap);
                reply
            }
        };
        self.response = Some(worker.vm().local_response(stream, &reply));
        self.local_reply = Some(reply);
        None
    }
}

impl Worker {
    /// Runs a whole request. `upstream` answers what reaches it.
    ///
    /// The body is handed over in one piece. A pause that nobody ends leaves the exchange without a response.
    pub fn exchange(&mut self, request: Request, upstream: impl FnOnce(&Request) -> Response) -> Exchange {
        let mut exchange = Exchange::default();
        let stream = match self.open(Arc::clone(&request.properties)) {
            Ok(stream) => stream,
            Err(_) => return Exchange::without_worker(),
        };
        let mut info = LogInfo { request_bytes: request.body.len() as u64, ..LogInfo::default() };
        if let Some(forwarded) = self.request_path(&mut exchange, stream, request) {
            let response = upstream(&forwarded);
            exchange.upstream = Some(forwarded);
            self.response_path(&mut exchange, stream, response);
        }
        info.response_bytes = exchange.response.as_ref().map_or(0, |response| response.body.len() as u64);
        info.response_code = exchange.response.as_ref().map(Response::status);
        exchange.filter_state = self.vm().finish(stream, info);
        if exchange.trap.is_none() {
            exchange.trap = self.vm().trap().cloned();
        }
        self.after_request();
        exchange
    }

    fn request_path(&mut self, exchange: &mut Exchange, stream: StreamId, request: Request) -> Option<Request> {
        let Request { headers, body, trailers, properties } = request;
        let end_of_stream = body.is_empty() && trailers.is_none();
        let outcome = self.vm().request_headers(stream, Head { headers, end_of_stream });
        let headers = exchange.go_on(self, stream, outcome)?;
        let body = if body.is_empty() || !self.vm().wants_request_body() {
            body
        } else {
            let outcome = self.vm().request_body(stream, body, trailers.is_none());
            exchange.go_on(self, stream, outcome)?
        };
        let trailers = match trailers {
            None => None,
            Some(trailers) => {
                let outcome = self.vm().request_trailers(stream, trailers);
                Some(exchange.go_on(self, stream, outcome)?)
            }
        };
        Some(Request { headers, body, trailers, properties })
    }

    fn response_path(&mut self, exchange: &mut Exchange, stream: StreamId, response: Response) {
        let Response { headers, body } = response;
        let outcome = self.vm().response_headers(stream, Head { headers, end_of_stream: body.is_empty() });
        let Some(headers) = exchange.go_on(self, stream, outcome) else { return };
        let body = if body.is_empty() || !self.vm().wants_response_body() {
            body
        } else {
            let outcome = self.vm().response_body(stream, body, true);
            let Some(body) = exchange.go_on(self, stream, outcome) else { return };
            body
        };
        exchange.response = Some(Response { headers, body });
    }
}
