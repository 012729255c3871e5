//! Places of the shipped bootstrap where tests put other filters and clusters, and what they put there.

use std::net::SocketAddr;

/// Where the router begins: what stands before it stands behind Chaperone and the backstop.
pub const ROUTER: &str = "                  - name: envoy.filters.http.router\n";

/// Two of Envoy's own filters that make gRPC of calls, the one of gRPC-Web and the one of Connect.
pub const TO_GRPC: &str = r#"                  - name: envoy.filters.http.grpc_web
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb
                  - name: envoy.filters.http.connect_grpc_bridge
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.connect_grpc_bridge.v3.FilterConfig
"#;

/// How a target is spoken to: in the place of the shipped way, which is the caller's, HTTP/2, as what became gRPC needs it.
pub const IN_HTTP2: (&str, &str) = (
    "          use_downstream_protocol_config:               # HTTP/1.1 stays HTTP/1.1, and gRPC keeps its trailers
            http_protocol_options: {}
            http2_protocol_options: {}
",
    "          explicit_http_config: {http2_protocol_options: {}}
",
);

/// Where the list of clusters begins.
pub const CLUSTERS: &str = "  clusters:\n";

/// One more of them, which leads there.
#[must_use]
pub fn cluster(name: &str, address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!(
        "{CLUSTERS}    - name: {name}
      type: STATIC
      connect_timeout: 1s
      load_assignment:
        cluster_name: {name}
        endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: {ip}, port_value: {port} }} }} }} }}] }}]
"
    )
}
