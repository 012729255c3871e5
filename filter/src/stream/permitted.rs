//! A stream that the policy let pass: open, cut, or answered by us after all.

use std::rc::Rc;

use chaperone_policy::{Context, End, Exchange, Lineage, Passage, Timestamp};

use super::{Direction, With, answer, seal};
use crate::hostcalls::{self, Failed};
use crate::metrics::Metrics;
use crate::types::{Action, BufferType};

/// A stream that the policy let pass.
pub(crate) struct Permitted {
    pub(super) exchange: Exchange,
    pub(super) lineage: Rc<Lineage>,
    pub(super) state: State,
    /// Bytes that came from either side, heads included.
    pub(super) up: u64,
    pub(super) down: u64,
    /// The whole request has gone on.
    pub(super) sent: bool,
    /// A response has begun, the upstream's or one that the proxy made.
    pub(super) responded: bool,
    /// Of the response's body, bytes that were counted and are shown again with what comes next.
    pub(super) held: usize,
    /// The response's status, once it has been seen.
    pub(super) status: Option<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// Its time is over. Whatever still comes is held, until the proxy has reset it.
    Cut,
    /// We answered in the upstream's stead after all.
    Answered,
}

impl Permitted {
    /// Of a request of which so many bytes have come; `sent`: all of it has.
    pub(super) fn new(exchange: Exchange, lineage: Rc<Lineage>, up: u64, sent: bool) -> Self {
        Self { exchange, lineage, state: State::Open, up, down: 0, sent, responded: false, held: 0, status: None }
    }

    /// May the stream go on? Without a clock nothing can be said of that, and it may not.
    fn is_over(&mut self, with: &mut With<'_>, now: Result<Timestamp, Failed>, moved: bool) -> bool {
        match now {
            Ok(_) if self.lineage.is_abandoned() => self.exchange.abandon().is_some(),
            Ok(now) => {
                let newest = self.lineage.newest();
                self.exchange.recheck(with.worker, &Context { now, newest: &newest, verifier: with.crypto }, moved).is_some()
            }
            Err(Failed) => self.exchange.interrupt().is_some(),
        }
    }

    /// Ends the stream if by the newest policy it may not go on. By the latest instant that is known, without asking for the
    /// time: it was asked when the request came, and is again with each tick.
    pub(super) fn is_overdue(&mut self, with: &mut With<'_>) -> bool {
        let newest = self.lineage.newest();
        let context = Context { now: with.worker.latest(), newest: &newest, verifier: with.crypto };
        let over = self.state == State::Open && self.exchange.recheck(with.worker, &context, false).is_some();
        if over {
            self.end(with.metrics);
        }
        over
    }

    /// Searches what has come of the response's body, where the policy wants that. False: it waits for more.
    pub(super) fn search(&mut self, size: usize, last: bool) -> bool {
        self.held = 0;
        if self.state != State::Open || !self.exchange.reads_response() {
            return true;
        }
        let piece = hostcalls::get_buffer(BufferType::HttpResponseBody, size);
        match piece.as_deref() {
            Ok(piece) if piece.len() == size => match self.exchange.response_body(piece, last) {
                // What is cut is so by the question whether the stream may go on.
                Passage::Pass | Passage::Cut => true,
                Passage::Hold => {
                    self.held = size;
                    false
                }
            },
            // What could not be read could have it.
            Ok(_) | Err(Failed) => {
                let _ = self.exchange.interrupt();
                true
            }
        }
    }

    /// Puts what may be shown of an answer into the place of what has come. False: it could not, and the stream is at its end.
    fn rewrite(&mut self, size: usize, last: bool, with: &mut With<'_>, now: Result<Timestamp, Failed>) -> bool {
        let piece = hostcalls::get_buffer(BufferType::HttpResponseBody, size);
        let newest = self.lineage.newest();
        if let (Ok(piece), Ok(now)) = (piece, now)
            && piece.len() == size
        {
            let context = Context { now, newest: &newest, verifier: with.crypto };
            let shown = self.exchange.answer_piece(&piece, last, with.worker, &context);
            if shown == piece || hostcalls::set_buffer(BufferType::HttpResponseBody, size, &shown).is_ok() {
                return true;
            }
        }
        let _ = self.exchange.interrupt();
        self.end(with.metrics);
        false
    }

