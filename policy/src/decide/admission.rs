//! Whether a stream that was let through may go on. Asked again for as long as it is open: by the newest policy, and by the time.

mod totals;

use std::rc::{Rc, Weak};

use crate::commands::mcp::endpoint::NameKind;
use crate::decide::asked::Commands;
use crate::decide::authenticate::reauthenticate;
use crate::decide::binding;
use crate::decide::check::{Findings, authorize_command, has_status, is_live, may_see};
use crate::decide::transfers::{Transfer, TransferRule, may_transfer};
use crate::http::rpc::Rpc;
use crate::primitives::reason::Reason;
use crate::primitives::time::Timestamp;
use crate::rules::binding::Bindings;
use crate::rules::credential::Credential;
use crate::rules::policy::{Policy, Rules};
use crate::state::seats::Seat;
use crate::state::session::{Authenticated, Session};
use crate::state::sessions::{Ending, StateQuery, Stop, Unavailable};
use crate::state::worker::Worker;

/// What a permit rests on, for as long as its stream is open.
#[derive(Debug)]
pub(crate) struct Admission {
    basis: Basis,
    /// What its token was bound to, and was shown to be: of the connection, and so for as long as the stream is open.
    bound: Bindings,
    commands: Commands,
    /// What it carries, and may.
    transfer: Transfer,
    /// The target's credential that went along.
    given: Option<Rc<Credential>>,
    /// What it has of its session's bytes, where the grant counts them.
    taken: Option<totals::Taken>,
    /// The policy by which it was last found good, but for the time.
    by: Weak<Policy>,
    /// And the epoch of what had been fetched then.
    epoch: u64,
    /// From this instant on that says nothing any more, in Unix seconds.
    over: u64,
    /// Given back with it.
    seat: Option<Seat>,
}

