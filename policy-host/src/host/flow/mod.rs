//! Streams as Envoy's HTTP filter manager runs them: held heads, buffered bodies, replies in the middle, resets.
//!
//! An embedder opens a stream with [`Worker::begin`], feeds it what arrives from either side, and learns with
//! [`Worker::events`] what the filter has let through. The filter may act on any open stream from any callback (a tick, the
//! answer to a callout, another stream), so that events can come up without anything having been fed.

mod drive;
mod feed;
mod half_stream;

pub(super) use half_stream::HalfStream;

use super::{Head, Headers, LocalReply};
use std::collections::VecDeque;

/// What happened to an open stream, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The request's head goes upstream.
    RequestHead(Head),
    /// Bytes of the request's body go upstream.
    RequestBody {
        /// They may be none, where they only end the request.
        bytes: Vec<u8>,
        /// Nothing of the request follows.
        end_of_stream: bool,
    },
    /// The request's trailers go upstream, which ends it.
    RequestTrailers(Headers),
    /// The stream is answered by the filter, or in place of its dead VM. Nothing goes upstream any more. The reply itself follows as a
    /// response, which the filter's own response callbacks have seen where Envoy shows it to them.
    Replied(LocalReply),
    /// The response's head goes to the client.
    ResponseHead(Head),
    /// Bytes of the response's body go to the client.
    ResponseBody {
        /// They may be none, where they only end the response.
        bytes: Vec<u8>,
        /// Nothing of the response follows.
        end_of_stream: bool,
    },
    /// The response's trailers go to the client, which ends it.
    ResponseTrailers(Headers),
    /// The stream is cut, towards both sides: the filter closed it, or replied when the response had begun.
    Reset,
}

/// All that went through an open stream so far: [`Event`]s, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// The head that went upstream.
    pub request: Option<Headers>,
    /// What went upstream of the body.
    pub request_body: Vec<u8>,
    /// The trailers that went upstream.
    pub request_trailers: Option<Headers>,
    /// The whole request went upstream.
    pub request_ended: bool,
    /// The local reply that counted: the last one.
    pub local_reply: Option<LocalReply>,
    /// The head that went to the client.
    pub response: Option<Headers>,
    /// What went to the client of the body.
    pub response_body: Vec<u8>,
    /// The trailers that went to the client.
    pub response_trailers: Option<Headers>,
    /// The whole response went to the client.
    pub response_ended: bool,
    /// The stream was cut.
    pub reset: bool,
}

impl Traffic {
    /// Adds an event.
    pub fn record(&mut self, event: Event) {
        match event {
            Event::RequestHead(head) => {
                self.request = Some(head.headers);
                self.request_ended |= head.end_of_stream;
            }
            Event::RequestBody { bytes, end_of_stream } => {
                self.request_body.extend(bytes);
                self.request_ended |= end_of_stream;
            }
            Event::RequestTrailers(trailers) => {
                self.request_trailers = Some(trailers);
                self.request_ended = true;
            }
            Event::Replied(reply) => {
                self.local_reply = Some(reply);
            }
            Event::ResponseHead(head) => {
                self.response = Some(head.headers);
                self.response_ended |= head.end_of_stream;
            }
            Event::ResponseBody { bytes, end_of_stream } => {
                self.response_body.extend(bytes);
                self.response_ended |= end_of_stream;
            }
            Event::ResponseTrailers(trailers) => {
                self.response_trailers = Some(trailers);
                self.response_ended = true;
            }
            Event::Reset => self.reset = true,
        }
    }

    /// Nothing more can happen: the response has ended, or the stream was cut.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.response_ended || self.reset
    }
}

/// One open stream of a worker.
#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) request: HalfStream,
    pub(super) response: HalfStream,
    pub(super) events: VecDeque<Event>,
    /// The filter's reply, or the one in place of its VM, has been sent.
    pub(super) replied: bool,
    /// The VM had failed when it was asked about this stream: it is not asked again.
    pub(super) failed: bool,
    /// Nothing more happens here.
    pub(super) reset: bool,
}
