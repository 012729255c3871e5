//! The three drivers of a cases file: the native core, the .wasm in policy-host, the .wasm in a real Envoy.
//!
//! Each turns a request into an [`Outcome`], and [`Seen`] is what of it must be the same whoever ran the filter.

pub mod envoy;
pub mod host;
pub mod native;

use crate::canaries::Canaries;
use chaperone_authoring::{
    cases::Plan,
    dictionary,
    outcome::{Decision, Outcome},
};
use jiff::Timestamp;

/// What a driver makes of a case.
#[derive(Debug)]
pub struct Ran {
    /// What each request of the case came to, in order.
    pub seen: Vec<Seen>,
    /// What is not as the case expects, with its place.
    pub mismatches: Vec<String>,
}

/// The part of an outcome that all drivers must agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Let through or not.
    pub decision: Decision,
    /// Why not, or what was observed.
    pub reason: Option<String>,
    /// What the client was told.
    pub client_reason: Option<String>,
    /// The status of the denial.
    pub status: Option<u16>,
    /// The command.
    pub command: Option<String>,
    /// The session.
    pub session: Option<String>,
    /// What reached the upstream, sorted, without what a proxy adds by itself.
    pub upstream: Option<Vec<(String, String)>>,
    /// The fields of a denial that the filter sets.
    pub denial: Option<Vec<(String, String)>>,
}

/// Fields that Envoy adds, drops or rewrites on its own account, and framing, which is each connection's own.
const PROXY_OWN: [&str; 10] = [
    ":scheme",
    "connection",
    "content-length",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-proto",
    "x-request-id",
];

impl Seen {
    /// Of an outcome under this plan.
    ///
    /// # Panics
    /// When a secret of the plan stands in what is told of it.
    #[must_use]
    pub fn under(plan: &Plan, outcome: &Outcome) -> Self {
        Canaries::of(plan.env.values().map(String::as_str)).assert_untold(outcome, &plan.name);
        Self::of(outcome, plan.at)
    }

    /// `at`: the instant of the run that its relative times go by.
    #[must_use]
    pub fn of(outcome: &Outcome, at: Timestamp) -> Self {
        let upstream = outcome.upstream_headers.as_ref().map(|fields| {
            let own = |name: &str| PROXY_OWN.contains(&name) || name.starts_with("x-envoy-") || name == "x-forwarded-for";
            let mut fields: Vec<_> = fields
                .iter()
                .filter(|(name, _)| !own(name))
                .map(|(name, value)| (name.clone(), neutral(name, value, at)))
                .collect();
            fields.sort();
            fields
        });
        let denial = outcome.response_headers.as_ref().filter(|_| outcome.decision == Decision::Deny).map(|fields| {
            let set = ["cache-control", "retry-after", "www-authenticate"];
            let mut fields: Vec<_> = fields.iter().filter(|(name, _)| set.contains(&name.as_str())).cloned().collect();
            fields.sort();
            fields
        });
        Self {
            decision: outcome.decision,
            reason: outcome.reason.clone(),
            client_reason: outcome.client_reason.clone(),
            status: outcome.status,
            command: outcome.command.clone(),
            session: outcome.session.clone(),
            upstream,
            denial,
        }
    }

    /// One word for the matrix: `allow`, `observed`, or the status of the denial; `cut` and a status for what was answered late.
    #[must_use]
    pub fn word(&self) -> String {
        match (self.decision, &self.reason, self.status) {
            (Decision::Allow, None, _) => "allow".to_owned(),
            // Let through, and then answered in the target's stead.
            (Decision::Allow, Some(_), Some(status)) => format!("cut {status}"),
            (Decision::Allow, Some(_), None) => "observed".to_owned(),
            (Decision::Deny, _, Some(status)) => status.to_string(),
            (Decision::Deny, _, None) => "denied".to_owned(),
        }
    }
}

/// A value without what differs from run to run: ids, instants, and the revision, which covers the run's keys.
fn neutral(name: &str, value: &str, at: Timestamp) -> String {
    match name {
        // In observe the token goes on, and each run signs its own.
        "authorization" if value.contains("eyJ") => "<a token>".to_owned(),
        "x-chaperone-audit" => match dictionary::strings(value) {
            Some(all) => {
                let of = |(key, value): &(&str, String)| format!("{key}={:?}", neutral(&format!("x-chaperone-{key}"), value, at));
                all.iter().map(of).collect::<Vec<_>>().join(", ")
            }
            None => value.to_owned(),
        },
        "x-chaperone-audit-id" => format!("<{} characters>", value.len()),
        "x-chaperone-expires-at" => value.parse::<i64>().map_or(value.to_owned(), |end| format!("at{:+}s", end - at.as_second())),
        "x-chaperone-policy" => {
            value.split_once('@').map_or(value.to_owned(), |(name, revision)| format!("{name}@<{}>", revision.len()))
        }
        _ => value.to_owned(),
    }
}
