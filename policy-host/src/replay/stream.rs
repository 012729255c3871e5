//! One request and its response on a worker, as far as it has come.

use super::filter::{outcome, text};
use crate::host::{self, Head, Headers, LocalReply, LogInfo, Properties, Response, StreamId, Traffic, Worker};
use chaperone_authoring::{
    cases::{Exchange, Reply},
    outcome::{Answer, Decision, Outcome},
};
use serde_json::Value;
use std::sync::Arc;

/// A stream that has begun.
pub(crate) struct Stream {
    /// On which worker, from 0.
    pub(crate) worker: usize,
    properties: Arc<Properties>,
    on: On,
    traffic: Traffic,
    /// It was opened to stay so.
    stays_open: bool,
    /// It is known what the upstream answered.
    replied: bool,
}

/// Who answers.
enum On {
    Filter(StreamId),
    /// The proxy has no configuration for the filter yet.
    Proxy(LocalReply),
}

/// How far a stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Neither side has ended it.
    Open,
    /// It is over: its response is complete.
    Closed,
    /// The filter reset it.
    Reset,
}

impl Stream {
    /// Sends a request, and once all of it is upstream, what the upstream says to it. Without a reply, an upstream that is
    /// quick says 200 and nothing more; where the stream stays open, nothing has come yet.
    pub(crate) fn begin(number: usize, worker: &mut Worker, exchange: &Exchange, stays_open: bool) -> Self {
        let host::Request { headers, body, trailers, properties } = host::Request::from((*exchange.request).clone());
        let head = Head { headers, end_of_stream: body.is_empty() && trailers.is_none() };
        let id = match worker.begin(head, Arc::clone(&properties)) {
            Ok(id) => id,
            Err(reply) => {
                return Self {
                    worker: number,
                    properties,
                    on: On::Proxy(reply),
                    traffic: Traffic::default(),
                    stays_open,
                    replied: false,
                };
            }
        };
        let mut stream =
            Self { worker: number, properties, on: On::Filter(id), traffic: Traffic::default(), stays_open, replied: false };
        let whole = [body.len()];
        let lengths = if exchange.chunks.is_empty() { &whole[..] } else { &exchange.chunks };
        let mut rest = body.as_slice();
        for length in lengths.iter().filter(|length| **length > 0) {
            let (piece, after) = rest.split_at_checked(*length).unwrap_or((rest, &[]));
            rest = after;
            worker.request_data(id, piece, rest.is_empty() && trailers.is_none());
        }
        if let Some(trailers) = trailers {
            worker.request_trailers(id, trailers);
        }
        stream.look(worker);
        let unanswered = stream.traffic.request_ended && stream.traffic.response.is_none() && !stream.traffic.reset;
        if unanswered {
            match &exchange.reply {
                Some(reply) => {
                    stream.replied = true;
                    reply_with(worker, id, reply, stays_open);
                }
                None if stays_open => {}
                None => reply_with(worker, id, &Reply::quick(), false),
            }
            stream.look(worker);
        }
        stream
    }

    fn look(&mut self, worker: &mut Worker) {
        if let On::Filter(id) = self.on {
            worker.events(id).into_iter().for_each(|event| self.traffic.record(event));
        }
    }

    /// How far it has come by now: the filter may have acted on it from elsewhere.
    pub(crate) fn end(&mut self, worker: &mut Worker) -> End {
        self.look(worker);
        match (&self.on, self.traffic.reset, self.traffic.response_ended) {
            (On::Filter(_), true, _) => End::Reset,
            (On::Filter(_), false, true) | (On::Proxy(_), _, _) => End::Closed,
            (On::Filter(_), false, false) => End::Open,
        }
    }

    /// Ends the stream: the filter writes its record, which says what became of the request.
    pub(crate) fn finish(mut self, worker: &mut Worker) -> Outcome {
        let reset = self.end(worker) == End::Reset;
        let Self { worker: _, properties, on, mut traffic, stays_open, replied } = self;
        let answered = traffic.request.is_some() && traffic.local_reply.is_some();
        let filter_state = match on {
            On::Filter(id) => worker.end(id, LogInfo::default()),
            On::Proxy(reply) => {
                traffic.response = Some(reply.response(false, false).headers);
                traffic.local_reply = Some(reply);
                Vec::new()
            }
        };
        let bytes = traffic.request_body.len() as u64;
        let sent = traffic.request.is_some();
        let upstream = traffic.request.map(|headers| host::Request {
            headers,
            body: traffic.request_body,
            trailers: traffic.request_trailers,
            properties,
        });
        let response = traffic.response.map(|headers| Response { headers, body: traffic.response_body });
        let trap = worker.vm().trap().cloned();
        let answered_with = response.clone().filter(|_| replied);
        let mut outcome = outcome(host::Exchange { upstream, local_reply: traffic.local_reply, response, filter_state, trap });
        // What was let through, and then answered in the upstream's stead, has ended no other way; and where the filter says so itself,
        // something stands in the place of what upstream said.
        let ended = outcome.record.as_ref().is_some_and(|record| record.pointer("/unmapped/ended_by").is_some());
        let cut = reset || (sent && ended) || (answered && stays_open);
        outcome.upstream_bytes = Some(bytes);
        if cut && outcome.trap.is_none() {
            outcome.decision = Decision::Allow;
            outcome.cut = Some(why(outcome.record.as_ref()).unwrap_or("without a reason on record").to_owned());
        }
        if replied {
            outcome.answer = Some(answer(answered_with, &outcome));
        }
        outcome
    }
}

fn reply_with(worker: &mut Worker, id: StreamId, reply: &Reply, stays_open: bool) {
    let Reply { status, headers, chunks, trailers } = reply;
    let mut all: Headers = vec![(b":status".to_vec(), status.to_string().into_bytes())];
    all.extend(headers.iter().cloned());
    let ends = |last: bool| last && !stays_open && trailers.is_none();
    worker.response_head(id, Head { headers: all, end_of_stream: ends(chunks.is_empty()) });
    for (index, chunk) in chunks.iter().enumerate() {
        worker.response_data(id, chunk.as_slice(), ends(index + 1 == chunks.len()));
    }
    if let Some(trailers) = trailers {
        worker.response_trailers(id, trailers.clone());
    }
}

/// What the client got of what the upstream said.
fn answer(response: Option<Response>, outcome: &Outcome) -> Answer {
    let withheld = outcome.record.as_ref().and_then(|record| record.pointer("/unmapped/mcp/withheld")?.as_u64());
    let Response { headers, body } = response.unwrap_or_default();
    let headers = text(headers);
    let status = headers.iter().find(|(name, _)| name == ":status").and_then(|(_, status)| status.parse().ok());
    let body = String::from_utf8_lossy(&body).into_owned();
    Answer { status, headers, body, withheld: withheld.unwrap_or(0), cut: outcome.cut.clone() }
}

/// Why a stream was cut, by the filter's own record.
fn why(record: Option<&Value>) -> Option<&str> {
    let said = |pointer| record?.pointer(pointer)?.as_str().filter(|code| !code.is_empty() && *code != "allowed");
    said("/unmapped/ended_by").or_else(|| said("/status_code"))
}
