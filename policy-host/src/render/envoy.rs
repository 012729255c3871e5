//! Envoy itself: the shipped files with the placeholders filled in, so that what is printed is what the tests run.

use super::{ClusterError, Cors, Names, Rendered, clusters};
use chaperone_authoring::source::quoted;
use chaperone_policy::HEADER_PREFIX;
use serde_json::json;
use std::{net::IpAddr, path::PathBuf, str::FromStr};

const BOOTSTRAP: &str = include_str!("../../../envoy/bootstrap.yaml");
const ECDS: &str = include_str!("../../../envoy/ecds.yaml");

/// How the shipped list of filters begins.
const FIRST: &str = "                  # First in the chain: nothing sees,";
/// What the virtual host ends with.
const HOSTS_END: &str = "                      routes:\n";

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// A name or an address, an IPv6 address without brackets.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').ok_or("write HOST:PORT")?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let named = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        if host.is_empty() || !(named || host.parse::<IpAddr>().is_ok()) {
            return Err(format!("`{host}` is neither a name nor an address"));
        }
        let port = port.parse().map_err(|_| format!("`{port}` is not a port"))?;
        Ok(Self { host: host.to_owned(), port })
    }
}

/// What an operator chooses about a bootstrap.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// Where callers connect.
    pub listen: Endpoint,
    /// Envoy's admin interface, on loopback.
    pub admin_port: u16,
    /// The target.
    pub upstream: Endpoint,
    /// The folder of `ecds.yaml`.
    pub ecds_dir: PathBuf,
    /// A file, or /dev/stdout.
    pub access_log: PathBuf,
    /// The certificate authorities that issuers' own certificates are checked by.
    pub trusted_ca: PathBuf,
    /// Pages in browsers that may call; `None`: none.
    pub cors: Option<Cors>,
}

/// The whole bootstrap for this policy, which Envoy then reads from the ECDS folder.
///
/// # Errors
/// When a cluster that the policy names cannot be one of this bootstrap.
pub fn bootstrap(rendered: &Rendered, options: &Bootstrap) -> Result<String, ClusterError> {
    let Bootstrap { listen, admin_port, upstream, ecds_dir, access_log, trusted_ca, cors } = options;
    // The clusters are the last part of the shipped file.
    let clusters = clusters(rendered, trusted_ca)?;
    let head = format!(
        "# Envoy for the policy {}, which comes from {}: policy-host render ecds writes that file.\n# Start: envoy -c bootstrap.yaml --concurrency 2\n# It speaks plain text: put a `transport_socket` on the listener and on the target's cluster before a network is between.\n\n",
        rendered.name,
        ecds_dir.join("ecds.yaml").display(),
    );
    let mut text =
        without_head(BOOTSTRAP).replace("- name: chaperone\n", &format!("- name: {}\n", quoted(&rendered.names.resource)));
    if let Some(cors) = cors {
        text = text
            .replace(FIRST, &format!("{}                  # Then the filter: nothing else sees,", Cors::filter()))
            .replace(HOSTS_END, &format!("{}{HOSTS_END}", cors.policy(rendered)));
    }
    // A longer stream would outlive its session, a shorter one is cut for nothing.
    if let Some(lifetime) = rendered.lifetime() {
        text = text.replace("max_stream_duration: 900s", &format!("max_stream_duration: {lifetime}s"));
    }
    if rendered.prefix != HEADER_PREFIX {
        for mark in ["decision", "audit"] {
            let (shipped, ours) = (format!("{HEADER_PREFIX}{mark}"), format!("{}{mark}", rendered.prefix));
            text = text.replace(&shipped, &ours);
        }
    }
    let values = [
        ("LISTEN_ADDRESS", within_quotes(&listen.host)),
        ("LISTEN_PORT", listen.port.to_string()),
        ("ADMIN_PORT", admin_port.to_string()),
        ("UPSTREAM_ADDRESS", within_quotes(&upstream.host)),
        ("UPSTREAM_PORT", upstream.port.to_string()),
        ("ECDS_DIR", within_quotes(&ecds_dir.display().to_string())),
        ("ACCESS_LOG", within_quotes(&access_log.display().to_string())),
    ];
    Ok(head + &values.iter().fold(text, |text, (name, value)| text.replace(&format!("${{{name}}}"), value)) + &clusters)
}

/// The file that Envoy watches, with the policy in it.
#[must_use]
pub fn ecds(rendered: &Rendered, wasm: &str) -> String {
    let Names { resource, plugin, vm_id } = &rendered.names;
    without_head(ECDS)
        .replace("    name: chaperone\n    typed_config:", &format!("    name: {}\n    typed_config:", quoted(resource)))
        .replace("name: chaperone\n        root_id:", &format!("name: {}\n        root_id:", quoted(plugin)))
        .replace("vm_id: chaperone ", &format!("vm_id: {} ", quoted(vm_id)))
        .replace("[\"${CREDENTIAL_ENV}\"]", &json!(rendered.variables).to_string())
        .replace("${WASM}", &within_quotes(wasm))
        .replace("${POLICY_JSON}", &rendered.line())
}

/// The file without the comment that explains its placeholders.
fn without_head(text: &str) -> String {
    let lines = text.lines().skip_while(|line| line.starts_with('#') || line.is_empty());
    lines.map(|line| format!("{line}\n")).collect()
}

/// A text for a place that has its quotes already.
fn within_quotes(text: &str) -> String {
    let quoted = quoted(text);
    quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default().to_owned()
}
