//! The clusters through which a policy has an issuer's keys and status lists fetched and tokens exchanged, as Envoy's bootstrap has them.

use super::{Endpoint, Rendered};
use chaperone_authoring::source::{exchanges, quoted};
use serde_json::Value;
use std::{collections::BTreeMap, fmt, net::IpAddr, path::Path};

/// The cluster of the shipped bootstrap.
const TARGET: &str = "target";

/// Why the clusters of a policy cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterError {
    /// One cluster for two hosts: each would be asked for what is the other's.
    TwoHosts {
        /// The cluster.
        cluster: String,
        /// A host.
        one: String,
        /// Another.
        other: String,
    },
    /// The cluster has the name of the protected target's.
    IsTarget(String),
    /// The authority is not HOST or HOST:PORT.
    Authority(String),
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwoHosts { cluster, one, other } => {
                write!(f, "the cluster `{cluster}` leads to {one} and to {other}: give each a cluster of its own")
            }
            Self::IsTarget(host) => {
                write!(f, "the cluster `{TARGET}` is the protected target: call the one that leads to {host} otherwise")
            }
            Self::Authority(authority) => write!(f, "`{authority}` is no host with an optional port"),
        }
    }
}

impl std::error::Error for ClusterError {}

/// Each cluster that the policy names, with the authority that is asked through it.
pub(super) fn wanted(policy: &Value) -> Vec<(&str, &str)> {
    let mut all: Vec<(&str, &str)> = Vec::new();
    for issuer in policy.pointer("/tokens/issuers").and_then(Value::as_array).into_iter().flatten() {
        let text = |pointer: &str| issuer.pointer(pointer).and_then(Value::as_str);
        let keys = text("/keys/endpoint/cluster").zip(text("/keys/endpoint/authority"));
        let uris = issuer.pointer("/status/uris").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let authorities = uris.filter_map(|uri| uri.strip_prefix("https://")?.split('/').next());
        let lists = authorities.filter_map(|authority| Some((text("/status/cluster")?, authority)));
        let events = text("/events/cluster").zip(text("/events/authority"));
        all.extend(keys.into_iter().chain(lists).chain(events));
    }
    for (_, exchange) in exchanges(policy) {
        let text = |name: &str| exchange.get(name).and_then(Value::as_str);
        all.extend(text("cluster").zip(text("authority")));
    }
    all
}

/// Where each cluster of the policy leads: 443 where no port is named, as what is fetched is `https`.
fn places(policy: &Value) -> Result<BTreeMap<&str, Endpoint>, ClusterError> {
    let mut places: BTreeMap<&str, Endpoint> = BTreeMap::new();
    for (cluster, authority) in wanted(policy) {
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let with_port = if has_port { authority.to_owned() } else { format!("{authority}:443") };
        let place = with_port.to_ascii_lowercase().parse::<Endpoint>();
        let place = place.map_err(|_| ClusterError::Authority(authority.to_owned()))?;
        if cluster == TARGET {
            return Err(ClusterError::IsTarget(authority.to_owned()));
        }
        match places.get(cluster) {
            Some(known) if *known != place => {
                let (one, other) = (format!("{}:{}", known.host, known.port), with_port);
                return Err(ClusterError::TwoHosts { cluster: cluster.to_owned(), one, other });
            }
            Some(_) => {}
            None => drop(places.insert(cluster, place)),
        }
    }
    Ok(places)
}

/// The items of `static_resources.clusters` that this policy needs besides the target; an empty text where all its keys stand in
/// it. `trusted_ca` is a file of certificate authorities.
///
/// # Errors
/// When a cluster of the policy cannot be one of this bootstrap.
pub fn clusters(rendered: &Rendered, trusted_ca: &Path) -> Result<String, ClusterError> {
    let trusted_ca = quoted(&trusted_ca.display().to_string());
    Ok(places(&rendered.policy)?.into_iter().map(|(name, place)| cluster(name, &place, &trusted_ca)).collect())
}

