//! Whether a stream that was let through may go on. Asked again for as long as it is open: by the newest policy, and by the time.

use std::rc::{Rc, Weak};

use crate::decide::authenticate::reauthenticate;
use crate::decide::binding;
use crate::decide::check::{Findings, authorize_command, has_status, is_live};
use crate::primitives::reason::Reason;
use crate::rules::binding::Bindings;
use crate::rules::policy::{Policy, Rules};
use crate::state::seats::Seat;
use crate::state::session::{Authenticated, Session};
use crate::state::sessions::{Ending, StateQuery, Stop};
use crate::state::worker::Worker;

/// What a permit rests on, for as long as its stream is open.
#[derive(Debug)]
pub(crate) struct Admission {
    basis: Basis,
    /// What its token was bound to, and was shown to be: of the connection, and so for as long as the stream is open.
    bound: Bindings,
    command: Option<Rc<str>>,
    /// The policy by which it was last found good, but for the time.
    by: Weak<Policy>,
    /// And the epoch of what had been fetched then.
    epoch: u64,
    /// From this instant on that says nothing any more, in Unix seconds.
    over: u64,
    /// Given back with it.
    seat: Option<Seat>,
}

#[derive(Debug)]
enum Basis {
    /// The command needs no session.
    Unmediated,
    Session(Authenticated),
    /// Nobody was verified: the policy only observed, and this is what it would have said.
    Observed(Reason),
}

/// Why a stream is cut.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    pub(crate) reason: Reason,
    /// What the entry of `revoked` gives as its reason.
    pub(crate) because: Option<String>,
    /// The policy that says so: its name and the first digits of its revision.
    pub(crate) policy: Option<Box<str>>,
    /// What the session was ended for by this very cut.
    pub(crate) ended_now: Option<Ending>,
}

impl Cut {
    /// For no reason of a policy.
    pub(crate) fn of(reason: Reason) -> Self {
        Self { reason, because: None, policy: None, ended_now: None }
    }

    /// By these rules.
    pub(crate) fn by(rules: &Rules, reason: Reason) -> Self {
        Self { policy: Some(rules.label.clone()), ..Self::of(reason) }
    }
}

impl Admission {
    /// Of a request that was let through under `policy`; `observed` if only because the policy observes.
    pub(crate) fn of(policy: &Rc<Policy>, findings: &Findings, observed: Option<Reason>, command: Option<Rc<str>>) -> Self {
        let basis = match (&findings.authenticated, observed) {
            (Some(authenticated), _) => Basis::Session(authenticated.clone()),
            (None, Some(reason)) => Basis::Observed(reason),
            (None, None) => Basis::Unmediated,
        };
        let over = policy.rules().map_or(0, |rules| over(rules, findings));
        let (bound, by, epoch) = (findings.bound, Rc::downgrade(policy), findings.epoch);
        Self { basis, bound, command, by, epoch, over, seat: None }
    }

    /// Gives it its place among what is under way.
    pub(crate) fn seated(self, seat: Option<Seat>) -> Self {
        Self { seat, ..self }
    }

    /// The name of its command; `None` where it is none.
    pub(crate) fn command(&self) -> Option<&str> {
        self.command.as_deref()
    }

    /// The session, as the policy by which it was last found good sees it; `None` where it needs none.
    pub(crate) fn session(&self) -> Option<&Rc<Session>> {
        match &self.basis {
            Basis::Session(Authenticated { session, .. }) => Some(session),
            Basis::Unmediated | Basis::Observed(_) => None,
        }
    }

    /// The target has done its part: what is left is between the proxy and the caller, who may take his time to read.
    pub(crate) fn leave(&mut self) {
        self.seat = None;
    }

    /// Was it this policy by which it was last found good?
    pub(crate) fn is_by(&self, policy: &Rc<Policy>) -> bool {
        std::ptr::eq(self.by.as_ptr(), Rc::as_ptr(policy))
    }

