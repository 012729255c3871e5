//! Envoy Gateway: an EnvoyExtensionPolicy, and beside it what keeps one caller from taking the gateway's room.
//!
//! One document (a `List`), so that `check` and `revoke` read it as they read a policy.

use super::{Image, Rendered};
use chaperone_authoring::source::quoted;
use serde_json::json;

/// What an operator chooses about the manifest.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// `Gateway`, `HTTPRoute` or `GRPCRoute`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The namespace of both.
    pub namespace: String,
    /// The filter.
    pub image: Image,
}

/// The manifests.
#[must_use]
pub fn envoy_gateway(rendered: &Rendered, options: &GatewayOptions) -> String {
    let GatewayOptions { kind, name, namespace, image: Image { name: image, sha256 } } = options;
    let variables = json!(rendered.variables).to_string();
    let (object, namespace) = (rendered.object_name(), quoted(namespace));
    let target = format!("{{ group: gateway.networking.k8s.io, kind: {kind}, name: {} }}", quoted(name));
    format!(
        r#"# The policy {policy} for Envoy Gateway. This project's tests check these objects against the published schemas, and run Envoy
# itself, not Envoy Gateway: try them on a staging gateway first.
#  - Envoy Gateway hands `config` to the filter as JSON. It gives the filter no allow_on_headers_stop_iteration: no command may be
#    decided by the body.
#  - Envoy runs a worker WITHOUT a wasm filter whose update failed on that worker. An EnvoyPatchPolicy can add what envoy/bootstrap.yaml
#    has against that: an RBAC filter behind all others that asks for {header}, and an early header
#    mutation that takes a caller's own off.
#  - The record is in filter state wasm.session_audit: name it in the EnvoyProxy's telemetry.accessLog format.
#  - What has a BackendTrafficPolicy or ClientTrafficPolicy already keeps that one, and these have no effect: put their members there.
apiVersion: v1
kind: List
items:
- apiVersion: gateway.envoyproxy.io/v1alpha1
  kind: EnvoyExtensionPolicy
  metadata:
    name: {object}
    namespace: {namespace}
  spec:
    targetRefs:
    - {target}
    wasm:
    - name: {object}
      rootID: chaperone
      failOpen: false            # the default, said aloud: what cannot be judged does not pass
      code:
        type: Image
        image:
          url: {url}
          sha256: {sha256}   # of the image, as a tag can be moved
      env:
        hostKeys: {variables}      # by name, from the proxy's own environment
      config:
        {policy_lines}
# Without it 1,024 requests at once, idle ones too, and everybody else gets 503. The numbers are those of envoy/bootstrap.yaml, with their
# reasons.
- apiVersion: gateway.envoyproxy.io/v1alpha1
  kind: BackendTrafficPolicy
  metadata:
    name: {object}
    namespace: {namespace}
  spec:
    targetRefs:
    - {target}
    circuitBreaker: {{ maxConnections: 10000, maxPendingRequests: 10000, maxParallelRequests: 10000, maxParallelRetries: 0 }}
    timeout:
      http: {{ requestTimeout: 0s }}     # 15 s otherwise, which cuts feeds; the filter cuts them with their session
{client}"#,
        policy = rendered.name,
        header = rendered.mark(),
        url = quoted(&format!("{image}@sha256:{sha256}")),
        sha256 = quoted(sha256),
        policy_lines = rendered.lines(8),
        client = client(kind, &object, &namespace, &target),
    )
}

/// What the listeners do: a Gateway's alone, which routes do not choose.
fn client(kind: &str, object: &str, namespace: &str, target: &str) -> String {
    if kind != "Gateway" {
        return "# The Gateway of this route needs a ClientTrafficPolicy: policy-host render envoy-gateway --at Gateway/NAME prints it.\n".to_owned();
    }
    format!(
        r#"# Paths reach the filter as they were written: it refuses what others would repair. A body that is announced and never comes ends after
# 30 s: raise that for uploads and client streams that last longer.
- apiVersion: gateway.envoyproxy.io/v1alpha1
  kind: ClientTrafficPolicy
  metadata:
    name: {object}
    namespace: {namespace}
  spec:
    targetRefs:
    - {target}
    path: {{ escapedSlashesAction: KeepUnchanged, disableMergeSlashes: true }}
    timeout:
      http: {{ requestReceivedTimeout: 30s, idleTimeout: 60s }}     # streams that are idle end after 5m by default
    http2: {{ maxConcurrentStreams: 100, initialStreamWindowSize: 64Ki, initialConnectionWindowSize: 1Mi }}
    connection:
      connectionLimit: {{ value: 10000 }}     # for each listener
"#
    )
}
