//! What requests can be.

use crate::{
    good::{KEYED, POLICY},
    rows::{Row, rows},
};

const PLAIN: &str = "write the path as clients send it, without query, empty or dot segments";

pub(crate) fn all() -> Vec<Row> {
    let mut all = rows(POLICY, &TABLE);
    all.extend(rows(KEYED, &PATHS));
    all.extend(rows(POLICY, &OTHERS));
    let named = "write each command under its name: `{orders.list: {http: {methods: [GET], path: /v1/orders}}}`";
    let command = "\n  orders.read: {http: {methods: [GET], path: \"/v1/orders/{id}\"}}";
    all.push(Row::new(KEYED, ("/commands", named, command, " [orders.read]", command)));
    for right in ["/v1/{id}:run", "/v1/{id}"] {
        let long = format!("/v1/{{id}}:{}", "x".repeat(70));
        all.push(Row::new(KEYED, (READ, "shorten it, or capture the whole segment", "/v1/orders/{id}", &long, right)));
    }
    all
}

const READ: &str = "/commands/orders.read/http/path";
const HOSTS: &str = "/commands/orders.list/http/hosts/0";
const REST: &str = "write `{*rest}` for all that is left, or `{id}` for one segment";
const NAMES: &str = "list the methods: `methods: [GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS]` are all that most services have";
const LABEL: &str =
    "`*` is the whole first label and stands for exactly one, with two labels or more after it: `*.tenant.example`";
const METHOD: &str = "write one method in capital letters, such as `GET`";
const UNSUPPORTED: &str =
    "remove it, and the command with it where it has no other matcher: what it asks for would not be enforced";
const HEALTH: &str = "health: {http: {methods: [GET], path: /healthz}}";

const PATHS: [(&str, &str, &str, &str, &str); 6] = [
    (READ, REST, "/v1/orders/{id}", "/v1/orders/*", "/v1/orders/{*rest}"),
    (READ, REST, "/v1/orders/{id}", "/v1/orders/**", "/v1/orders/{id}"),
    (READ, "write `{id}` for one segment", "/v1/orders/{id}", "/v1/*/orders", "/v1/{id}/orders"),
    (
        READ,
        "a capture begins a segment, and a fixed end may follow it: `/{id}/`, `/{model}:run`; `*` and `?` have no meaning here",
        "/v1/orders/{id}",
        "/v1/orders/x{id}",
        "/v1/orders/{id}",
    ),
    (READ, "`{*rest}` takes all that is left; an end follows `{id}`", "/v1/orders/{id}", "/v1/{*rest}:run", "/v1/{id}:run"),
    (READ, "write a path that begins with `/`, such as `/v1/orders`", "\"/v1/orders/{id}\"", "7", "/v1/all"),
];

const OTHERS: [(&str, &str, &str, &str, &str); 8] = [
    (HOSTS, "leave `hosts` out: then any host will do", ", hosts: [orders.example]", ", hosts: [\"*\"]", ""),
    (HOSTS, LABEL, "hosts: [orders.example]", "hosts: [\"orders.*\"]", "hosts: [\"*.tenant.example\"]"),
    (
        "/commands/health/http/methods/0",
        NAMES,
        HEALTH,
        "health: {http: {methods: [\"*\"], path: /healthz}}",
        "health: {http: {methods: [GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS], path: /healthz}}",
    ),
    ("/commands/health/http/methods/0", METHOD, HEALTH, "health: {http: {methods: [GET|HEAD], path: /healthz}}", HEALTH),
    ("/commands/health/http/methods/0", METHOD, HEALTH, "health: {http: {methods: [true], path: /healthz}}", HEALTH),
    ("/commands/health/http/methods/1", "take it out", HEALTH, "health: {http: {methods: [GET, TRACE], path: /healthz}}", HEALTH),
    ("/commands/health/sql", UNSUPPORTED, HEALTH, "health: {http: {methods: [GET], path: /healthz}, sql: {}}", HEALTH),
    ("/commands/health/htpp", "did you mean `http`?", HEALTH, "health: {htpp: {methods: [GET], path: /healthz}}", HEALTH),
];

const TABLE: [(&str, &str, &str, &str, &str); 25] = [
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
        "/commands/users.Get/grpc/forms/0",
        "did you mean `grpc_web`?",
        "methods: [Get]",
        "methods: [Get], forms: [grpc-web]",
        "methods: [Get], forms: [grpc_web]",
    ),
    (
        "/commands/users.Get/grpc/forms/0",
        "known here: grpc, grpc_web, grpc_web_text, connect, connect_get",
        "methods: [Get]",
        "methods: [Get], forms: [json]",
        "methods: [Get], forms: [connect]",
    ),
    (
        "/commands/users.Get/grpc/forms",
        "leave the member out, or say what it holds",
        "methods: [Get]",
        "methods: [Get], forms: []",
        "methods: [Get]",
    ),
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
        "remove it, or capture a whole segment",
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
        "write both with the same escapes: servers differ in whether they are one",
        "unmediated: [health]",
        "  users.Add: {http: {methods: [POST], path: \"/v1/a+b\"}}\n  users.List: {http: {methods: [GET], path: \"/v1/a%2Bb\"}}\nunmediated: [health]",
        "  users.Add: {http: {methods: [POST], path: \"/v1/a+b\"}}\n  users.List: {http: {methods: [GET], path: \"/v1/a+b\"}}\nunmediated: [health]",
    ),
    (
        "/commands/users.More",
        "name the method in one of them: neither a form nor a host tells commands of gRPC apart",
        "unmediated: [health]",
        "  users.More: {grpc: {service: users.v1.Users, methods: [Get, List], forms: [connect]}}\nunmediated: [health]",
        "  users.More: {grpc: {service: users.v1.Users, methods: [List], forms: [connect]}}\nunmediated: [health]",
    ),
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
