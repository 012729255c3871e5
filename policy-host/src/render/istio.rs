//! Istio: a WasmPlugin, or an EnvoyFilter where heads have to be held, and beside it what keeps a worker that runs without the filter from letting anything through.
//!
//! One document (a `List`), so that `check` and `revoke` read it as they read a policy.

use super::{Image, Rendered};
use chaperone_authoring::source::quoted;
use serde_json::json;
use std::str::FromStr;

/// Which proxy runs the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// The sidecar of the protected workload, for what comes in.
    Sidecar,
    /// A gateway at the edge.
    Gateway,
    /// A waypoint of ambient mode.
    Waypoint,
}

/// Whose proxy it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Workload {
    /// The pods with this label.
    Label(String, String),
    /// The proxy of this object: a Gateway, or a Service behind a waypoint.
    Target {
        /// `Gateway` or `Service`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let good = |text: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
            !text.is_empty() && text.len() <= 253 && text.bytes().all(plain)
        };
        match (text.split_once('='), text.split_once('/')) {
            (Some((key, value)), _) if good(key) && good(value) => Ok(Self::Label(key.to_owned(), value.to_owned())),
            (None, Some(("Gateway", name))) if good(name) => Ok(Self::Target { kind: "Gateway", name: name.to_owned() }),
            (None, Some(("Service", name))) if good(name) => Ok(Self::Target { kind: "Service", name: name.to_owned() }),
            _ => Err("write LABEL=VALUE for pods, Gateway/NAME or Service/NAME".to_owned()),
        }
    }
}

/// What an operator chooses about the manifests.
#[derive(Debug, Clone)]
pub struct IstioOptions {
    /// Which proxy.
    pub attach: Attach,
    /// Whose.
    pub workload: Workload,
    /// The namespace of all objects.
    pub namespace: String,
    /// The filter.
    pub image: Image,
}

/// The manifests.
///
/// # Errors
/// When the kind of proxy cannot be found in that way, or cannot run the filter as the policy needs it.
pub fn istio(rendered: &Rendered, options: &IstioOptions) -> Result<String, String> {
    let IstioOptions { attach, workload, namespace, image } = options;
    let target = selector_of(*attach, workload)?;
    let (mode, why) = match attach {
        Attach::Sidecar => ("SERVER", "what comes in: the workload's own calls are not sessions"),
        // Istio counts a gateway's traffic as CLIENT and a waypoint's as inbound: a match that is too narrow is no filter at all.
        Attach::Gateway | Attach::Waypoint => ("CLIENT_AND_SERVER", "all that passes: this proxy makes no calls of its own"),
    };
    if *attach == Attach::Waypoint && rendered.waits_for_bodies() {
        return Err("a command of this policy is looked for in bodies, and a waypoint takes only WasmPlugins, which cannot hold a request for \
                    its body: attach it to the sidecar or to a gateway"
            .to_owned());
    }
    let (name, namespace) = (rendered.object_name(), quoted(namespace));
    let backstop = backstop(rendered, *attach, &name, &namespace, &target);
    let (carries, filter) = if rendered.waits_for_bodies() {
        (CARRIED_BY_ENVOY_FILTER, envoy_filter(rendered, *attach, &name, &namespace, &target, image))
    } else {
        (CARRIED_BY_PLUGIN, wasm_plugin(rendered, (mode, why), &name, &namespace, &target, image))
    };
    Ok(format!(
        r#"# The policy {policy} for a {proxy} of Istio. This project's tests check these objects against the published schemas, and run Envoy
# itself, not Istio: try them on a staging mesh first.
#  - The objects are named after the policy: where two workloads of a namespace have one each, give the policies names that differ.
{carries}
#  - Set meshConfig.pathNormalization.normalization to NONE: the filter sees, refuses and records what Istio would repair.
#  - The record is in filter state wasm.session_audit: name it in meshConfig.accessLogFormat or in a Telemetry resource.
#  - Istio's clusters take any number of requests at once. A bound, such as 10,000, is the connectionPool of the service's
#    DestinationRule, or the inboundConnectionPool of the workload's one Sidecar: http1MaxPendingRequests, http2MaxRequests, maxConnections.
{fetches}apiVersion: v1
kind: List
items:
{filter}
{backstop}"#,
        policy = rendered.name,
        fetches = fetches(rendered),
        proxy = match attach {
            Attach::Sidecar => "sidecar",
            Attach::Gateway => "gateway",
            Attach::Waypoint => "waypoint",
        },
    ))
}

fn fetches(rendered: &Rendered) -> String {
    let clusters = rendered.clusters();
    if clusters.is_empty() {
        return String::new();
    }
    format!("#  - What this policy fetches needs clusters of these names, which are not written here: {}.\n", clusters.join(", "))
}

const CARRIED_BY_PLUGIN: &str = "\
#  - pluginConfig is a Struct: numbers arrive as doubles, and YAML reads look-alike texts as something else: keep every id in quotes.
#  - There is no allow_on_headers_stop_iteration here: no command may be decided by the body.";

