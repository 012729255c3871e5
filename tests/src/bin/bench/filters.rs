//! The filters of each variant, as Envoy's configuration: none, an empty wasm filter, the native ones, this one.

use crate::tokens::Keys;
use chaperone_tests::scenario::CREDENTIAL;
use serde_json::{Value, json};
use std::path::Path;

/// Where `jwt_authn` puts the claims and `rbac` finds them.
const JWT_AUTHN: &str = "envoy.filters.http.jwt_authn";

/// The list of HTTP filters: these, then the router.
pub(crate) fn chain(filters: Vec<Value>) -> Value {
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", "suppress_envoy_headers": true},
    });
    filters.into_iter().chain([router]).collect()
}

/// A wasm filter with the settings of the shipped `envoy/ecds.yaml`.
pub(crate) fn wasm(name: &str, file: &Path, configuration: &str) -> Value {
    json!({
        "name": name,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": name,
                "root_id": name,
                "failure_policy": "FAIL_RELOAD",
                "reload_config": {"backoff": {"base_interval": "1s", "max_interval": "10s"}},
                "allow_on_headers_stop_iteration": true,
                "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration},
                "vm_config": {
                    "vm_id": name,
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": file}},
                    "environment_variables": {"host_env_keys": [CREDENTIAL.0]},
                },
            },
        },
    })
}

/// How much of the policy the native filters are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All that they can express of it: both grants, the token's own commands, revocations, `{id}` as one segment. They have no
    /// lifetime of a session, no ambiguous paths, no headers for upstream, no record.
    Whole,
    /// [`Extent::Whole`], and what this filter does besides: headers for upstream from the claims, a client's own removed, the
    /// token off and the credential on, an id for the client. The record is the access log's.
    Recorded,
    /// The least that looks like it: one grant, its subject alone, a prefix instead of `{id}`. Who needs no more pays no more.
    Least,
}

/// What a careful team runs today: `jwt_authn`, then `rbac` on its claims.
pub(crate) fn native(keys: &Keys, cached: bool, extent: Extent) -> Vec<Value> {
    let mut provider = json!({
        "issuer": keys.issuer(),
        "audiences": [keys.audience()],
        "local_jwks": {"inline_string": keys.jwks().to_string()},
        "payload_in_metadata": "session",
        "forward": false,
    });
    if cached {
        provider["jwt_cache_config"] = json!({"jwt_cache_size": 1000});
    }
    let mut filters = vec![json!({
        "name": JWT_AUTHN,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"broker": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "broker"}}],
        },
    })];
    match extent {
        Extent::Whole => filters.extend([rbac("DENY", &revoked()), rbac("ALLOW", &grants())]),
        Extent::Recorded => {
            filters.insert(0, header_mutation(&strip()));
            filters.extend([rbac("DENY", &revoked()), rbac("ALLOW", &grants()), header_mutation(&set())]);
        }
        Extent::Least => filters.push(rbac("ALLOW", &least())),
    }
    filters
}

/// The same for calls of MCP: Envoy's own parser of bodies, then `rbac` on method and tool besides the claims. The parser is told to
/// refuse names that are there twice, as this filter does, and has room for the larger body.
pub(crate) fn native_mcp(keys: &Keys) -> Vec<Value> {
    const MCP: &str = "envoy.filters.http.mcp";
    let said = |path: &[&str], value: &str| {
        let path: Vec<Value> = path.iter().map(|key| json!({"key": key})).collect();
        json!({"sourced_metadata": {"metadata_matcher": {"filter": MCP, "path": path, "value": is(value)}}})
    };
    let rules = [said(&["method"], "tools/call"), said(&["params", "name"], "search")];
    let searches = json!({"agents-search": {"permissions": [{"and_rules": {"rules": rules}}], "principals": [agents()]}});
    let parser = json!({
        "name": MCP,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.mcp.v3.Mcp",
            "traffic_mode": "REJECT_NO_MCP",
            "max_request_body_size": 32768,
            "reject_duplicate_keys": true,
        },
    });
    let authenticate = native(keys, true, Extent::Least).swap_remove(0);
    vec![authenticate, parser, rbac("ALLOW", &searches), whole_body()]
}

/// What comes before the router for requests with bodies: without it Envoy answers by itself before the body has come, and has to
/// close the connection. All variants have it.
pub(crate) fn whole_body() -> Value {
    json!({
        "name": "envoy.filters.http.buffer",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer", "max_request_bytes": 65536},
    })
}

fn rbac(action: &str, policies: &Value) -> Value {
    json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": action, "policies": policies},
        },
    })
}

fn header_mutation(mutations: &Value) -> Value {
    json!({
        "name": "envoy.filters.http.header_mutation",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
            "mutations": mutations,
        },
    })
}

