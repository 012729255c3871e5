//! Lines decided on other threads than the one that reads and writes them: in one lane all of them, in several each session's in one. What
//! was decided comes back in the order of the lines.

use chaperone_authoring::recorded::Line;
use jiff::Timestamp;
use policy_host::replay::ReplayError;
use std::{
    collections::VecDeque,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{Scope, ScopedJoinHandle},
};

/// Lines that are handed over at once: enough that the handing over does not count.
const BATCH: usize = 256;
/// Bytes of lines that are: a line may have a whole body.
const BATCH_BYTES: usize = 1 << 20;
/// Batches on their way: enough that no lane waits for another one.
const AHEAD: usize = 4;

/// A line, and when it is decided.
pub(crate) struct Job {
    pub(crate) number: u64,
    pub(crate) line: Line,
    pub(crate) at: Timestamp,
}

/// What decides lines, in a lane of its own.
pub(crate) trait Decide: Send {
    /// What is to be known of each line.
    type Said: Send;

    /// Gets ready, at the time of the first line of all.
    fn start(&mut self, at: Timestamp) -> Result<(), ReplayError>;

    fn decide(&mut self, job: Job) -> Result<Self::Said, ReplayError>;
}

/// A lane's part of a batch.
type Part = Vec<Job>;
/// What became of it; of what nothing can be decided after, it is the last.
type Told<S> = Vec<Result<S, ReplayError>>;

struct Lane<'s, D: Decide> {
    jobs: SyncSender<(Timestamp, Part)>,
    told: Receiver<Told<D::Said>>,
    thread: ScopedJoinHandle<'s, D>,
    next: Part,
}

/// Where a line is decided; `None` when it is not, as it could not be read.
type Place = (u64, Option<usize>);

/// Lanes, and what is on its way through them.
pub(crate) struct Lanes<'s, D: Decide> {
    lanes: Vec<Lane<'s, D>>,
    /// When the first line was sent.
    begun: Option<Timestamp>,
    batch: Vec<Place>,
    bytes: usize,
    ahead: VecDeque<Vec<Place>>,
}

impl<'s, D: Decide + 's> Lanes<'s, D> {
    /// A lane for each of these.
    pub(crate) fn of<'e>(all: Vec<D>, scope: &'s Scope<'s, 'e>) -> Self {
        let lanes = all.into_iter().map(|lane| Lane::of(lane, scope)).collect();
        Self { lanes, begun: None, batch: Vec::with_capacity(BATCH), bytes: 0, ahead: VecDeque::new() }
    }

    /// How many lanes there are.
    pub(crate) fn count(&self) -> usize {
        self.lanes.len()
    }

    /// Takes a line of so many bytes for this lane, from 0. Gives what was decided meanwhile, in the order of the lines.
    pub(crate) fn push(&mut self, lane: usize, job: Job, bytes: usize) -> Decided<D::Said> {
        self.begun.get_or_insert(job.at);
        let Some(to) = self.lanes.get_mut(lane) else { return Vec::new() };
        self.batch.push((job.number, Some(lane)));
        to.next.push(job);
        self.bytes += bytes;
        self.hand_over()
    }

    /// Takes the place of a line that cannot be decided.
    pub(crate) fn skip(&mut self, number: u64) -> Decided<D::Said> {
        self.batch.push((number, None));
        self.hand_over()
    }

    fn hand_over(&mut self) -> Decided<D::Said> {
        if self.batch.len() < BATCH && self.bytes < BATCH_BYTES {
            return Vec::new();
        }
        self.send();
        if self.ahead.len() > AHEAD { self.receive() } else { Vec::new() }
    }

    fn send(&mut self) {
        if let Some(begun) = self.begun {
            for lane in self.lanes.iter_mut().filter(|lane| !lane.next.is_empty()) {
                // One that has ended has said why.
                let _ = lane.jobs.send((begun, std::mem::take(&mut lane.next)));
            }
        }
        self.bytes = 0;
        self.ahead.push_back(std::mem::take(&mut self.batch));
    }

    /// What was decided of the oldest batch.
    fn receive(&mut self) -> Decided<D::Said> {
        let Some(batch) = self.ahead.pop_front() else { return Vec::new() };
        let mut told: Vec<Option<std::vec::IntoIter<_>>> = self.lanes.iter().map(|_| None).collect();
        let mut decided = Vec::with_capacity(batch.len());
        for (number, lane) in batch {
            let Some(lane) = lane else {
                decided.push((number, Ok(None)));
                continue;
            };
            let Some((told, lane)) = told.get_mut(lane).zip(self.lanes.get(lane)) else { continue };
            let told = told.get_or_insert_with(|| lane.told.recv().unwrap_or_default().into_iter());
            // Where there is none, the lane has ended with an error that stands before.
            decided.extend(told.next().map(|said| (number, said.map(Some))));
        }
        decided
    }

    /// What was decided of all lines that were taken.
    pub(crate) fn drain(&mut self) -> Decided<D::Said> {
        if !self.batch.is_empty() {
            self.send();
        }
        let mut decided = self.receive();
        while !self.ahead.is_empty() {
            decided.append(&mut self.receive());
        }
        decided
    }

    /// Ends the lanes and gives back what decided in them. What is still on its way is lost.
    pub(crate) fn finish(self) -> Vec<D> {
        let threads: Vec<_> = self.lanes.into_iter().map(|lane| lane.thread).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    }
}

/// What was decided of lines by their numbers, in order; `None` of a line that could not be.
pub(crate) type Decided<S> = Vec<(u64, Result<Option<S>, ReplayError>)>;

impl<'s, D: Decide + 's> Lane<'s, D> {
    fn of<'e>(mut lane: D, scope: &'s Scope<'s, 'e>) -> Self {
        let (jobs, parts) = sync_channel::<(Timestamp, Part)>(AHEAD + 1);
        let (tell, told) = sync_channel(AHEAD + 1);
        let thread = scope.spawn(move || {
            let mut started = false;
            for (begun, part) in parts {
                let start = if std::mem::replace(&mut started, true) { Ok(()) } else { lane.start(begun) };
                let mut told = Vec::with_capacity(part.len());
                match start {
                    Err(error) => told.push(Err(error)),
                    Ok(()) => {
                        for job in part {
                            let said = lane.decide(job);
                            let fails = said.is_err();
                            told.push(said);
                            if fails {
                                break;
                            }
                        }
                    }
                }
                let failed = told.last().is_some_and(Result::is_err);
                if tell.send(told).is_err() || failed {
                    break;
                }
            }
            lane
        });
        Self { jobs, told, thread, next: Vec::new() }
    }
}
