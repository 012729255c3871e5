//! What the Envoy of the guests is told: a listener for each guest, its filter in a file of its own, two clusters.

use super::Guest;
use serde_json::{Value, json};
use std::{fs, net::SocketAddr, path::Path};

/// What the kernel chooses.
const ANY: u16 = 0;

/// Writes the guest's filter configuration, by rename.
pub(super) fn write(dir: &Path, guest: &Guest, configuration: &str) {
    let filter = json!({"resources": [{
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": guest.name,
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": {
            "name": guest.name,
            "root_id": "root",
            "vm_config": {
                "vm_id": guest.name,
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": dir.join(&guest.name).join("guest.wasm")}},
                "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "of the vm"},
                "environment_variables": {"key_values": {"GUEST": "a guest"}},
            },
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration},
            "failure_policy": if guest.needs("fail_reload") { "FAIL_RELOAD" } else { "FAIL_CLOSED" },
            "allow_on_headers_stop_iteration": guest.needs("allow_on_headers_stop_iteration"),
        }},
    }]});
    let at = dir.join(&guest.name);
    fs::write(at.join("new.json"), filter.to_string()).expect("the build folder can be written");
    fs::rename(at.join("new.json"), at.join("ecds.json")).expect("a file can be renamed");
}

pub(super) fn bootstrap(dir: &Path, guests: &[Guest], upstream: SocketAddr) -> Value {
    let socket = |address: SocketAddr| json!({"socket_address": {"address": address.ip(), "port_value": address.port()}});
    let any = SocketAddr::from(([127, 0, 0, 1], ANY));
    let cluster = |name: &str, address: Value| {
        json!({
            "name": name, "type": "STATIC", "connect_timeout": "1s",
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }},
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
        })
    };
    // Port 1 of loopback: nobody listens there.
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    json!({
        "node": {"id": "guests", "cluster": "guests"},
        "admin": {"address": socket(any)},
        "static_resources": {
            "listeners": guests.iter().map(|guest| listener(dir, guest, &socket(any))).collect::<Vec<_>>(),
            "clusters": [cluster("upstream", socket(upstream)), cluster("nowhere", socket(nowhere))],
        },
    })
}

fn listener(dir: &Path, guest: &Guest, address: &Value) -> Value {
    let at = dir.join(&guest.name);
    json!({"name": guest.name, "address": address, "filter_chains": [{"filters": [{
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "guests",
            "codec_type": "HTTP2",
            "generate_request_id": false,
            "access_log": [{"name": "envoy.access_loggers.file", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": dir.join("access.log"),
                "log_format": {"text_format_source": {"inline_string":
                    format!("{} %REQ(x-stream)% %RESPONSE_CODE% %FILTER_STATE(wasm.t:PLAIN)%\n", guest.name)}},
            }}],
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                {"name": "main", "match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "0s"}},
            ]}]},
            "http_filters": [
                {"name": guest.name, "config_discovery": {
                    "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"],
                    "config_source": {"resource_api_version": "V3", "path_config_source": {
                        "path": at.join("ecds.json"), "watched_directory": {"path": at},
                    }},
                }},
                {"name": "envoy.filters.http.router", "typed_config":
                    {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", "suppress_envoy_headers": true}},
            ],
        },
    }]}]})
}