/// How much of a request is there to be judged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Its session; what it asks for is in a body that has not come.
    Session,
    Commands,
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
    /// What the entry of `revoked` gives as its reason, or what else is to be said of it.
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
    pub(crate) fn of(policy: &Rc<Policy>, findings: &Findings, observed: Option<Reason>, commands: Commands) -> Self {
        let basis = match (&findings.authenticated, observed) {
            (Some(authenticated), _) => Basis::Session(authenticated.clone()),
            (None, Some(reason)) => Basis::Observed(reason),
            (None, None) => Basis::Unmediated,
        };
        let over = policy.rules().map_or(0, |rules| over(rules, findings));
        let (bound, by, epoch) = (findings.bound, Rc::downgrade(policy), findings.epoch);
        let given = findings.credential.as_ref().filter(|_| observed.is_none()).map(|filled| Rc::clone(&filled.of));
        Self { basis, bound, commands, transfer: findings.transfer, given, taken: None, by, epoch, over, seat: None }
    }

    /// The same once more, of a request that is like one which was let through under `by`, with nothing that was bound or counted.
    pub(crate) fn again(
        authenticated: Authenticated,
        commands: Commands,
        transfer: Transfer,
        given: Option<Rc<Credential>>,
        (by, epoch): (Weak<Policy>, u64),
        over: u64,
    ) -> Self {
        let (basis, bound) = (Basis::Session(authenticated), Bindings::default());
        Self { basis, bound, commands, transfer, given, taken: None, by, epoch, over, seat: None }
    }

    /// From when on it is to be judged anew, in Unix seconds.
    pub(crate) fn over(&self) -> u64 {
        self.over
    }

    /// Gives it its place among what is under way.
    pub(crate) fn seated(self, seat: Option<Seat>) -> Self {
        Self { seat, ..self }
    }

    /// The name of its command; `None` where it is none, or several.
    pub(crate) fn command(&self) -> Option<&str> {
        match &self.commands {
            Commands::One(one) => one.as_ref().map(|asked| &*asked.command),
            Commands::Several(_) => None,
        }
    }

    pub(crate) fn commands(&self) -> &Commands {
        &self.commands
    }

    /// May its session see what is a command of this name under these rules? Nobody's session may see none.
    pub(crate) fn may_see(&self, rules: &Rules, command: &str, kind: NameKind, latest: Timestamp) -> bool {
        match &self.basis {
            Basis::Session(Authenticated { session, .. }) => may_see(rules, session, command, kind, latest, self.transfer.mark()),
            Basis::Unmediated | Basis::Observed(_) => false,
        }
    }

    /// The target's credential that it was given.
    pub(crate) fn given(&self) -> Option<&Rc<Credential>> {
        self.given.as_ref()
    }

    /// What it carries.
    pub(crate) fn carried(&self) -> &Transfer {
        &self.transfer
    }

    /// As [`Self::reauthorize`], while it is not known yet what is asked for: whether the session may go on at all.
    pub(crate) fn stays_live(&mut self, newest: &Rc<Policy>, worker: &mut Worker) -> Result<(), Cut> {
        self.ask(newest, worker, false, Known::Session)
    }

    /// The token and the session; `None` where it needs none.
    pub(crate) fn authenticated(&self) -> Option<&Authenticated> {
        match &self.basis {
            Basis::Session(authenticated) => Some(authenticated),
            Basis::Unmediated | Basis::Observed(_) => None,
        }
    }

    /// The session, as the policy by which it was last found good sees it; `None` where it needs none.
    pub(crate) fn session(&self) -> Option<&Rc<Session>> {
        self.authenticated().map(|authenticated| &authenticated.session)
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
        self.ask(newest, worker, moved, Known::Commands)
    }

    /// The same of what has not been sent yet, whatever it was to be given.
    pub(crate) fn reauthorize_unsent(&mut self, newest: &Rc<Policy>, worker: &mut Worker) -> Result<(), Cut> {
        let given = self.given.take();
        let asked = self.reauthorize(newest, worker, false);
        self.given = given;
        asked
    }

    fn ask(&mut self, newest: &Rc<Policy>, worker: &mut Worker, moved: bool, known: Known) -> Result<(), Cut> {
        let Some(rules) = newest.rules() else {
            return Err(Cut::of(Reason::NoPolicy));
        };
        if !rules.enforces() {
            self.observe_transfer(newest, rules, worker);
            return Ok(());
        }
        let cut = |stop: Stop, because| {
            let Stop { reason, ended_now } = stop;
            Cut { reason, because, policy: Some(rules.label.clone()), ended_now }
        };
        worker.told.freshen(worker.latest());
        let unchanged = self.is_by(newest) && self.epoch == worker.sources.epoch();
        if unchanged && worker.latest().seconds() < self.over && !self.transfer.must_be_judged() {
            if let Err(reason) = self.still_has_word(worker) {
                let because = self.session().and_then(|session| session.because()).map(str::to_owned);
                return Err(cut(reason.into(), because));
            }
            return self.stays(rules, worker, moved).map_err(|stop| cut(stop, None));
        }
        let mut findings = Findings::carrying(self.transfer);
        findings.given.clone_from(&self.given);
        let mut because = None;
        let found = self.judge(newest, rules, worker, known, &mut findings, &mut because);
        match found {
            Ok(()) => {
                self.by = Rc::downgrade(newest);
                self.epoch = worker.sources.epoch();
                self.over = over(rules, &findings);
                self.transfer = findings.transfer;
                self.stays(rules, worker, moved).map_err(|stop| cut(stop, None))
            }
            Err(reason) => Err(cut(reason.into(), because)),
        }
    }

    /// What it carries, to be counted and looked at.
    pub(crate) fn transfer(&mut self) -> &mut Transfer {
        &mut self.transfer
    }

    /// The form in which its caller understands an answer.
    pub(crate) fn spoken(&self) -> Option<Rpc> {
        self.transfer.spoken()
    }

    /// What of that would have been cut, had the policy not only observed.
    pub(crate) fn noted(&self) -> Option<TransferRule> {
        self.transfer.noted()
    }

    /// Where the policy observes, what it carries is noted all the same.
    fn observe_transfer(&mut self, newest: &Rc<Policy>, rules: &Rules, worker: &Worker) {
        if !self.transfer.must_be_judged() {
            return;
        }
        let mut findings = Findings::carrying(self.transfer);
        match self.judge(newest, rules, worker, Known::Commands, &mut findings, &mut None) {
            Ok(()) | Err(Reason::TransferNotAllowed) => {
                self.transfer = findings.transfer;
                self.transfer.note();
            }
            // Nothing is said of a session whose token would be denied by now.
            Err(_) => {}
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
        worker.told.refresh(worker.latest());
    }

    /// `revoked`: what the issuer has told since.
    fn still_has_word(&self, worker: &Worker) -> Result<(), Reason> {
        let Basis::Session(Authenticated { session, .. }) = &self.basis else { return Ok(()) };
        match worker.told.of(session) {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(Reason::Revoked),
            Err(Unavailable) => Err(Reason::InternalError),
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
        known: Known,
        findings: &mut Findings,
        because: &mut Option<String>,
    ) -> Result<(), Reason> {
        // Gone from the policy is what it has no command for.
        let asked = self.commands.all();
        let commands: Vec<_> = asked.iter().map_while(|asked| asked.under(rules)).collect();
        let commands = if commands.len() == asked.len() { commands.as_slice() } else { &[] };
        match &mut self.basis {
            Basis::Observed(reason) => Err(*reason),
            Basis::Unmediated => match commands.first() {
                Some(asked) if asked.command.unmediated => Ok(()),
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
                // The latest instant for both ends of its time: what has begun does not begin again when the clock steps back.
                let live = is_live(rules, &session, latest, worker, findings, &mut ());
                *because = session.because().map(str::to_owned);
                live?;
                has_status(rules, &session, worker, findings, &mut ())?;
                if known == Known::Commands {
                    authorize_command(rules, &session, commands, latest, findings, &mut ())?;
                    let carried = may_transfer(rules, findings, &mut ());
                    if carried.is_err() {
                        *because = findings.transfer.broken().map(|rule| rule.name().to_owned());
                    }
                    carried?;
                }
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
