//! Envoy Gateway: an EnvoyExtensionPolicy.

use super::{Image, Rendered};
use crate::source::quoted;
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

/// The manifest.
#[must_use]
pub fn envoy_gateway(rendered: &Rendered, options: &GatewayOptions) -> String {
    let GatewayOptions { kind, name, namespace, image: Image { name: image, sha256 } } = options;
    let variables = json!(rendered.variables).to_string();
    format!(
        r#"# The policy {policy} for Envoy Gateway. This project's tests check this object against the published schema, and run Envoy itself,
# not Envoy Gateway: try it on a staging gateway first.
#  - Envoy Gateway hands `config` to the filter as JSON. It gives the filter no allow_on_headers_stop_iteration: no command may be
#    decided by the body.
#  - A ClientTrafficPolicy must leave paths alone: spec.path {{ escapedSlashesAction: KeepUnchanged, disableMergeSlashes: true }}.
#  - Envoy runs a worker WITHOUT a wasm filter whose update failed on that worker. An EnvoyPatchPolicy can add what envoy/bootstrap.yaml
#    has against that: an RBAC filter behind all others that asks for {header}, and an early header
#    mutation that takes a caller's own off.
#  - The record is in filter state wasm.session_audit: name it in the EnvoyProxy's telemetry.accessLog format.
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyExtensionPolicy
metadata:
  name: {object}
  namespace: {namespace}
spec:
  targetRefs:
  - {{ group: gateway.networking.k8s.io, kind: {kind}, name: {name} }}
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
"#,
        policy = rendered.name,
        header = rendered.decision_header(),
        object = rendered.object_name(),
        namespace = quoted(namespace),
        name = quoted(name),
        url = quoted(&format!("{image}@sha256:{sha256}")),
        sha256 = quoted(sha256),
        policy_lines = rendered.lines(6),
    )
}
