//! Why the core allows or denies a request: each check with what it saw, and what would have to change.

mod advice;
mod nearest;
mod verdict;

pub use nearest::Nearest;
pub use verdict::{Checked, Verdict};

use crate::{outcome::Decision, published::Published, request::Request};
use chaperone_policy::{
    CheckStep, Context, Exchange, Given, GrantSeen, Head, LocalState, Need, Policy, Reason, RustCrypto, Secret, Source,
    WholeBody, Worker,
};
use jiff::Timestamp;
use serde_json::Value;
use std::rc::Rc;

/// A decision with its reasons.
#[derive(Debug)]
pub struct Explained {
    /// What was decided.
    pub decision: Decision,
    /// Why it was denied, or, under `allow`, what was only observed.
    pub reason: Option<Reason>,
    /// The command that the request is.
    pub command: Option<String>,
    /// Each check in order, with what it saw and how it went; those that were not reached are not here.
    pub checks: Vec<Checked>,
    /// All grants, and how the session stands to them.
    pub grants: Vec<GrantSeen>,
    /// The grant that is nearest to allowing the command, where it was denied and some grant allows it at all.
    pub nearest: Option<Nearest>,
    /// What would have to change, where it was denied.
    pub advice: Option<String>,
}

/// Decides one request in a proxy that has seen no other, and explains the decision. A policy that does not compile is none, as it
/// is to the filter.
#[must_use]
pub fn explain(
    policy: &Value,
    published: &Published,
    environment: Vec<(String, String)>,
    request: &Request,
    at: Timestamp,
) -> Explained {
    let policy = Rc::new(Policy::compile(policy.to_string().as_bytes()).unwrap_or_else(|_| Policy::deny_all()));
    let environment = environment.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
    let mut worker = Worker::new([0; 16], [0; 32], environment);
    worker.share(Rc::new(LocalState::default()));
    let owned = request.head();
    let fields: Vec<(&[u8], &[u8])> = owned.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let source = request.source_address.map(|address| address.to_string());
    let head = Head {
        headers: &fields,
        source: source.as_deref().map_or(Source::Unknown, |source| Source::Told(source.as_bytes())),
        body: request.has_body(),
        peer: request.peer(),
    };
    let now = chaperone_policy::Timestamp::from_nanos(u64::try_from(at.as_nanosecond()).unwrap_or(0));
    published.fetch_for(&mut worker, &policy, now);
    let mut exchange = Exchange::begin(Rc::clone(&policy));
    let context = Context { now, newest: &policy, verifier: &RustCrypto };
    let (mut decision, mut explanation) = exchange.explain(&head, &mut worker, &context);
    exchange.request_bytes(request.body.len() as u64);
    let mut is_counted = false;
    if let chaperone_policy::Decision::Hold(Need::Body { most_bytes }) = decision {
        let whole = Given::Body(WholeBody::of_ended(&request.body));
        let given = if request.body.len() > most_bytes { Given::TooLarge } else { whole };
        decision = exchange.explain_further(&given, &fields, &mut worker, &context, &mut explanation);
        is_counted = true;
    }
    if let chaperone_policy::Decision::Hold(Need::Credential(_)) = decision {
        published.fetch_wanted(&mut worker, now);
        decision = exchange.explain_further(&Given::Nothing, &fields, &mut worker, &context, &mut explanation);
    }
    // What did not say how long it is shows it when it comes.
    let comes = matches!(decision, chaperone_policy::Decision::Forward(_)) && !is_counted && !request.body.is_empty();
    let cut = if comes { exchange.recheck(&mut worker, &context, true) } else { None };
    let decision = match decision {
        chaperone_policy::Decision::Forward(_) if cut.is_some() => Decision::Deny,
        chaperone_policy::Decision::Forward(_) => Decision::Allow,
        // What waits has not been let through.
        chaperone_policy::Decision::Refuse(_) | chaperone_policy::Decision::Hold(_) => Decision::Deny,
    };
    let (seen, grants) = (explanation.seen, explanation.grants);
    // In the head, or the first one in the body.
    let named = |seen: &CheckStep| {
        if let CheckStep::Lookup { command, .. } | CheckStep::Command { command } = seen { command.clone() } else { None }
    };
    let command = seen.iter().find_map(named);
    let reason = cut.or(exchange.reason());
    let denied = decision == Decision::Deny || reason.is_some();
    let nearest = command.as_deref().filter(|_| denied).and_then(|command| nearest::find(command, &grants));
    let advice = reason.map(|reason| advice::about(reason, command.as_deref(), &seen, nearest.as_ref()));
    let checks = verdict::judge(seen, reason, decision);
    Explained { decision, reason, command, checks, grants, nearest, advice }
}
