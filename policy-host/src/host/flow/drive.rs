//! How a worker runs its streams: Envoy's rules for what goes on, what waits, and what a filter can do from elsewhere.

use super::half_stream::{BodyStatus, HeadStatus, Iteration};
use super::{Event, Flow, HalfStream};
use crate::host::callback::CallbackResult;
use crate::host::state::{DeferredAction, Effect};
use crate::host::stream::{BodyOf, Part};
use crate::host::{Head, LocalReply, StreamId, Worker};

/// A direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::host) enum To {
    Upstream,
    Client,
}

impl To {
    fn head(self) -> Part {
        match self {
            Self::Upstream => Part::RequestHeaders,
            Self::Client => Part::ResponseHeaders,
        }
    }

    fn body(self) -> BodyOf {
        match self {
            Self::Upstream => BodyOf::Request,
            Self::Client => BodyOf::Response,
        }
    }

    fn trailers(self) -> Part {
        match self {
            Self::Upstream => Part::RequestTrailers,
            Self::Client => Part::ResponseTrailers,
        }
    }
}

impl Flow {
    fn half(&mut self, to: To) -> &mut HalfStream {
        match to {
            To::Upstream => &mut self.request,
            To::Client => &mut self.response,
        }
    }
}

impl Worker {
    fn half(&mut self, id: StreamId, to: To) -> Option<&mut HalfStream> {
        let flow = self.flows.get_mut(&id).filter(|flow| !flow.reset)?;
        Some(flow.half(to)).filter(|half| !half.over)
    }

    fn emit(&mut self, id: StreamId, event: Event) {
        if let Some(flow) = self.flows.get_mut(&id) {
            flow.events.push_back(event);
        }
    }

    /// Is the filter asked about this stream at all?
    fn is_asked(&self, id: StreamId) -> bool {
        self.flows.get(&id).is_some_and(|flow| !flow.failed)
    }

    /// A head that has arrived.
    pub(in crate::host) fn arrive_head(&mut self, id: StreamId, to: To, head: Head) {
        let Some(half) = self.half(id, to) else { return };
        half.begun = true;
        half.ended = head.end_of_stream;
        let end = head.end_of_stream;
        if self.vm.stream_mut(id).is_none() {
            // Its VM is gone: what is said in its place still has to go on.
            return if to == To::Client { self.pass_lost_head(id, head) } else { self.fail(id) };
        }
        self.vm.put_map(id, to.head(), head.headers);
        let status = match self.is_asked(id).then(|| self.vm.ask_about_map(id, to.head(), end)) {
            None | Some(CallbackResult::NoCallback) => HeadStatus::Continue,
            Some(CallbackResult::Failed) => {
                self.fail(id);
                HeadStatus::HoldUnseen
            }
            Some(CallbackResult::Action { action, stopped }) => {
                HeadStatus::from_abi(action, stopped, self.options.hold_headers_alone)
            }
        };
        if status == HeadStatus::Continue {
            self.vm.hide_map(id, to.head().map_type());
        }
        self.settle();
        let Some(half) = self.half(id, to) else { return };
        match status {
            HeadStatus::Hold => half.iteration = Iteration::Held,
            HeadStatus::HoldUnseen => half.iteration = Iteration::HeldUnseen,
            HeadStatus::Continue => self.pass_head(id, to),
        }
    }

    fn pass_head(&mut self, id: StreamId, to: To) {
        let Some(half) = self.half(id, to) else { return };
        if std::mem::replace(&mut half.head_passed, true) {
            return;
        }
        let end_of_stream = half.ended && half.buffer.is_none() && !half.buffering && !half.trailers;
        let headers = self.vm.map_of(id, to.head());
        self.vm.log_map(id, to.head());
        let head = Head { headers, end_of_stream };
        self.emit(id, if to == To::Upstream { Event::RequestHead(head) } else { Event::ResponseHead(head) });
        self.finish_half(id, to, end_of_stream);
    }

    fn pass_lost_head(&mut self, id: StreamId, head: Head) {
        let end = head.end_of_stream;
        if let Some(half) = self.half(id, To::Client) {
            half.head_passed = true;
        }
        self.emit(id, Event::ResponseHead(head));
        self.finish_half(id, To::Client, end);
    }

    fn finish_half(&mut self, id: StreamId, to: To, end: bool) {
        if end && let Some(half) = self.half(id, to) {
            half.over = true;
        }
    }

    /// Bytes of a body that have arrived.
    pub(in crate::host) fn arrive_body(&mut self, id: StreamId, to: To, bytes: Vec<u8>, end: bool) {
        let Some(half) = self.half(id, to) else { return };
        half.ended |= end;
        if half.iteration == Iteration::HeldUnseen {
            return self.hold(id, to, bytes);
        }
        self.filter_body(id, to, bytes, end);
    }