fn cluster(name: &str, Endpoint { host, port }: &Endpoint, trusted_ca: &str) -> String {
    let (name, quoted_host) = (quoted(name), quoted(host));
    // RFC 6066 §3: an address is no server name.
    let (sni, san_type) = match host.parse::<IpAddr>() {
        Ok(_) => (String::new(), "IP_ADDRESS"),
        Err(_) => (format!("\n          sni: {quoted_host}"), "DNS"),
    };
    format!(
        r#"    # What is said through this decides who is let in, or is a token: only TLS that knows the host by its name.
    - name: {name}
      type: STRICT_DNS
      dns_lookup_family: V4_PREFERRED                   # the default tries IPv6 alone where a name has both, even in a network without it
      connect_timeout: 2s
      # No request of a caller goes here: each worker asks by itself, for 64 documents and 128 tokens at once at most.
      circuit_breakers:
        thresholds: [{{ priority: DEFAULT, max_connections: 4096, max_pending_requests: 4096, max_requests: 4096, max_retries: 0 }}]
      load_assignment:
        cluster_name: {name}
        endpoints:
          - lb_endpoints:
              - endpoint:
                  address:
                    socket_address: {{ address: {quoted_host}, port_value: {port} }}
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext{sni}
          common_tls_context:
            validation_context:
              trusted_ca: {{ filename: {trusted_ca} }}
              match_typed_subject_alt_names:            # without it any certificate of these authorities would do
                - {{ san_type: {san_type}, matcher: {{ exact: {quoted_host} }} }}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn issuer(cluster: &str, authority: &str, status: &str, uris: &[&str]) -> Value {
        json!({"tokens": {"issuers": [{
            "keys": {"endpoint": {"cluster": cluster, "authority": authority, "path": "/jwks.json"}},
            "status": {"cluster": status, "uris": uris},
        }]}})
    }

    #[test]
    fn each_cluster_leads_to_one_host() {
        let all = |policy: &Value| places(policy).map(|all| all.into_values().map(|at| (at.host, at.port)).collect::<Vec<_>>());
        let one = |authority: &str| all(&issuer("b", authority, "b", &[&format!("https://{authority}/1")]));
        assert_eq!(one("broker.example"), Ok(vec![("broker.example".to_owned(), 443)]));
        assert_eq!(one("Broker.example:8443"), Ok(vec![("broker.example".to_owned(), 8443)]));
        assert_eq!(one("[::1]"), Ok(vec![("::1".to_owned(), 443)]));
        assert_eq!(one("[::1]:8443"), Ok(vec![("::1".to_owned(), 8443)]));
        assert_eq!(one("a:b:c"), Err(ClusterError::Authority("a:b:c".to_owned())));
        let two = issuer("a", "a.example", "b", &["https://b.example/1", "https://b.example:443/2"]);
        assert_eq!(all(&two).map(|all| all.len()), Ok(2));
        let mixed = issuer("a", "a.example", "a", &["https://b.example/1"]);
        assert!(matches!(all(&mixed), Err(ClusterError::TwoHosts { .. })));
        assert_eq!(all(&issuer("target", "a.example", "b", &[])), Err(ClusterError::IsTarget("a.example".to_owned())));
        assert_eq!(all(&json!({"tokens": {"issuers": [{"keys": {"jwks": {"keys": []}}}]}})), Ok(vec![]));
        let exchange = |cluster: &str| json!({"exchange": {"cluster": cluster, "authority": "sts.example", "path": "/token"}});
        let given =
            json!({"upstream": {"credential": exchange("sts")}, "grants": [{"credential": [exchange("b"), exchange("sts")]}]});
        assert_eq!(all(&given).map(|all| all.len()), Ok(2));
        let mut both = issuer("b", "a.example", "b", &[]);
        both["upstream"] = json!({"credential": exchange("b")});
        assert!(matches!(all(&both), Err(ClusterError::TwoHosts { .. })));
    }
}
