//! What a session has used: how often it has called what is counted, what it has called at all, and how many bytes it has moved.

use super::entry::{Malformed, TIME, put_time, take, take_time};
use crate::primitives::limits;
use crate::primitives::reason::Reason;
use crate::rules::grants::{RuleId, SessionBytes};

/// Calls that are to be let through, all of them or none.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    pub(crate) counts: Vec<Count>,
    pub(crate) needs: Vec<Needed>,
    pub(crate) marks: Vec<Marked>,
}

impl Charge {
    /// Is there nothing to ask, and nothing to note?
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.needs.is_empty() && self.marks.is_empty()
    }
}

/// So many more calls by one rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    pub(crate) rule: RuleId,
    pub(crate) calls: u16,
    pub(crate) most: u16,
    /// In milliseconds; `None` for as long as the session.
    pub(crate) window: Option<u64>,
}

/// A command that must have been called before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needed {
    pub(crate) command: RuleId,
    /// In milliseconds; `None` for as long as the session.
    pub(crate) window: Option<u64>,
}

/// A command of which is kept that it was called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marked {
    pub(crate) command: RuleId,
    /// When it was called last is asked for, and not only whether it was.
    pub(crate) timed: bool,
}

/// Why calls are not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    /// Too many; in so many milliseconds they would not be, where they ever would.
    Calls(Option<u64>),
    Order,
    Bytes,
    /// More is kept of the session than there is room for.
    Room,
}

impl Excess {
    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::Calls(_) => Reason::CallsExceeded,
            Self::Order => Reason::CallOutOfOrder,
            Self::Bytes => Reason::TransferNotAllowed,
            Self::Room => Reason::Overloaded,
        }
    }
}

/// Bytes in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes {
    pub(crate) request: u64,
    pub(crate) response: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(super) counters: Vec<Counter>,
    marks: Vec<(RuleId, u64)>,
    totals: Vec<(RuleId, Bytes)>,
}

/// Calls by one rule, in parts of its window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counter {
    rule: RuleId,
    /// When none of them counts any more, in milliseconds; [`NEVER`] for a rule without a window.
    until: u64,
    /// The latest part first. The calls of a part count for as many parts more as a window has.
    parts: [u16; PARTS],
}

const PARTS: usize = limits::CALL_PARTS + 1;
/// The latest time that is kept.
const NEVER: u64 = (1 << (8 * TIME)) - 1;
const COUNTER: usize = 8 + TIME + 2 * PARTS;
const MARK: usize = 8 + TIME;
const TOTAL: usize = 8 + 2 * TIME;
/// How many there are of each.
const HEAD: usize = 2;

/// Milliseconds of a part; eight of them are a window at the least.
fn part_of(window: Option<u64>) -> Option<u64> {
    window.map(|window| window.div_ceil(limits::CALL_PARTS as u64).max(1))
}

impl Counter {
    fn new(rule: RuleId) -> Self {
        Self { rule, until: 0, parts: [0; PARTS] }
    }

    /// Moves it on to this instant. A worker that has read the time earlier counts into the latest part.
    fn advance(&mut self, part: Option<u64>, now: u64) {
        let Some(part) = part else {
            self.until = NEVER;
            return;
        };
        let until = (now / part).saturating_add(PARTS as u64).saturating_mul(part);
        let by = usize::try_from(until.saturating_sub(self.until) / part).unwrap_or(PARTS).min(PARTS);
        self.parts.rotate_right(by % PARTS);
        self.parts.iter_mut().take(by).for_each(|calls| *calls = 0);
        self.until = self.until.max(until);
    }

    fn calls(&self) -> u16 {
        self.parts.iter().fold(0, |all, calls| all.saturating_add(*calls))
    }