    /// Keeps bytes back, where the filter sees them if it is buffering.
    fn hold(&mut self, id: StreamId, to: To, bytes: Vec<u8>) {
        let Some(half) = self.half(id, to) else { return };
        if half.buffering {
            let mut held = self.vm.take_body(id, to.body()).unwrap_or_default();
            held.extend(bytes);
            self.vm.put_body(id, to.body(), held);
        } else {
            half.buffer.get_or_insert_default().extend(bytes);
        }
    }

    fn filter_body(&mut self, id: StreamId, to: To, bytes: Vec<u8>, end: bool) {
        let Some(half) = self.half(id, to) else { return };
        let was_buffering = std::mem::take(&mut half.buffering);
        let mut seen = if was_buffering { self.vm.take_body(id, to.body()).unwrap_or_default() } else { Vec::new() };
        seen.extend(bytes);
        let lost = self.vm.stream_mut(id).is_none();
        if lost || !self.is_asked(id) {
            return if lost && to == To::Upstream { self.fail(id) } else { self.go_on_with_body(id, to, seen, end) };
        }
        self.vm.put_body(id, to.body(), seen);
        let status = match self.vm.ask_about_body(id, to.body(), end) {
            CallbackResult::NoCallback => BodyStatus::Continue,
            CallbackResult::Failed => {
                self.fail(id);
                BodyStatus::Drop
            }
            CallbackResult::Action { action, stopped } => BodyStatus::from_abi(action, stopped),
        };
        let seen = self.vm.take_body(id, to.body()).unwrap_or_default();
        if status == BodyStatus::Buffer {
            // From here on the filter finds it there in every callback.
            if let Some(half) = self.half(id, to) {
                let mut held = half.buffer.take().unwrap_or_default();
                held.extend(seen);
                (half.buffering, half.iteration) = (true, Iteration::Held);
                self.vm.put_body(id, to.body(), held);
            }
            return self.settle();
        }
        self.settle();
        let Some(half) = self.half(id, to) else { return };
        match status {
            BodyStatus::Continue => self.go_on_with_body(id, to, seen, end),
            BodyStatus::Buffer | BodyStatus::Watermark => {
                half.iteration = Iteration::Held;
                self.hold(id, to, seen);
            }
            BodyStatus::Drop => {
                half.iteration = Iteration::Held;
                if was_buffering {
                    // It had been added to what is held before the filter was asked.
                    self.hold(id, to, seen);
                }
            }
        }
    }

    fn go_on_with_body(&mut self, id: StreamId, to: To, bytes: Vec<u8>, end: bool) {
        let Some(half) = self.half(id, to) else { return };
        if half.iteration == Iteration::Running {
            self.pass_body(id, to, bytes, end);
        } else {
            self.hold(id, to, bytes);
            self.resume(id, to);
        }
    }

    fn pass_body(&mut self, id: StreamId, to: To, bytes: Vec<u8>, end_of_stream: bool) {
        self.emit(
            id,
            match to {
                To::Upstream => Event::RequestBody { bytes, end_of_stream },
                To::Client => Event::ResponseBody { bytes, end_of_stream },
            },
        );
        self.finish_half(id, to, end_of_stream);
    }

    /// Trailers that have arrived.
    pub(in crate::host) fn arrive_trailers(&mut self, id: StreamId, to: To) {
        let Some(half) = self.half(id, to) else { return };
        (half.ended, half.trailers) = (true, true);
        if half.iteration != Iteration::HeldUnseen {
            self.filter_trailers(id, to);
        }
    }

    fn filter_trailers(&mut self, id: StreamId, to: To) {
        let status = match self.is_asked(id).then(|| self.vm.ask_about_map(id, to.trailers(), true)) {
            None | Some(CallbackResult::NoCallback) => HeadStatus::Continue,
            Some(CallbackResult::Failed) => {
                self.fail(id);
                HeadStatus::Hold
            }
            Some(CallbackResult::Action { action: 0, stopped: false }) => HeadStatus::Continue,
            Some(CallbackResult::Action { .. }) => HeadStatus::Hold,
        };
        if status == HeadStatus::Continue {
            self.vm.hide_map(id, to.trailers().map_type());
        }
        self.settle();
        let Some(half) = self.half(id, to) else { return };
        match status {
            HeadStatus::Continue if half.iteration == Iteration::Running => self.pass_trailers(id, to),
            HeadStatus::Continue => self.resume(id, to),
            HeadStatus::Hold | HeadStatus::HoldUnseen => half.iteration = Iteration::Held,
        }
    }

    fn pass_trailers(&mut self, id: StreamId, to: To) {
        if self.half(id, to).is_none() {
            return;
        }
        let trailers = self.vm.map_of(id, to.trailers());
        self.vm.log_map(id, to.trailers());
        self.emit(id, if to == To::Upstream { Event::RequestTrailers(trailers) } else { Event::ResponseTrailers(trailers) });
        self.finish_half(id, to, true);
    }