const CARRIED_BY_ENVOY_FILTER: &str = "\
#  - The filter comes by an EnvoyFilter, as a command is decided by the body: a WasmPlugin has no allow_on_headers_stop_iteration, without
#    which each such request is denied. A WasmPlugin of this name, from before, is to be deleted. The agent beside the proxy fetches the image, as it does for a WasmPlugin, without a pull secret.
#  - The fields are those of Envoy 1.36 and later: an older one in the proxy takes none of it.";

/// The filter by Istio's own object.
fn wasm_plugin(
    rendered: &Rendered,
    (mode, why): (&str, &str),
    name: &str,
    namespace: &str,
    target: &str,
    Image { name: image, sha256 }: &Image,
) -> String {
    let variables = rendered.variables.iter().map(|name| {
        format!(
            "\n        - name: {}     # by name, from the proxy's own environment: a value written here could be read by everyone who reads the plugin\n          valueFrom: HOST",
            quoted(name)
        )
    });
    let variables: String = variables.collect();
    let vm_config = if variables.is_empty() { String::new() } else { format!("\n    vmConfig:\n      env:{variables}") };
    format!(
        r#"- apiVersion: extensions.istio.io/v1alpha1
  kind: WasmPlugin
  metadata:
    name: {name}
    namespace: {namespace}
  spec:
    {target}
    url: {url}
    sha256: {sha256}   # of the image, as a tag can be moved
    imagePullPolicy: IfNotPresent
    failStrategy: FAIL_CLOSE     # also while the image cannot be pulled. Where your Istio knows FAIL_RELOAD, that heals a worker after a trap
    type: HTTP
    phase: AUTHN                 # before Istio's own authentication and authorization: nothing answers before the filter
    priority: 1000               # first within the phase
    match:
    - mode: {mode}   # {why}{vm_config}
    pluginConfig:
      {policy_lines}"#,
        url = quoted(&format!("oci://{image}@sha256:{sha256}")),
        sha256 = quoted(sha256),
        policy_lines = rendered.lines(6),
    )
}

/// The filter by Envoy's own resources, which can say that heads are held. By ECDS, as a WasmPlugin's is: the agent beside the proxy
/// fetches the image, and a change of the policy reaches open connections.
fn envoy_filter(
    rendered: &Rendered,
    attach: Attach,
    name: &str,
    namespace: &str,
    target: &str,
    Image { name: image, sha256 }: &Image,
) -> String {
    format!(
        r#"- apiVersion: networking.istio.io/v1alpha3
  kind: EnvoyFilter
  metadata:
    name: {name}
    namespace: {namespace}
  spec:
    {target}
    configPatches:
    - applyTo: EXTENSION_CONFIG
      match: {{ context: {context} }}
      patch:
        operation: ADD
        value:
          name: {name}
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
            config:
              name: {name}
              root_id: chaperone
              # 503 after a trap until the worker's VM is there again, at once at first and then after a back-off.
              failure_policy: FAIL_RELOAD
              reload_config:
                backoff: {{ base_interval: 1s, max_interval: 10s }}
              # Pause in request headers holds the headers only: the body is read before anything goes upstream.
              allow_on_headers_stop_iteration: true
              # A StringValue: a Struct turns integers into doubles.
              configuration:
                "@type": type.googleapis.com/google.protobuf.StringValue
                value: |
                  {policy}
              vm_config:
                vm_id: {name}
                runtime: envoy.wasm.runtime.v8
                # By name, from the proxy's own environment: a value written here could be read by everyone who reads the object.
                environment_variables: {{ host_env_keys: {variables} }}
                code:
                  remote:
                    http_uri: {{ uri: {url}, cluster: "_", timeout: 30s }}     # the agent's to fetch; the cluster is none
                    sha256: {sha256}   # of the image, as a tag can be moved
    - applyTo: HTTP_FILTER
      match:
        context: {context}
        listener: {{ filterChain: {{ filter: {{ name: envoy.filters.network.http_connection_manager }} }} }}
      patch:
        operation: INSERT_FIRST     # before Istio's own authentication and authorization: nothing answers before the filter
        value:
          name: {name}
          config_discovery:
            config_source: {{ ads: {{}}, initial_fetch_timeout: 0s, resource_api_version: V3 }}     # nothing is served without it
            type_urls: [type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm]"#,
        context = context_of(attach),
        target = workload_of(target),
        policy = rendered.line(),
        variables = json!(rendered.variables),
        url = quoted(&format!("oci://{image}@sha256:{sha256}")),
        sha256 = quoted(sha256),
    )
}

/// Which listeners an EnvoyFilter is about.
fn context_of(attach: Attach) -> &'static str {
    match attach {
        Attach::Sidecar => "SIDECAR_INBOUND",
        Attach::Gateway | Attach::Waypoint => "GATEWAY",
    }
}