    /// How long until there is room for so many calls, in milliseconds; `None` where there never is.
    fn room_in(&self, count: &Count, now: u64) -> Option<u64> {
        let part = part_of(count.window)?;
        let mut left = self.calls();
        for (age, calls) in self.parts.iter().enumerate().rev() {
            left = left.saturating_sub(*calls);
            if left.saturating_add(count.calls) <= count.most {
                return Some(self.until.saturating_sub(part.saturating_mul(age as u64)).saturating_sub(now));
            }
        }
        None
    }
}

impl Usage {
    pub(super) fn is_empty(&self) -> bool {
        self.counters.is_empty() && self.marks.is_empty() && self.totals.is_empty()
    }

    /// When the last call that is counted in a window counts no more, in milliseconds.
    pub(super) fn counts_until(&self) -> u64 {
        self.counters.iter().map(|counter| counter.until).filter(|until| *until != NEVER).max().unwrap_or(0)
    }

    /// The calls that count by this rule now.
    pub(super) fn calls(&self, count: &Count, now: u64) -> u16 {
        self.counter(count, now).calls()
    }

    fn counter(&self, count: &Count, now: u64) -> Counter {
        let known = self.counters.iter().find(|counter| counter.rule == count.rule).cloned();
        let mut counter = known.unwrap_or_else(|| Counter::new(count.rule));
        counter.advance(part_of(count.window), now);
        counter
    }

    fn marked(&self, command: &RuleId) -> Option<u64> {
        self.marks.iter().find(|(marked, _)| marked == command).map(|(_, at)| *at)
    }

    /// It with the calls, if all of them may be let through.
    pub(super) fn charged(&self, charge: &Charge, now: u64) -> Result<Self, Excess> {
        // By what was called before: of calls that come together nobody knows which is first.
        let is_met = |needed: &Needed| {
            let at = self.marked(&needed.command);
            at.is_some_and(|at| needed.window.is_none_or(|window| now.saturating_sub(at) < window))
        };
        if !charge.needs.iter().all(is_met) {
            return Err(Excess::Order);
        }
        let mut after = self.clone();
        for count in &charge.counts {
            let mut counter = after.counter(count, now);
            if counter.calls().saturating_add(count.calls) > count.most {
                return Err(Excess::Calls(counter.room_in(count, now)));
            }
            if let Some(latest) = counter.parts.first_mut() {
                *latest = latest.saturating_add(count.calls);
            }
            after.counters.retain(|other| other.rule != count.rule && other.until > now);
            after.counters.push(counter);
        }
        for Marked { command, timed } in &charge.marks {
            match after.marks.iter_mut().find(|(marked, _)| marked == command) {
                Some((_, at)) if *timed => *at = now.max(*at),
                Some(_) => {}
                None => after.marks.push((*command, now)),
            }
        }
        after.fits().then_some(after).ok_or(Excess::Room)
    }

    /// It with these bytes more under a grant, and how many that are: what is asked for, and with `ahead` more of a direction that
    /// asks for any, up to [`limits::SESSION_BYTES_STEP`].
    pub(super) fn taken(&self, most: &SessionBytes, asked: Bytes, ahead: bool) -> Result<(Self, Bytes), Excess> {
        let mut after = self.clone();
        let used = after.totals.iter().find(|(rule, _)| *rule == most.rule).map(|(_, used)| *used).unwrap_or_default();
        let take = |most: Option<u64>, used: u64, asked: u64| {
            let Some(most) = most.filter(|_| asked > 0) else { return Ok(asked) };
            let free = most.saturating_sub(used);
            let step = if ahead { limits::SESSION_BYTES_STEP.min(free / limits::SESSION_BYTES_SHARE) } else { 0 };
            if asked > free { Err(Excess::Bytes) } else { Ok(asked.max(step)) }
        };
        let taken = Bytes {
            request: take(most.request, used.request, asked.request)?,
            response: take(most.response, used.response, asked.response)?,
        };
        after.totals.retain(|(rule, _)| *rule != most.rule);
        let add = |used: u64, taken: u64| used.saturating_add(taken).min(NEVER);
        let total = Bytes { request: add(used.request, taken.request), response: add(used.response, taken.response) };
        after.totals.push((most.rule, total));
        after.fits().then_some((after, taken)).ok_or(Excess::Room)
    }