    /// May the stream go on under `newest`, at the latest instant that the worker has seen?
    /// `moved`: because a piece of it has come.
    pub(crate) fn reauthorize(&mut self, newest: &Rc<Policy>, worker: &mut Worker, moved: bool) -> Result<(), Cut> {
        let Some(rules) = newest.rules() else {
            return Err(Cut::of(Reason::NoPolicy));
        };
        if !rules.enforces() {
            return Ok(());
        }
        let cut = |stop: Stop, because| {
            let Stop { reason, ended_now } = stop;
            Cut { reason, because, policy: Some(rules.label.clone()), ended_now }
        };
        let unchanged = self.is_by(newest) && self.epoch == worker.sources.epoch();
        if unchanged && worker.latest().seconds() < self.over {
            return self.stays(rules, worker, moved).map_err(|stop| cut(stop, None));
        }
        let mut findings = Findings::default();
        let mut because = None;
        let found = self.judge(newest, rules, worker, &mut findings, &mut because);
        match found {
            Ok(()) => {
                self.by = Rc::downgrade(newest);
                self.epoch = worker.sources.epoch();
                self.over = over(rules, &findings);
                self.stays(rules, worker, moved).map_err(|stop| cut(stop, None))
            }
            Err(reason) => Err(cut(reason.into(), because)),
        }
    }

    /// Has what the workers share of its session read anew: what the last round over the open streams has read is good enough to
    /// cut by, and not to let a request through by.
    pub(crate) fn read_anew(&self, newest: &Rc<Policy>, worker: &mut Worker) {
        if let (Some(rules), Basis::Session(Authenticated { session, .. })) = (newest.rules(), &self.basis)
            && let Some(query) = StateQuery::of(rules, session, &worker.sessions)
        {
            worker.sessions.forget_swept(&query);
        }
    }

    /// `session_ended`, `idle`.
    fn stays(&self, rules: &Rules, worker: &mut Worker, moved: bool) -> Result<(), Stop> {
        let Basis::Session(Authenticated { session, .. }) = &self.basis else { return Ok(()) };
        match StateQuery::of(rules, session, &worker.sessions) {
            Some(query) => worker.sessions.stays(&query, moved),
            None => Ok(()),
        }
    }

    fn judge(
        &mut self,
        newest: &Rc<Policy>,
        rules: &Rules,
        worker: &Worker,
        findings: &mut Findings,
        because: &mut Option<String>,
    ) -> Result<(), Reason> {
        let command = self.command.as_deref().and_then(|name| rules.command(name));
        match &mut self.basis {
            Basis::Observed(reason) => Err(*reason),
            Basis::Unmediated => match command {
                Some((_, command)) if command.unmediated => Ok(()),
                Some(_) => Err(Reason::TokenMissing),
                None => Err(Reason::UnknownCommand),
            },
            Basis::Session(authenticated) => {
                let latest = worker.latest();
                let session = reauthenticate(newest, rules, &worker.sources, &authenticated.token, latest, &mut ())?;
                let session = session.ok_or(Reason::KeyUnknown)?;
                // What was not shown when the stream was admitted cannot be shown any more.
                if !binding::still_holds(&rules.session.bind, self.bound, &authenticated.session.claims, &session.claims) {
                    return Err(Reason::BindingMismatch);
                }
                *because = session.revoked.clone().flatten();
                // The latest instant for both ends of its time: what has begun does not begin again when the clock steps back.
                is_live(rules, &session, latest, latest, findings, &mut ())?;
                has_status(rules, &session, worker, findings, &mut ())?;
                authorize_command(rules, &session, command, latest, findings, &mut ())?;
                authenticated.session = session;
                Ok(())
            }
        }
    }
}

/// When what was found is to be found again; never, where nobody's session was looked at.
fn over(rules: &Rules, findings: &Findings) -> u64 {
    let ends = findings.ends.map_or(u64::MAX, |ends| ends.saturating_add(rules.session.clock_skew));
    ends.min(findings.status_until.unwrap_or(u64::MAX))
}