    /// Lets go of what is held: what the filter has not seen goes through it first.
    fn resume(&mut self, id: StreamId, to: To) {
        let Some(half) = self.half(id, to) else { return };
        if !half.begun {
            return;
        }
        let unseen = std::mem::take(&mut half.iteration) == Iteration::HeldUnseen;
        let had_trailers = half.trailers;
        self.pass_head(id, to);
        let Some(half) = self.half(id, to) else { return };
        let end = half.ended && !had_trailers;
        let held = half.buffer.take();
        let held = if half.buffering {
            half.buffering = false;
            self.vm.take_body(id, to.body())
        } else {
            held
        };
        if let Some(held) = held {
            if unseen { self.filter_body(id, to, held, end) } else { self.pass_body(id, to, held, end) }
        }
        if had_trailers {
            if unseen { self.filter_trailers(id, to) } else { self.pass_trailers(id, to) }
        }
    }

    /// Does what the guest asked for in the call that just returned. The first reply to a request waits until all else is done;
    /// further ones of the same call come to nothing.
    pub(in crate::host) fn settle(&mut self) {
        let mut replies: Vec<(StreamId, LocalReply)> = Vec::new();
        while let Some(Effect { stream, action }) = self.vm.next_effect() {
            let id = StreamId { vm: self.vm.id, context: stream };
            match action {
                DeferredAction::ContinueRequest => self.resume(id, To::Upstream),
                DeferredAction::ContinueResponse => self.resume(id, To::Client),
                DeferredAction::Close => self.cut(id),
                DeferredAction::Reply(reply) if self.flows.get(&id).is_some_and(|flow| flow.response.begun) => {
                    self.reply(id, reply)
                }
                DeferredAction::Reply(reply) if replies.iter().all(|(known, _)| *known != id) => replies.push((id, reply)),
                DeferredAction::Reply(_) => {}
            }
        }
        for (id, reply) in replies {
            self.reply(id, reply);
        }
    }

    pub(in crate::host) fn cut(&mut self, id: StreamId) {
        if let Some(flow) = self.flows.get_mut(&id).filter(|flow| !flow.reset) {
            flow.reset = true;
            // What has not left yet is thrown away with the stream.
            flow.events.retain(|event| {
                !matches!(event, Event::ResponseHead(_) | Event::ResponseBody { .. } | Event::ResponseTrailers(_))
            });
            flow.events.push_back(Event::Reset);
        }
    }

    /// The VM is dead: what Envoy answers in its place, once a stream.
    fn fail(&mut self, id: StreamId) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        if std::mem::replace(&mut flow.failed, true) {
            return;
        }
        if let Some(state) = self.vm.stream_mut(id) {
            state.failed = true;
        }
        self.reply(id, LocalReply::failed_vm());
    }

    /// Through the filter while there is no response yet, past it and in its place while the response's head is held (be it that of
    /// an earlier reply), and never after that.
    pub(in crate::host) fn reply(&mut self, id: StreamId, reply: LocalReply) {
        let Some(flow) = self.flows.get_mut(&id).filter(|flow| !flow.reset) else { return };
        flow.replied = true;
        flow.request.over = true;
        let (begun, passed) = (flow.response.begun, flow.response.head_passed);
        if passed {
            if !flow.response.over {
                self.cut(id);
            }
            return;
        }
        flow.events.push_back(Event::Replied(reply.clone()));
        let (grpc, head) = self.vm.stream_mut(id).map_or((false, false), |state| {
            state.info.response_code_details = Some(reply.details.clone());
            (state.grpc, state.head)
        });
        let response = reply.response(grpc, head);
        let end = response.body.is_empty();
        let head = Head { headers: response.headers, end_of_stream: end };
        if begun {
            self.vm.put_map(id, Part::ResponseHeaders, head.headers.clone());
            self.vm.log_map(id, Part::ResponseHeaders);
            self.emit(id, Event::ResponseHead(head));
            if !end {
                self.emit(id, Event::ResponseBody { bytes: response.body, end_of_stream: true });
            }
            if let Some(flow) = self.flows.get_mut(&id) {
                (flow.response.head_passed, flow.response.over) = (true, true);
            }
            return;
        }
        self.arrive_head(id, To::Client, head);
        if end {
            return;
        }
        if self.half(id, To::Client).is_some() || self.vm.stream_mut(id).is_none() || !self.is_asked(id) {
            return self.arrive_body(id, To::Client, response.body, true);
        }
        // Another reply has taken its place; the filter is asked about the body all the same, and its answer is for nobody.
        self.vm.put_body(id, BodyOf::Response, response.body);
        let _ = self.vm.ask_about_body(id, BodyOf::Response, true);
        self.vm.take_body(id, BodyOf::Response);
        self.settle();
    }
}
