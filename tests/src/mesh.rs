//! All that one end-to-end test needs, started together: target, Envoy with the filter, its log.

use crate::{
    access_log::{AccessLog, Entry},
    client::{Call, Protocol, Reply},
    envoy::{Envoy, Setup},
    scenario::{CREDENTIAL, Scenario},
    upstream::Upstream,
    wasm,
};
use serde_json::Value;
use std::{collections::BTreeSet, path::Path};

/// A target behind an Envoy with two workers.
pub struct Mesh {
    /// Envoy.
    pub envoy: Envoy,
    /// The target.
    pub upstream: Upstream,
    /// Envoy's access log.
    pub log: AccessLog,
}

impl Mesh {
    /// The shipped filter under the scenario's policy.
    pub async fn start(name: &str, scenario: &Scenario) -> Self {
        Self::with(name, &scenario.policy(), Upstream::start().await, wasm::chaperone(), &[]).await
    }

    /// Any of it another way.
    pub async fn with(name: &str, policy: &Value, upstream: Upstream, wasm: &Path, other_settings: &[(&str, &str)]) -> Self {
        let setup =
            Setup { name, policy, wasm, upstream: upstream.address(), workers: 2, environment: &[CREDENTIAL], other_settings };
        let envoy = Envoy::start(setup).await;
        let log = AccessLog(envoy.access_log());
        Self { envoy, upstream, log }
    }

    /// Sends a call on a new connection.
    pub async fn send(&self, call: &Call, protocol: Protocol) -> Reply {
        let reply = call.send(self.envoy.address(), protocol).await;
        self.envoy.canaries().assert_absent("an answer's head", &format!("{:?}", reply.headers));
        reply
    }

    /// Sends a call, and finds what Envoy logged about it.
    pub async fn observe(&self, call: &Call, protocol: Protocol) -> (Reply, Entry) {
        let reply = self.send(call, protocol).await;
        let entry = self.log.record(reply.audit_id()).await;
        self.envoy.canaries().assert_absent("a record", &entry.record.to_string());
        (reply, entry)
    }

    /// Sends a call on new connections until both workers have answered, which the kernel chooses; a few times at least. Returns what
    /// Envoy logged about each.
    pub async fn observe_on_both(&self, call: &Call, protocol: Protocol) -> Vec<Entry> {
        const FEW: usize = 6;
        const MANY: usize = 100;
        let (mut entries, mut workers) = (Vec::new(), BTreeSet::new());
        while entries.len() < FEW || workers.len() < 2 {
            assert!(entries.len() < MANY, "none of {MANY} connections reached the other worker");
            let (_, entry) = self.observe(call, protocol).await;
            workers.insert(entry.worker().to_owned());
            entries.push(entry);
        }
        entries
    }
}