    /// The last of the response goes on now. Whoever does not read it holds no place at the target.
    pub(super) fn release_place(&mut self) {
        if self.sent && self.state == State::Open {
            self.exchange.release_place();
        }
    }

    /// Asks again whether the stream may go on. What may not is ended: the host's calls must be about it.
    fn goes_on(&mut self, with: &mut With<'_>, now: Result<Timestamp, Failed>, moved: bool) -> bool {
        if self.state != State::Open {
            return false;
        }
        if !self.is_over(with, now, moved) {
            return true;
        }
        self.end(with.metrics);
        false
    }

    /// Whoever waits for an answer gets one, and not the upstream's; what has been answered is cut.
    pub(super) fn end(&mut self, metrics: &mut Metrics) {
        if !self.responded
            && let Some(denial) = self.exchange.answer_of_cut(&self.lineage.newest())
            && answer(&denial).is_ok()
        {
            self.state = State::Answered;
            metrics.was_cut();
        // A reset that fails is asked for again at the next piece or tick; until then everything is held.
        } else if hostcalls::reset_http_response().is_ok() {
            self.state = State::Cut;
            metrics.was_cut();
        }
    }

    /// From the tick: a stream on which nothing moves is asked about all the same.
    pub(super) fn tick(&mut self, context: u32, with: &mut With<'_>, now: Result<Timestamp, Failed>) {
        if self.state == State::Open && self.is_over(with, now, false) && hostcalls::set_effective_context(context).is_ok() {
            self.goes_on(with, now, false);
        }
    }

    /// A piece of a body.
    pub(super) fn body(&mut self, direction: Direction, size: usize, last: bool, with: &mut With<'_>) -> Action {
        let (count, counted) = match direction {
            Direction::Up => (&mut self.up, 0),
            Direction::Down => (&mut self.down, self.held),
        };
        let new = size.saturating_sub(counted) as u64;
        *count += new;
        match direction {
            Direction::Up => self.exchange.request_bytes(new),
            Direction::Down => self.exchange.response_bytes(new),
        }
        if self.state == State::Answered {
            // Our answer goes its way; what the client still sends does not.
            return if direction == Direction::Down { Action::Continue } else { Action::Pause };
        }
        let passes = direction == Direction::Up || self.search(size, last);
        // The tick's: what is over is cut a tick later at the most, and a piece costs no call.
        let now = if with.ticks { Ok(with.worker.latest()) } else { hostcalls::get_current_time().map(Timestamp::from_nanos) };
        if !self.goes_on(with, now, true) || !passes {
            return Action::Pause;
        }
        if direction == Direction::Down && self.exchange.rewrites_response() && !self.rewrite(size, last, with, now) {
            return Action::Pause;
        }
        match direction {
            Direction::Up => self.sent |= last,
            Direction::Down if last => self.release_place(),
            Direction::Down => {}
        }
        Action::Continue
    }

    /// The stream is over: seals its record where the access log finds it.
    pub(super) fn log(&mut self, with: &mut With<'_>) {
        self.exchange.finish(with.worker);
        if self.exchange.credential_came_back() {
            with.metrics.was_echoed();
        }
        // Without a response's head there was none, or one that the proxy made past the filters.
        let asked = || hostcalls::get_integer_property("response\0code").and_then(|code| u16::try_from(code).ok());
        let end = End {
            response_code: self.status.or_else(asked).filter(|code| *code > 0),
            bytes_up: Some(self.up),
            bytes_down: Some(self.down),
        };
        seal(&self.exchange, &end);
    }
}
