//! Whether a stream that was let through may go on. Asked again for as long as it is open: by the newest policy, and by the time.

use std::rc::{Rc, Weak};

use crate::authenticate::{Authenticated, session_again};
use crate::binding::Bindings;
use crate::check::{Findings, may};
use crate::policy::{Policy, Rules};
use crate::reason::Reason;
use crate::router::CommandId;
use crate::time::Timestamp;

/// What a permit rests on, for as long as its stream is open.
#[derive(Debug)]
pub(crate) struct Standing {
    basis: Basis,
    /// What its token was bound to, and was shown to be: of the connection, and so for as long as the stream is open.
    bound: Bindings,
    command: Option<Rc<str>>,
    /// The policy by which it was last found good, but for the time.
    by: Weak<Policy>,
    /// From this instant on it is over, in Unix seconds.
    over: u64,
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
}

impl Standing {
    /// Of a request that was let through under `policy`; `observed` if only because the policy observes.
    pub(crate) fn of(policy: &Rc<Policy>, findings: &Findings, observed: Option<Reason>, command: Option<Rc<str>>) -> Self {
        let basis = match (&findings.authenticated, observed) {
            (Some(authenticated), _) => Basis::Session(authenticated.clone()),
            (None, Some(reason)) => Basis::Observed(reason),
            (None, None) => Basis::Unmediated,
        };
        let over = policy.rules().map_or(0, |rules| over(rules, findings));
        Self { basis, bound: findings.bound, command, by: Rc::downgrade(policy), over }
    }

    /// May the stream go on under `newest`, at the latest instant that the worker has seen?
    pub(crate) fn again(&mut self, newest: &Rc<Policy>, latest: Timestamp) -> Result<(), Cut> {
        let Some(rules) = newest.rules() else {
            return Err(Cut { reason: Reason::NoPolicy, because: None, policy: None });
        };
        if !rules.enforces() || (std::ptr::eq(self.by.as_ptr(), Rc::as_ptr(newest)) && latest.seconds() < self.over) {
            return Ok(());
        }
        let mut findings = Findings::default();
        let mut because = None;
        let found = self.judge(newest, rules, latest, &mut findings, &mut because);
        match found {
            Ok(()) => {
                self.by = Rc::downgrade(newest);
                self.over = over(rules, &findings);
                Ok(())
            }
            Err(reason) => Err(Cut { reason, because, policy: Some(rules.label.clone()) }),
        }
    }

    fn judge(
        &mut self,
        newest: &Rc<Policy>,
        rules: &Rules,
        latest: Timestamp,
        findings: &mut Findings,
        because: &mut Option<String>,
    ) -> Result<(), Reason> {
        let command = self.command.as_deref().and_then(|name| {
            let place = rules.commands.binary_search_by(|command| (*command.name).cmp(name)).ok()?;
            Some((CommandId(u32::try_from(place).ok()?), rules.commands.get(place)?))
        });
        match &mut self.basis {
            Basis::Observed(reason) => Err(*reason),
            Basis::Unmediated => match command {
                Some((_, command)) if command.unmediated => Ok(()),
                Some(_) => Err(Reason::TokenMissing),
                None => Err(Reason::UnknownCommand),
            },
            Basis::Session(authenticated) => {
                let session = session_again(newest, rules, &authenticated.token, latest, &mut ())?.ok_or(Reason::KeyUnknown)?;
                // What was not shown when the stream was admitted cannot be shown any more.
                if !rules.session.bind.still_holds(self.bound, &authenticated.session.claims, &session.claims) {
                    return Err(Reason::BindingMismatch);
                }
                *because = session.revoked.clone().flatten();
                // The latest instant for both ends of its time: what has begun does not begin again when the clock steps back.
                may(rules, &session, command, latest, latest, findings, &mut ())?;
                authenticated.session = session;
                Ok(())
            }
        }
    }
}

/// When what was found is over; never, where nobody's session was looked at.
fn over(rules: &Rules, findings: &Findings) -> u64 {
    findings.ends.map_or(u64::MAX, |ends| ends.saturating_add(rules.session.clock_skew))
}
