//! One request and its response on a worker, as far as it has come.

use super::super::plan::{Exchange, Reply};
use crate::{
    host::{self, Head, Headers, LogInfo, Outcome as Step, Response, StreamId, Worker},
    replay::{Outcome, outcome},
};
use serde_json::Value;
use std::sync::Arc;

/// A stream that has begun.
pub(super) struct Stream {
    /// On which worker, from 0.
    pub(super) worker: usize,
    /// `None` where the proxy answered without asking the filter.
    id: Option<StreamId>,
    seen: host::Exchange,
    end: End,
}

/// How far a stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Neither side has ended it.
    Open,
    /// It is over: its response is complete.
    Closed,
    /// The filter reset it.
    Reset,
}

/// Why nothing more goes on.
struct Stopped;

impl Stream {
    /// Sends a request, and what the upstream says to it. Without a reply, an upstream that is quick says 200 and nothing
    /// more; where the stream stays open, nothing has come yet.
    pub(super) fn begin(number: usize, worker: &mut Worker, exchange: &Exchange, stays_open: bool) -> Self {
        let request = exchange.request.for_host();
        let mut stream = Self { worker: number, id: None, seen: host::Exchange::default(), end: End::Open };
        match worker.open(Arc::clone(&request.properties)) {
            Ok(id) => stream.id = Some(id),
            Err(reply) => {
                stream.seen.response = Some(reply.response(false, false));
                stream.seen.local_reply = Some(reply);
                stream.end = End::Closed;
                return stream;
            }
        }
        // Whatever stopped it is on record in `seen` and `end`.
        let _ = stream.all(worker, request, exchange, stays_open);
        stream
    }

    fn all(&mut self, worker: &mut Worker, request: host::Request, exchange: &Exchange, stays_open: bool) -> Result<(), Stopped> {
        self.request(worker, request, &exchange.chunks)?;
        match &exchange.reply {
            Some(reply) => self.reply(worker, reply, stays_open),
            None if stays_open => Ok(()),
            None => self.reply(worker, &Reply { status: 200, headers: Vec::new(), chunks: Vec::new(), trailers: None }, false),
        }
    }

    fn request(&mut self, worker: &mut Worker, request: host::Request, chunks: &[usize]) -> Result<(), Stopped> {
        let host::Request { headers, body, trailers, properties } = request;
        let Some(id) = self.id else { return Err(Stopped) };
        let end_of_stream = body.is_empty() && trailers.is_none();
        let step = worker.vm().request_headers(id, Head { headers, end_of_stream });
        let headers = self.go_on(worker, step)?;
        self.seen.upstream = Some(host::Request { headers, body: Vec::new(), trailers: None, properties });
        let mut rest = body.as_slice();
        let whole = [body.len()];
        let mut lengths = if chunks.is_empty() { whole.iter() } else { chunks.iter() };
        while let (false, Some(length)) = (rest.is_empty(), lengths.next()) {
            let (piece, after) = rest.split_at_checked(*length).unwrap_or((rest, &[]));
            rest = after;
            let piece = if worker.vm().wants_request_body() {
                let step = worker.vm().request_body(id, piece.to_vec(), rest.is_empty() && trailers.is_none());
                self.go_on(worker, step)?
            } else {
                piece.to_vec()
            };
            if let Some(upstream) = &mut self.seen.upstream {
                upstream.body.extend(piece);
            }
        }
        if let Some(trailers) = trailers {
            let step = worker.vm().request_trailers(id, trailers);
            let trailers = self.go_on(worker, step)?;
            if let Some(upstream) = &mut self.seen.upstream {
                upstream.trailers = Some(trailers);
            }
        }
        Ok(())
    }

    fn reply(&mut self, worker: &mut Worker, reply: &Reply, stays_open: bool) -> Result<(), Stopped> {
        let Reply { status, headers, chunks, trailers } = reply;
        let Some(id) = self.id else { return Err(Stopped) };
        let mut all: Headers = vec![(b":status".to_vec(), status.to_string().into_bytes())];
        all.extend(headers.iter().cloned());
        let ends = |last: bool| last && !stays_open && trailers.is_none();
        let step = worker.vm().response_headers(id, Head { headers: all, end_of_stream: ends(chunks.is_empty()) });
        let headers = self.go_on(worker, step)?;
        self.seen.response = Some(Response { headers, body: Vec::new() });
        for (index, chunk) in chunks.iter().enumerate() {
            let piece = if worker.vm().wants_response_body() {
                let step = worker.vm().response_body(id, chunk.clone(), ends(index + 1 == chunks.len()));
                self.go_on(worker, step)?
            } else {
                chunk.clone()
            };
            if let Some(response) = &mut self.seen.response {
                response.body.extend(piece);
            }
        }
        if let Some(trailers) = trailers {
            let step = worker.vm().response_trailers(id, trailers.clone());
            self.go_on(worker, step)?;
        }
        if !stays_open || trailers.is_some() {
            self.end = End::Closed;
        }
        Ok(())
    }

    fn go_on<T>(&mut self, worker: &mut Worker, step: Step<T>) -> Result<T, Stopped> {
        let reply = match step {
            Step::Continue(what) => return Ok(what),
            // Nobody is there who would end the pause: it is held.
            Step::Paused => return Err(Stopped),
            Step::Reset => {
                self.end = End::Reset;
                return Err(Stopped);
            }
            Step::LocalReply(reply) => reply,
            Step::Trapped { trap, reply } => {
                self.seen.trap = Some(trap);
                reply
            }
        };
        self.end = End::Closed;
        if let Some(id) = self.id {
            self.seen.response = Some(worker.vm().local_response(id, &reply));
        }
        self.seen.local_reply = Some(reply);
        Err(Stopped)
    }

    /// How far it has come by now: the filter may have reset it from elsewhere.
    pub(super) fn end(&mut self, worker: &mut Worker) -> End {
        if self.end == End::Open && self.id.is_some_and(|id| worker.vm().is_closed(id)) {
            self.end = End::Reset;
        }
        self.end
    }

    /// Ends the stream: the filter writes its record, which says what became of the request.
    pub(super) fn finish(mut self, worker: &mut Worker) -> Outcome {
        if let Some(id) = self.id {
            let info = LogInfo {
                request_bytes: self.seen.upstream.as_ref().map_or(0, |request| request.body.len() as u64),
                response_bytes: self.seen.response.as_ref().map_or(0, |response| response.body.len() as u64),
                response_code: self.seen.response.as_ref().map(Response::status),
                ..LogInfo::default()
            };
            self.seen.filter_state = worker.vm().finish(id, info);
        }
        if self.seen.trap.is_none() {
            self.seen.trap = worker.vm().trap().cloned();
        }
        worker.after_request();
        let mut outcome = outcome(&self.seen);
        if self.end == End::Reset && outcome.trap.is_none() {
            outcome.cut = Some(why(outcome.record.as_ref()).unwrap_or("for a reason that is not on record").to_owned());
        }
        outcome
    }
}

/// Why a stream was cut, by the filter's own record.
fn why(record: Option<&Value>) -> Option<&str> {
    let said = |pointer| record?.pointer(pointer)?.as_str().filter(|code| !code.is_empty() && *code != "allowed");
    said("/unmapped/ended_by").or_else(|| said("/status_code"))
}
