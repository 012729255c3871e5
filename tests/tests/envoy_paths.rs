//! In a real Envoy: paths that two readers could read as two paths are refused, whatever the bytes, and the plain ones pass.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    client::{Call, Protocol},
    mesh::Mesh,
    raw::{self, Reaction},
    scenario::Scenario,
};
use tokio::task::JoinSet;

/// Refused by the filter, with a record.
const AMBIGUOUS: [&[u8]; 19] = [
    b"//v1/orders",
    b"/v1//orders",
    b"/v1/orders//",
    b"/v1/./orders",
    b"/v1/../v1/orders",
    b"/admin/../v1/orders",
    b"/v1/%2e%2e/v1/orders",
    b"/v1/%2E/orders",
    b"/v1/.%2e/v1/orders",
    b"/v1%2forders",
    b"/v1/orders%2F",
    b"/v1/orders%5C7",
    b"/v1\\orders",
    b"/v1/%252e%252e/orders",
    b"/v1/orders%00",
    b"/v1/orders;a=b",
    b"/v1/orders%3Ba=b",
    b"/v1/orders/%zz",
    b"/v1/orders%",
];

/// Refused by Envoy itself, before the filter: a bare `#`, no leading slash, spaces and bytes outside ASCII.
const NO_PATH: [&[u8]; 8] = [
    b"/v1/orders#x",
    b"/healthz#/v1/orders",
    b"v1/orders",
    b"*",
    b"http://orders.example/v1/orders",
    b"/v1/orders\xff",
    b"/v1/ord\x00ers",
    b"/v1/orders x",
];

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_paths_are_refused_over_http1() {
    let scenario = Scenario::new();
    let mesh = Mesh::start("paths-http1", &scenario).await;
    let token = format!("authorization: Bearer {}", scenario.token("s-1"));
    for path in AMBIGUOUS {
        let reply = raw::http1(mesh.envoy.address(), &raw::request("GET", path, &[token.as_bytes()])).await;
        let shown = String::from_utf8_lossy(path);
        assert_eq!(reply.status, 400, "{shown}: {reply:?}");
        let entry = mesh.log.record(reply.header("x-chaperone-audit-id").expect("the filter refused it, not Envoy")).await;
        assert_eq!((entry.reason(), entry.details()), ("ambiguous_request", "chaperone{ambiguous_request}"), "{shown}");
    }
    let mut asked = JoinSet::new();
    for path in NO_PATH {
        let (to, request) = (mesh.envoy.address(), raw::request("GET", path, &[token.as_bytes()]));
        asked.spawn(async move { (path, raw::http1(to, &request).await) });
    }
    for (path, reply) in asked.join_all().await {
        assert!(matches!(reply.status, 400 | 404), "{}: {reply:?}", String::from_utf8_lossy(path));
    }
    assert_eq!(mesh.upstream.count(), 0, "{:?}", mesh.upstream.received());
}

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_paths_are_refused_over_http2() {
    let scenario = Scenario::new();
    let mesh = Mesh::start("paths-http2", &scenario).await;
    let token = format!("Bearer {}", scenario.token("s-1"));
    // Side by side: Envoy takes its time to close a connection that broke the rules.
    let mut asked = JoinSet::new();
    for path in AMBIGUOUS.into_iter().chain(NO_PATH) {
        let (to, token) = (mesh.envoy.address(), token.clone());
        asked.spawn(async move { raw::http2(to, &fields(path, &token)).await });
    }
    assert_eq!(asked.join_all().await.len(), AMBIGUOUS.len() + NO_PATH.len());
    assert_eq!(mesh.upstream.count(), 0, "{:?}", mesh.upstream.received());
    let twin = raw::http2(mesh.envoy.address(), &fields(b"/v1/orders", &token)).await;
    assert_eq!((twin, mesh.upstream.count()), (Reaction::Headers, 1), "the same way, a plain path arrives");
    // Envoy's HTTP/2 codec lets bytes outside ASCII pass: there the filter is alone.
    let entry =
        mesh.log.wait_for("an obs-text path", |entry| entry.record["http_request"]["url"]["path"] == "/v1/orders%FF").await;
    assert_eq!(entry.reason(), "ambiguous_request", "{:#}", entry.record);
}

fn fields<'a>(path: &'a [u8], token: &'a str) -> [(&'a [u8], &'a [u8]); 5] {
    [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"orders.example"),
        (b":path", path),
        (b"authorization", token.as_bytes()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_paths_pass_as_they_are() {
    let scenario = Scenario::new();
    let mesh = Mesh::start("paths-plain", &scenario).await;
    let paths = [
        ("/v1/orders", "orders.list"),
        ("/v1/orders?next=//x/../y;z%2F#", "orders.list"),
        ("/v1/%6Frders", "orders.list"),
        ("/v1/orders/7", "orders.read"),
        ("/v1/orders/a+b~c", "orders.read"),
        ("/v1/orders/caf%C3%A9", "orders.read"),
        // The command's `permit: [encoded_slash]`, inside its capture only.
        ("/v1/orders/a%2Fb", "orders.read"),
    ];
    for protocol in Protocol::ALL {
        for (path, command) in paths {
            // What hyper sends has no fragment: the `#` ends what arrives.
            let sent = path.trim_end_matches('#');
            let reply = mesh.send(&Call::get(sent).bearer(&scenario.token("s-1")), protocol).await;
            assert_eq!(reply.status, 200, "{path}: {reply:?}");
            let seen = mesh.upstream.last();
            assert_eq!((seen.path.as_str(), seen.header("x-chaperone-command")), (sent, Some(command)));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_and_upgrades_that_bypass_are_refused() {
    let scenario = Scenario::new();
    let mesh = Mesh::start("methods", &scenario).await;
    let token = format!("authorization: Bearer {}", scenario.token("s-1"));
    let upgrade: [&[u8]; 3] = [token.as_bytes(), b"connection: upgrade", b"upgrade: websocket"];
    let requests = [
        raw::request("TRACE", b"/v1/orders", &[token.as_bytes()]),
        raw::request("CONNECT", b"orders.example:80", &[token.as_bytes()]),
        raw::request("get", b"/v1/orders", &[token.as_bytes()]),
        raw::request("GET", b"/v1/orders", &upgrade),
    ];
    for request in requests {
        let reply = raw::http1(mesh.envoy.address(), &request).await;
        assert!((400..500).contains(&reply.status), "{}: {reply:?}", String::from_utf8_lossy(&request));
    }
    assert_eq!(mesh.upstream.count(), 0, "{:?}", mesh.upstream.received());
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_outside_ascii_neither_trap_nor_count_as_a_token() {
    let scenario = Scenario::new();
    let mesh = Mesh::start("obs-text", &scenario).await;
    for header in [&b"authorization: Bearer \xa1\xff"[..], b"authorization: \xffearer x.y.z"] {
        let reply = raw::http1(mesh.envoy.address(), &raw::request("GET", b"/v1/orders", &[header])).await;
        assert_eq!(reply.status, 401, "{reply:?}");
    }
    // Beside a good token such bytes in another header do no harm.
    let call = Call::get("/v1/orders").bearer(&scenario.token("s-1")).header("x-note", b"caf\xe9");
    assert_eq!(mesh.send(&call, Protocol::Http1).await.status, 200);
    assert_eq!(mesh.envoy.traps(), 0);
}
