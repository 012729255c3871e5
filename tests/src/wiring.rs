//! Places of the shipped bootstrap where tests put other filters, and what they put there.

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
