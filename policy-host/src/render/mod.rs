//! A policy in the forms in which proxies take it: Envoy's bootstrap and ECDS file, Istio's and Envoy Gateway's manifests.

mod clusters;
mod cors;
mod envoy;
mod envoy_gateway;
mod image;
mod istio;
mod names;

pub use clusters::{ClusterError, clusters};
pub use cors::{Cors, Origin};
pub use envoy::{Bootstrap, Endpoint, bootstrap, ecds};
pub use envoy_gateway::{GatewayOptions, envoy_gateway};
pub use image::{Image, ImageError};
pub use istio::{Attach, IstioOptions, Workload, istio};
pub use names::{Name, Names, beside};

use chaperone_authoring::{
    revoke::{entries, next_generation},
    source::{Findings, PolicyDocument, commands_in_bodies, credential_variables, printable, seconds},
};
use chaperone_policy::{HEADER_PREFIX, Policy};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashSet};

/// Adds the revocations of the one to the other.
fn keep_revoked(policy: &mut Value, in_force: &Value) {
    let mut known: HashSet<Value> = entries(policy).iter().cloned().collect();
    let kept: Vec<Value> = entries(in_force).iter().filter(|entry| known.insert((*entry).clone())).cloned().collect();
    let Value::Object(members) = policy else { return };
    let revoked = members.entry("revoked").or_insert_with(|| json!([]));
    if let Value::Array(revoked) = revoked {
        revoked.extend(kept);
    }
}

/// A valid policy on its way to a proxy.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// With its `generation` moved on.
    policy: Value,
    name: String,
    /// `x-chaperone-`, unless the policy says otherwise.
    prefix: String,
    /// The environment variables of the proxy that its credential is made of.
    variables: Vec<String>,
    /// Envoy's: a mesh has its own.
    names: Names,
}

impl Rendered {
    /// Takes a policy from a file. What is revoked by the one that is `in_force` stays so.
    ///
    /// # Errors
    /// When one of them is not valid, or the policy cannot revoke what the one in force does.
    pub fn new(document: &PolicyDocument, in_force: Option<&PolicyDocument>, now: Timestamp) -> Result<Self, Findings> {
        let compiled = document.compile()?;
        let mut policy = document.value().clone();
        let mut generation = compiled.generation();
        if let Some(in_force) = in_force {
            generation = generation.max(in_force.compile()?.generation());
            keep_revoked(&mut policy, in_force.value());
            if let Err(errors) = Policy::compile(policy.to_string().as_bytes()) {
                let message = format!("cannot revoke what the policy in force does: {errors}");
                return Err(document.finding("/revoked", message, None).into());
            }
        }
        if let Value::Object(members) = &mut policy {
            members.insert("generation".to_owned(), json!(next_generation(generation, now)));
        }
        let prefix = policy.pointer("/audit/header_prefix").and_then(Value::as_str);
        Ok(Self {
            name: compiled.name().unwrap_or_default().to_owned(),
            prefix: prefix.unwrap_or(HEADER_PREFIX).to_owned(),
            variables: credential_variables(&policy),
            policy,
            names: Names::default(),
        })
    }

    /// Under these names in Envoy.
    #[must_use]
    pub fn named(self, names: Names) -> Self {
        Self { names, ..self }
    }

    /// What the filter sets on whatever it lets through.
    fn mark(&self) -> String {
        let combined = self.policy.pointer("/audit/headers").is_some_and(|headers| headers == "combined");
        format!("{}{}", self.prefix, if combined { "audit" } else { "decision" })
    }

    /// Is a command looked for in bodies? Then heads have to be held.
    fn waits_for_bodies(&self) -> bool {
        commands_in_bodies(&self.policy).next().is_some()
    }

    /// The names of the clusters through which it fetches.
    fn clusters(&self) -> Vec<&str> {
        let names: BTreeSet<&str> = clusters::wanted(&self.policy).into_iter().map(|(cluster, _)| cluster).collect();
        names.into_iter().collect()
    }

    /// The longest session, in seconds.
    fn lifetime(&self) -> Option<i64> {
        self.policy.pointer("/session/max_lifetime").and_then(Value::as_str).and_then(seconds)
    }

    /// The policy as JSON on one line.
    fn line(&self) -> String {
        printable(self.policy.to_string())
    }

    /// The policy as JSON on many lines, those after the first this far from the margin. Every text is in quotes, which is what
    /// keeps ids from being taken for numbers or dates on their way through a Struct.
    fn lines(&self, indent: usize) -> String {
        printable(format!("{:#}", self.policy)).replace('\n', &format!("\n{}", " ".repeat(indent)))
    }

    /// A name that Kubernetes allows (RFC 1123): the policy's own may have `_` and capitals.
    fn object_name(&self) -> String {
        let name: String =
            self.name.to_ascii_lowercase().chars().map(|c| if matches!(c, 'a'..='z' | '0'..='9') { c } else { '-' }).collect();
        format!("chaperone-{}", name.trim_matches('-')).chars().take(63).collect::<String>().trim_end_matches('-').to_owned()
    }
}