    /// It without bytes that were taken under a grant and not used.
    pub(super) fn given_back(&self, rule: &RuleId, unused: Bytes) -> Self {
        let mut after = self.clone();
        if let Some((_, used)) = after.totals.iter_mut().find(|(other, _)| other == rule) {
            used.request = used.request.saturating_sub(unused.request);
            used.response = used.response.saturating_sub(unused.response);
        }
        after
    }

    fn fits(&self) -> bool {
        self.counters.len() <= limits::SESSION_COUNTS
            && self.marks.len() <= limits::SESSION_MARKS
            && self.totals.len() <= limits::SESSION_TOTALS
    }

    /// Bytes of all of it; 0 where there is nothing.
    pub(super) fn size(&self) -> usize {
        if self.is_empty() { 0 } else { size(self.counters.len(), self.marks.len(), self.totals.len()) }
    }

    /// Writes it after `bytes`. There is never more of it than is read.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        if self.is_empty() {
            return;
        }
        let count = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
        bytes.push(count(self.counters.len()) | count(self.marks.len()) << 4);
        bytes.push(count(self.totals.len()));
        for Counter { rule, until, parts } in &self.counters {
            bytes.extend_from_slice(rule);
            put_time(bytes, *until);
            parts.iter().for_each(|calls| bytes.extend_from_slice(&calls.to_le_bytes()));
        }
        for (command, at) in &self.marks {
            bytes.extend_from_slice(command);
            put_time(bytes, *at);
        }
        for (rule, Bytes { request, response }) in &self.totals {
            bytes.extend_from_slice(rule);
            put_time(bytes, *request);
            put_time(bytes, *response);
        }
    }

    /// How many bytes it has that begin like this.
    pub(super) fn size_of(bytes: &[u8]) -> Result<usize, Malformed> {
        let [counters, marks, totals] = Self::head(&mut &*bytes)?;
        Ok(size(counters, marks, totals))
    }

    fn head(rest: &mut &[u8]) -> Result<[usize; 3], Malformed> {
        let [first, totals] = take::<HEAD>(rest)?;
        let [counters, marks, totals] = [first & 15, first >> 4, totals].map(usize::from);
        let none = counters + marks + totals == 0;
        if none || counters > limits::SESSION_COUNTS || marks > limits::SESSION_MARKS || totals > limits::SESSION_TOTALS {
            return Err(Malformed);
        }
        Ok([counters, marks, totals])
    }

    pub(super) fn read(rest: &mut &[u8]) -> Result<Self, Malformed> {
        let [counters, marks, totals] = Self::head(rest)?;
        let counter = |rest: &mut &[u8]| {
            let (rule, until) = (take::<8>(rest)?, take_time(rest)?);
            let mut parts = [0; PARTS];
            for calls in &mut parts {
                *calls = u16::from_le_bytes(take::<2>(rest)?);
            }
            Ok(Counter { rule, until, parts })
        };
        let counters = (0..counters).map(|_| counter(rest)).collect::<Result<_, Malformed>>()?;
        let marks = (0..marks).map(|_| Ok((take::<8>(rest)?, take_time(rest)?))).collect::<Result<_, Malformed>>()?;
        let total = |rest: &mut &[u8]| Ok((take::<8>(rest)?, Bytes { request: take_time(rest)?, response: take_time(rest)? }));
        let totals = (0..totals).map(|_| total(rest)).collect::<Result<_, Malformed>>()?;
        Ok(Self { counters, marks, totals })
    }
}

fn size(counters: usize, marks: usize, totals: usize) -> usize {
    HEAD + COUNTER * counters + MARK * marks + TOTAL * totals
}

#[cfg(test)]
mod tests;
