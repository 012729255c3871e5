//! What requests can be.

use crate::{
    good::POLICY,
    rows::{Row, rows},
};

const PLAIN: &str = "write the path as clients send it, without query, empty or dot segments";

const CAPTURE: &str = "a capture takes a whole segment: `/{id}/`; `*` and `?` have no meaning here";

pub(crate) fn all() -> Vec<Row> {
    rows(POLICY, &TABLE)
}

const TABLE: [(&str, &str, &str, &str, &str); 22] = [
    (
        "/commands/health",
        "write several matchers as a list",
        "health: {http: {methods: [GET], path: /healthz}}",
        "health: {http: {methods: [GET], path: /healthz}, grpc: {service: h.H, methods: [C]}}",
        "health: [{http: {methods: [GET], path: /healthz}}, {grpc: {service: h.H, methods: [C]}}]",
    ),
    (
        "/commands/health/http",
        "for example `methods: [GET]`",
        "{methods: [GET], path: /healthz}",
        "{path: /healthz}",
        "{methods: [GET], path: /healthz}",
    ),
    (
        "/commands/orders.read/http",
        "for example `path: /v1/orders/{id}`",
        ", path: \"/v1/orders/{id}\"",
        "",
        ", path: \"/v1/orders/{id}\"",
    ),
    (
        "/commands/users.Get/grpc",
        "for example `service: users.v1.Users`",
        "{service: users.v1.Users, methods",
        "{methods",
        "{service: users.v1.Users, methods",
    ),
    ("/commands/users.Get/grpc", "for example `methods: [Get]`", ", methods: [Get]", "", ", methods: [Get]"),
    (
        "/commands/health/http/methods/0",
        "methods are case-sensitive (RFC 9110 §9.1): write `GET`",
        "{methods: [GET], path: /healthz}",
        "{methods: [get], path: /healthz}",
        "{methods: [GET], path: /healthz}",
    ),
    (
        "/commands/health/http/body",
        "write `true` or `false`, without quotes",
        "path: /healthz}",
        "path: /healthz, body: \"no\"}",
        "path: /healthz, body: false}",
    ),
    (
        "/commands/health/http/body",
        "remove one of them",
        "path: /healthz}",
        "path: /healthz, upgrade: true, body: false}",
        "path: /healthz, upgrade: true}",
    ),
    (
        "/commands/orders.list/http/permit",
        "remove it, or capture a segment",
        ", hosts: [orders.example]",
        ", permit: [semicolon]",
        "",
    ),
    (
        "/commands/orders.list/http/hosts/0",
        "write the bare name, such as `orders.example`; the port never matters",
        "hosts: [orders.example]",
        "hosts: [\"https://orders.example\"]",
        "hosts: [orders.example]",
    ),
    (
        "/commands/orders.list/http/hosts/0",
        "write the bare name, such as `orders.example`; the port never matters",
        "hosts: [orders.example]",
        "hosts: [\"orders.example:443\"]",
        "hosts: [orders.example]",
    ),
    ("/commands/health/http/path", "begin with `/`", "path: /healthz", "path: healthz", "path: /healthz"),
    (
        "/commands/orders.read/http/path",
        "write `{id}` or, at the end, `{*rest}`",
        "/v1/orders/{id}",
        "/v1/orders/{}",
        "/v1/orders/{id}",
    ),
    ("/commands/orders.read/http/path", CAPTURE, "/v1/orders/{id}", "/v1/orders/*", "/v1/orders/{id}"),
    ("/commands/orders.read/http/path", CAPTURE, "/v1/orders/{id}", "/v1/{kind}s/{id}", "/v1/{kind}/{id}"),
    ("/commands/orders.read/http/path", "give each its own name", "/v1/orders/{id}", "/v1/{id}/{id}", "/v1/{kind}/{id}"),
    (
        "/commands/orders.read/http/path",
        "`{*rest}` takes all that is left, so it stands last",
        "/v1/orders/{id}",
        "/v1/{*rest}/{id}",
        "/v1/{id}/{*rest}",
    ),
    ("/commands/health/http/path", PLAIN, "path: /healthz", "path: /a//healthz", "path: /a/healthz"),
    ("/commands/health/http/path", PLAIN, "path: /healthz", "path: /a/../healthz", "path: /healthz"),
    ("/commands/health/http/path", PLAIN, "path: /healthz", "path: /a%2fhealthz", "path: /a/healthz"),
    (
        "/commands/users.List",
        "make one path strictly more specific, or tell them apart by method or host",
        "unmediated: [health]",
        "  users.List: {http: {methods: [GET], path: \"/v1/orders/{name}\"}}\nunmediated: [health]",
        "  users.List: {http: {methods: [PUT], path: \"/v1/orders/{name}\"}}\nunmediated: [health]",
    ),
    (
        "/commands/users.List",
        "make one path strictly more specific, or tell them apart by method or host",
        "unmediated: [health]",
        "  users.List: {http: {methods: [GET], path: \"/v1/orders/{name}\"}}\nunmediated: [health]",
        "  users.List: {http: {methods: [GET], path: \"/v1/orders/users\"}}\nunmediated: [health]",
    ),
];
