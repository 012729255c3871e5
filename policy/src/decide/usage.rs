//! What a session may call by how often it has, and by what it has called before. Asked last of all, of what would be let through,
//! and once: what is denied for anything else is no call.

use std::rc::Rc;

use crate::commands::router::CommandId;
use crate::decide::check::grant_of;
use crate::decide::trace::{CallsSeen, CheckStep, Trace};
use crate::decide::transfers::Transfer;
use crate::primitives::time::Timestamp;
use crate::rules::credential::Credential;
use crate::rules::grants::{AfterRule, CallRule};
use crate::rules::policy::Rules;
use crate::state::session::Session;
use crate::state::sessions::{Charge, Count, Marked, Needed, Refused, StateQuery};
use crate::state::worker::Worker;

/// Counts the calls of these commands, all of them or none: `calls_exceeded`, `call_out_of_order`, and where what workers share
/// cannot be asked, `internal_error` and `overloaded`. Nothing is counted while the policy only observes.
pub(crate) fn charge(
    rules: &Rules,
    session: &Session,
    commands: &[CommandId],
    transfer: &Transfer,
    given: Option<&Rc<Credential>>,
    worker: &mut Worker,
    trace: &mut impl Trace,
) -> Result<(), Refused> {
    if !rules.state.usage {
        return Ok(());
    }
    let charge = due(rules, session, commands, transfer, given, worker.latest());
    if charge.is_empty() {
        return Ok(());
    }
    let Some(query) = StateQuery::of(rules, session, &worker.sessions) else { return Ok(()) };
    let charged = worker.sessions.charge(&query, &charge);
    trace.saw(|| {
        let calls = charged.before.iter().zip(&charge.counts).map(|(before, count)| CallsSeen {
            before: *before,
            calls: count.calls,
            most: count.most,
            within: count.window.map(|window| window / 1000),
        });
        CheckStep::Calls { counted: calls.collect(), stopped: charged.result.err().map(|refused| refused.stop.reason.code()) }
    });
    charged.result
}

/// The rules of the grant that allows the commands, and what grants of the session ask to be noted. A command that is asked for twice
/// is two calls.
fn due(
    rules: &Rules,
    session: &Session,
    commands: &[CommandId],
    transfer: &Transfer,
    given: Option<&Rc<Credential>>,
    latest: Timestamp,
) -> Charge {
    let milliseconds = |within: Option<u64>| within.map(|seconds| seconds.saturating_mul(1000));
    let grants = rules.grants.all();
    let mut charge = Charge::default();
    let granted = grant_of(rules, session, commands.iter().copied(), latest, transfer, given);
    let usage = granted.ok().and_then(|granted| grants.get(granted.place)).map(|grant| &grant.usage);
    for &command in commands {
        let calls = usage.into_iter().flat_map(|usage| &usage.calls).filter(|rule| rule.commands.hold(command));
        for CallRule { count: most, within, id, .. } in calls {
            match charge.counts.iter_mut().find(|count| count.rule == *id) {
                Some(count) => count.calls = count.calls.saturating_add(1),
                None => charge.counts.push(Count { rule: *id, calls: 1, most: *most, window: milliseconds(*within) }),
            }
        }
        let after = usage.into_iter().flat_map(|usage| &usage.after).filter(|rule| rule.commands.hold(command));
        charge.needs.extend(after.map(|rule| Needed { command: rule.id, window: milliseconds(rule.within) }));
        let theirs = session.grants.iter().filter_map(|place| grants.get(*place)).flat_map(|grant| &grant.usage.after);
        for AfterRule { within, id, .. } in theirs.filter(|rule| rule.needs == command) {
            match charge.marks.iter_mut().find(|mark| mark.command == *id) {
                Some(mark) => mark.timed |= within.is_some(),
                None => charge.marks.push(Marked { command: *id, timed: within.is_some() }),
            }
        }
    }
    charge
}