/// The headers that upstream gets, and what their values are made of.
fn headers() -> [(&'static str, String); 7] {
    let claim = |name: &str| format!("%DYNAMIC_METADATA({JWT_AUTHN}:session:{name})%");
    [
        ("x-chaperone-session", claim("sid")),
        ("x-chaperone-subject", claim("sub")),
        ("x-chaperone-command", "orders.read".to_owned()),
        ("x-chaperone-decision", "allow".to_owned()),
        ("x-chaperone-expires-at", claim("exp")),
        ("x-chaperone-audit-id", "%STREAM_ID%".to_owned()),
        ("x-chaperone-policy", "agent-orders@209b02ac8a1c".to_owned()),
    ]
}

/// Names one by one: there is no removing by prefix.
fn strip() -> Value {
    json!({"request_mutations": headers().map(|(name, _)| json!({"remove": name}))})
}

fn set() -> Value {
    let append = |(name, value): (&str, String)| json!({"append": {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}});
    let credential = append(("authorization", format!("Bearer %ENVIRONMENT({})%", CREDENTIAL.0)));
    let request: Vec<Value> = headers().map(append).into_iter().chain([credential]).collect();
    json!({"request_mutations": request, "response_mutations": [append(("x-chaperone-audit-id", "%STREAM_ID%".to_owned()))]})
}

/// A record such as this filter's, from what the native filters have left behind.
pub(crate) fn native_record() -> String {
    let claim = |name: &str| format!("%DYNAMIC_METADATA({JWT_AUTHN}:session:{name})%");
    let (sid, sub, iss, iat, exp, jti) = (claim("sid"), claim("sub"), claim("iss"), claim("iat"), claim("exp"), claim("jti"));
    [
        r#"{"metadata":{"uid":"%STREAM_ID%","version":"1.6.0","product":{"name":"Envoy","vendor_name":"Envoy","version":"1.40.0"},"#,
        r#""profiles":["security_control"]},"category_uid":6,"class_uid":6003,"type_uid":600302,"activity_id":2,"severity_id":1,"#,
        r#""time":%START_TIME(%s%3f)%,"action_id":1,"disposition_id":1,"status_id":1,"status_code":"%RESPONSE_CODE_DETAILS%","#,
        &format!(r#""actor":{{"user":{{"uid":"{sub}"}},"idp":{{"uid":"{iss}"}},"session":{{"uid":"{sid}","issuer":"{iss}","#),
        &format!(r#""created_time":{iat},"expiration_time":{exp},"credential_uid":"{jti}"}}}},"api":{{"operation":"orders.read"}},"#),
        r#""http_request":{"http_method":"%REQ(:METHOD)%","url":{"path":"%PATH(NQ:PATH)%"}},"http_response":{"code":%RESPONSE_CODE%},"#,
        r#""src_endpoint":{"ip":"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%","port":%DOWNSTREAM_REMOTE_PORT%},"#,
        r#""policy":{"uid":"agent-orders","version":"209b02ac"},"unmapped":{"decision":"allow","binding":"none","proxy":"bench","#,
        r#""bytes_up":%BYTES_RECEIVED%,"bytes_down":%BYTES_SENT%}}"#,
    ]
    .concat()
}

/// A condition on a claim.
fn claim(path: &[&str], value: &Value) -> Value {
    let path: Vec<Value> = ["session"].iter().chain(path).map(|key| json!({"key": key})).collect();
    json!({"metadata": {"filter": JWT_AUTHN, "path": path, "value": value}})
}

fn is(text: &str) -> Value {
    json!({"string_match": {"exact": text}})
}

fn agents() -> Value {
    claim(&["sub"], &json!({"string_match": {"prefix": "agent-"}}))
}

fn command(methods: &[&str], path: &Value) -> Value {
    let method = |name: &&str| json!({"header": {"name": ":method", "string_match": {"exact": name}}});
    let methods: Vec<Value> = methods.iter().map(method).collect();
    json!({"and_rules": {"rules": [{"url_path": {"path": path}}, {"or_rules": {"rules": methods}}]}})
}

/// The example's two entries, the agent's as far as a fixed path of keys goes: its first hop.
fn revoked() -> Value {
    let any = json!([{"any": true}]);
    json!({
        "session": {"permissions": any, "principals": [claim(&["sid"], &is("s-2041"))]},
        "agent": {"permissions": any, "principals": [claim(&["act", "sub"], &is("crawler"))]},
    })
}

/// The example's two grants. What the token lists for itself belongs to a command, so that each is a policy of its own.
fn grants() -> Value {
    let (collection, one) = (json!({"exact": "/v1/orders"}), json!({"safe_regex": {"regex": "/v1/orders/[^/]+"}}));
    let listed = |name: &str| {
        let holds = |text: &str| claim(&["commands"], &json!({"list_match": {"one_of": is(text)}}));
        json!({"or_ids": {"ids": [holds(name), holds("orders.*")]}})
    };
    let policy = |name: &str, methods: &[&str], path: &Value, conditions: &[Value]| {
        let ids: Vec<Value> = conditions.iter().cloned().chain([listed(name)]).collect();
        json!({"permissions": [command(methods, path)], "principals": [{"and_ids": {"ids": ids}}]})
    };
    let writers = [agents(), claim(&["role"], &is("fulfilment"))];
    json!({
        "agents-read orders.list": policy("orders.list", &["GET", "HEAD"], &collection, &[agents()]),
        "agents-read orders.read": policy("orders.read", &["GET", "HEAD"], &one, &[agents()]),
        "fulfilment-writes orders.create": policy("orders.create", &["POST"], &collection, &writers),
        "fulfilment-writes orders.cancel": policy("orders.cancel", &["DELETE"], &one, &writers),
    })
}

fn least() -> Value {
    let read = command(&["GET", "HEAD"], &json!({"prefix": "/v1/orders"}));
    json!({"agents-read": {"permissions": [read], "principals": [agents()]}})
}