/// EnvoyFilter calls it workloadSelector.labels; targetRefs are the same.
fn workload_of(target: &str) -> String {
    target.replace("selector:\n      matchLabels:", "workloadSelector:\n      labels:")
}

/// The member of a spec that finds the proxy.
fn selector_of(attach: Attach, workload: &Workload) -> Result<String, String> {
    match (attach, workload) {
        (Attach::Sidecar | Attach::Gateway, Workload::Label(key, value)) => {
            Ok(format!("selector:\n      matchLabels: {{ {}: {} }}", quoted(key), quoted(value)))
        }
        (Attach::Gateway, Workload::Target { kind: kind @ "Gateway", name })
        | (Attach::Waypoint, Workload::Target { kind: kind @ "Gateway", name }) => {
            Ok(format!("targetRefs:\n    - {{ group: gateway.networking.k8s.io, kind: {kind}, name: {} }}", quoted(name)))
        }
        (Attach::Waypoint, Workload::Target { kind, name }) => {
            Ok(format!("targetRefs:\n    - {{ group: \"\", kind: {kind}, name: {} }}", quoted(name)))
        }
        (Attach::Sidecar, Workload::Target { .. }) => Err("a sidecar is found by its pod's label: --at app=orders".to_owned()),
        (Attach::Gateway, Workload::Target { .. }) => {
            Err("a gateway is found by its label or its name: --at istio=ingressgateway or --at Gateway/edge".to_owned())
        }
        (Attach::Waypoint, Workload::Label(..)) => {
            Err("a waypoint takes no labels: --at Gateway/waypoint, or --at Service/orders for one service behind it".to_owned())
        }
    }
}

/// Envoy runs a worker without a wasm filter whose update failed there. Then the header that only the filter sets is missing.
fn backstop(rendered: &Rendered, attach: Attach, name: &str, namespace: &str, target: &str) -> String {
    let header = rendered.mark();
    let lifetime = rendered.lifetime().unwrap_or(900);
    if attach == Attach::Waypoint {
        return format!(
            r#"# Nothing passes that the filter has not judged: Envoy runs a worker WITHOUT a wasm filter whose update failed on that worker. An
# EnvoyFilter that takes a caller's own header off cannot be relied on at a waypoint: whoever knows of this and sends
# {header} passes such a worker. Nor can one set timeouts there: where your Istio has ProxyConfig.connectionSettings, give the
# waypoint's pods {{ httpRequestTimeout: 30s, httpRequestHeadersTimeout: 10s, httpStreamIdleTimeout: 300s, httpMaxConcurrentStreams: 100 }}.
- apiVersion: security.istio.io/v1
  kind: AuthorizationPolicy
  metadata:
    name: {name}-judged
    namespace: {namespace}
  spec:
    {target}
    action: DENY
    rules:
    - when:
      - key: "request.headers[{header}]"
        notValues: ["*"]
"#
        );
    }
    let (context, target) = (context_of(attach), workload_of(target));
    format!(
        r#"# Nothing passes that the filter has not judged: Envoy runs a worker WITHOUT a wasm filter whose update failed on that worker. Then the
# RBAC filter misses the header that only the filter sets; a caller's own is taken off before the first filter.
- apiVersion: networking.istio.io/v1alpha3
  kind: EnvoyFilter
  metadata:
    name: {name}-judged
    namespace: {namespace}
  spec:
    {target}
    priority: 10
    configPatches:
    - applyTo: NETWORK_FILTER
      match:
        context: {context}
        listener: {{ filterChain: {{ filter: {{ name: envoy.filters.network.http_connection_manager }} }} }}
      patch:
        operation: MERGE
        value:
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
            early_header_mutation_extensions:
            - name: envoy.http.early_header_mutation.header_mutation
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation
                mutations: [{{ remove: {header} }}, {{ remove: x-envoy-original-url }}]
            # And nobody takes the proxy's room: Istio's own request timeouts are none. The reasons are in envoy/bootstrap.yaml; raise
            # request_timeout for uploads and client streams that last longer.
            request_headers_timeout: 10s
            request_timeout: 30s
            stream_idle_timeout: 300s
            common_http_protocol_options: {{ idle_timeout: 60s, max_stream_duration: {lifetime}s }}
            http2_protocol_options: {{ max_concurrent_streams: 100, initial_stream_window_size: 65536, initial_connection_window_size: 1048576 }}
    - applyTo: HTTP_FILTER
      match:
        context: {context}
        listener:
          filterChain:
            filter:
              name: envoy.filters.network.http_connection_manager
              subFilter: {{ name: envoy.filters.http.router }}
      patch:
        operation: INSERT_BEFORE     # behind every other filter
        value:
          name: chaperone-judged
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
            rules:
              action: ALLOW
              policies:
                judged:
                  permissions: [{{ any: true }}]
                  principals: [{{ header: {{ name: {header}, present_match: true }} }}]
"#
    )
}
