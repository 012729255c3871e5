//! In a real Envoy: a client's wishes about how often, how long and where a request is sent come to nothing, also where Envoy takes
//! the client for internal and would believe them; and what a redirect or a mirror takes along.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    client::{Call, Protocol},
    install,
    mesh::Mesh,
    scenario::{CREDENTIAL, Scenario},
    upstream::{Answer, Upstream},
    wasm,
};
use serde_json::{Value, json};
use std::time::Duration;

const NOBODY: &str = "internal_address_config: { cidr_ranges: [{ address_prefix: 255.255.255.255, prefix_len: 32 }] }";

/// Whoever calls from this machine is internal.
const BY_ADDRESS: &[(&str, &str)] =
    &[RETRIES, (NOBODY, "internal_address_config: { cidr_ranges: [{ address_prefix: 127.0.0.0, prefix_len: 8 }] }")];

/// Whoever says that he is: without `use_remote_address` the address is that of `x-forwarded-for`.
const BY_WORD: &[(&str, &str)] = &[
    RETRIES,
    (NOBODY, "internal_address_config: { cidr_ranges: [{ address_prefix: 10.0.0.0, prefix_len: 8 }] }"),
    ("use_remote_address: true", "use_remote_address: false"),
];

/// Far longer than a caller's first wish, and longer than its last.
const SLOW: Duration = Duration::from_millis(1_500);

/// A target that fails, or is slow.
async fn failing() -> Upstream {
    Upstream::answering(|received| {
        if received.path.ends_with("/slow") {
            return Answer::ok("late").after(SLOW);
        }
        Answer::ok("no").status(503)
    })
    .await
}

fn wishing(call: Call) -> Call {
    call.header("x-envoy-retry-on", "5xx").header("x-envoy-max-retries", "3")
}

fn hurried(call: Call) -> Call {
    wishing(call)
        .header("x-envoy-upstream-rq-per-try-timeout-ms", "100")
        .header("x-envoy-hedge-on-per-try-timeout", "true")
        .header("x-envoy-upstream-rq-timeout-ms", "1000")
}

/// The shipped wiring allows none whatever anybody says; here it is the filter that must not.
const RETRIES: (&str, &str) = ("max_retries: 0", "max_retries: 3");

#[tokio::test(flavor = "multi_thread")]
async fn how_often_and_how_long_is_not_the_callers_to_say() {
    let scenario = Scenario::new();
    for (name, settings, word) in [("controls-address", BY_ADDRESS, None), ("controls-word", BY_WORD, Some("10.0.0.1"))] {
        let from = |call: Call| word.iter().fold(call, |call, address| call.header("x-forwarded-for", address));
        let mesh = Mesh::with(name, &scenario.policy(), failing().await, wasm::chaperone(), settings).await;
        let token = scenario.token("s-1");
        let before = |mesh: &Mesh| mesh.upstream.count();
        for (path, bearer) in [("/v1/orders/7", true), ("/healthz", false)] {
            for protocol in Protocol::ALL {
                let call = from(Call::get(path));
                let call = if bearer { call.bearer(&token) } else { call };
                let sent = before(&mesh);
                assert_eq!(mesh.send(&wishing(call.clone()), protocol).await.status, 503);
                assert_eq!(mesh.upstream.count() - sent, 1, "{name} {path}: once");
                let seen = mesh.upstream.last();
                assert!(seen.headers.iter().all(|(name, _)| !name.starts_with("x-envoy-")), "{name}: {seen:?}");
            }
        }
        let sent = before(&mesh);
        let reply = mesh.send(&hurried(from(Call::get("/v1/orders/slow").bearer(&token))), Protocol::Http1).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "late"), "{name}: the route's own timeout");
        assert_eq!(mesh.upstream.count() - sent, 1, "{name}: not hedged");

        // The twin, where the filter changes nothing: this Envoy does believe such a caller, so that the above shows something.
        let mut observing = scenario.policy();
        observing["mode"] = json!("observe");
        let mesh = Mesh::with(&format!("{name}-believed"), &observing, failing().await, wasm::chaperone(), settings).await;
        mesh.send(&wishing(from(Call::get("/v1/orders/7").bearer(&token))), Protocol::Http1).await;
        assert_eq!(mesh.upstream.count(), 4, "{name}: once, and three times more");
        let reply = mesh.send(&hurried(from(Call::get("/v1/orders/slow").bearer(&token))), Protocol::Http1).await;
        assert_eq!(reply.status, 504, "{name}: {reply:?}");
        let hedged = async {
            while mesh.upstream.count() <= 5 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), hedged).await.unwrap_or_else(|_| panic!("{name}: hedged"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_users_and_paths_never_arrive_and_neither_does_a_host_in_trailers() {
    const OTHERS: [&str; 8] = [
        "x-rewrite-uri",
        "x-override-url",
        "x-http-path-override",
        "x-middleware-subrequest",
        "x-remote-user",
        "x-forwarded-user",
        "remote-user",
        "Remote-User",
    ];
    let scenario = Scenario::new();
    let mesh = Mesh::start("overrides-more", &scenario).await;
    for protocol in Protocol::ALL {
        let call = OTHERS.iter().fold(Call::get("/v1/orders"), |call, name| call.header(name, "/admin"));
        assert_eq!(mesh.send(&call.bearer(&scenario.token("s-1")), protocol).await.status, 200);
        let seen = mesh.upstream.last();
        for name in OTHERS {
            assert_eq!(seen.all(&name.to_ascii_lowercase()), [""; 0], "{name}");
        }
    }
    let call = Call::grpc("users.v1.Users/Get", b"ping").bearer(&scenario.token("s-1"));
    let call = call.trailer("x-envoy-retry-on", "5xx").trailer("x-checksum", "mine");
    let with_host = call.clone().trailer("host", "admin.example");
    if install::is_at_least(37) {
        assert_eq!(mesh.send(&with_host, Protocol::Http2).await.grpc_status(), Some(0));
    } else {
        // Envoy 1.36 itself closes the connection.
        assert!(with_host.try_send(mesh.envoy.address(), Protocol::Http2).await.is_err());
        assert_eq!(mesh.send(&call, Protocol::Http2).await.grpc_status(), Some(0));
    }
    assert_eq!(mesh.upstream.last().trailers, [("x-checksum".to_owned(), "mine".to_owned())]);
}

const ROUTE: &str = "cluster: target\n                            timeout: 0s";

/// Redirects of the target are followed by Envoy itself; a field of the answer goes along.
fn following() -> String {
    let policy = "internal_redirect_policy: { max_internal_redirects: 2, redirect_response_codes: [302], \
                  response_headers_to_copy: [x-copied], allow_cross_scheme_redirect: true }";
    ROUTE.replace("timeout: 0s", &format!("{policy}\n                            timeout: 0s"))
}

/// A target that redirects `?to=PATH` or `?to=URL` there, with its credential in a field.
async fn redirecting() -> Upstream {
    Upstream::answering(|received| match received.path.split_once("?to=") {
        Some((_, to)) => {
            let shown = received.header("x-api-key").or(received.header("authorization")).unwrap_or("none");
            let host = if to.starts_with('/') { "http://orders.example" } else { "" };
            Answer::ok("moved")
                .status(302)
                .header("location", format!("{host}{}", to.replace("SECRET", CREDENTIAL.1)))
                .header("x-copied", format!("got {shown}"))
        }
        None => Answer::echo(received),
    })
    .await
}

/// Reasons and response codes of the two records of a redirected request.
async fn both(mesh: &Mesh, path: &str) -> Vec<(String, Value)> {
    tokio::time::sleep(Duration::from_millis(300)).await;
    let all = mesh.log.entries();
    let from = all.iter().rposition(|entry| entry.record["http_request"]["url"]["path"] == path).expect("the first one");
    all[from..].iter().map(|entry| (entry.reason().to_owned(), entry.record["http_response"]["code"].clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_takes_the_credential_nowhere() {
    let scenario = Scenario::new();
    let settings = following();
    let token = scenario.token("s-1");
    let mesh = Mesh::with("redirect", &scenario.policy(), redirecting().await, wasm::chaperone(), &[(ROUTE, &settings)]).await;
    for protocol in Protocol::ALL {
        // To another mediated command: the session token did not go along, and what did is nobody's.
        let before = mesh.upstream.count();
        let (reply, entry) = mesh.observe(&Call::get("/v1/orders/1?to=/v1/orders/2").bearer(&token), protocol).await;
        assert_eq!((reply.status, entry.reason()), (401, "token_missing"), "{reply:?}");
        assert_eq!(mesh.upstream.count() - before, 1);
        let records = both(&mesh, "/v1/orders/1").await;
        assert_eq!(records, [("allowed".to_owned(), json!(302)), ("token_missing".to_owned(), json!(401))]);
        // To one that needs no session, where a caller's own `authorization` goes on.
        let (reply, entry) = mesh.observe(&Call::get("/v1/orders/1?to=/healthz").bearer(&token), protocol).await;
        assert_eq!((reply.status, entry.reason(), &entry.record["api"]["operation"]), (200, "allowed", &json!("health")));
        let seen = mesh.upstream.last();
        assert_eq!(seen.path, "/healthz");
        assert!(!format!("{:?}", seen.headers).contains(CREDENTIAL.1), "{seen:?}");
        assert_eq!(seen.all("x-chaperone-session"), [""; 0]);
        // No other host gets it either.
        let before = mesh.upstream.count();
        let call = Call::get("/v1/orders/1?to=http://else.example/v1/orders/2").bearer(&token);
        let (reply, entry) = mesh.observe(&call, protocol).await;
        assert_eq!((reply.status, entry.reason(), mesh.upstream.count() - before), (401, "token_missing", 1));
        let call = Call::get("/v1/orders/1?to=http://else.example/healthz").bearer(&token);
        assert_eq!(mesh.send(&call, protocol).await.status, 200);
        let seen = mesh.upstream.last();
        assert_eq!((seen.host.as_str(), seen.path.as_str()), ("else.example", "/healthz"));
        assert!(!format!("{:?}", seen.headers).contains(CREDENTIAL.1), "{seen:?}");
        // The twin: what is the caller's own goes with him.
        let call = Call::get("/healthz?to=/healthz").header("authorization", "Basic YTpi");
        assert_eq!(mesh.send(&call, protocol).await.status, 200);
        let seen = mesh.upstream.last();
        assert_eq!((seen.header("authorization"), seen.header("x-copied")), (Some("Basic YTpi"), Some("got Basic YTpi")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_with_a_forwarded_token_is_judged_like_any_other_request() {
    let scenario = Scenario::new();
    let settings = following();
    let token = scenario.token("s-1");
    let mut policy = scenario.policy();
    let value = format!("${{env:{}}}", CREDENTIAL.0);
    policy["upstream"] = json!({"credential": {"header": "x-api-key", "value": value}, "forward_token": true});
    let mesh = Mesh::with("redirect-token", &policy, redirecting().await, wasm::chaperone(), &[(ROUTE, &settings)]).await;
    for protocol in Protocol::ALL {
        let send = |path: &'static str| {
            let (mesh, token) = (&mesh, &token);
            async move { mesh.observe(&Call::get(path).bearer(token), protocol).await }
        };
        let (reply, entry) = send("/v1/orders/1?to=/v1/orders/2").await;
        assert_eq!((reply.status, entry.reason()), (200, "allowed"));
        let seen = mesh.upstream.last();
        assert_eq!((seen.path.as_str(), seen.header("x-api-key")), ("/v1/orders/2", Some(CREDENTIAL.1)));
        assert_eq!((seen.all("x-copied"), seen.all("x-chaperone-session").len()), (vec![], 1), "the answer's field had it");
        assert_eq!(both(&mesh, "/v1/orders/1").await, [("allowed".to_owned(), json!(302)), ("allowed".to_owned(), json!(200))]);
        // To another host: only a command with `hosts` is kept from it.
        let (reply, entry) = send("/v1/orders/1?to=http://else.example/v1/orders").await;
        assert_eq!((reply.status, entry.reason()), (403, "unknown_command"));
        let (reply, _) = send("/v1/orders/1?to=http://else.example/v1/orders/2").await;
        let seen = mesh.upstream.last();
        assert_eq!((reply.status, seen.host.as_str(), seen.header("x-api-key")), (200, "else.example", Some(CREDENTIAL.1)));
        let before = mesh.upstream.count();
        let (reply, entry) = send("/v1/orders/1?to=/admin").await;
        assert_eq!((reply.status, entry.reason()), (403, "unknown_command"));
        // With the credential in the address.
        let (reply, entry) = send("/v1/orders/1?to=/v1/orders/SECRET").await;
        assert_eq!((reply.status, entry.reason()), (502, "credential_echoed"));
        assert!(!entry.line.to_string().contains(CREDENTIAL.1));
        assert_eq!(mesh.upstream.count() - before, 2, "the redirects themselves");
        let (reply, _) = send("/v1/orders/1?to=/healthz").await;
        let seen = mesh.upstream.last();
        assert_eq!((reply.status, seen.path.as_str(), seen.all("x-api-key")), (200, "/healthz", vec![]));
        assert!(!format!("{:?}", seen.headers).contains(CREDENTIAL.1), "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_gets_what_the_target_gets_unless_the_route_takes_it_off() {
    let scenario = Scenario::new();
    let token = scenario.token("s-1");
    for (name, mutations, shown) in [
        ("mirror", "", Some(format!("Bearer {}", CREDENTIAL.1))),
        ("mirror-without", ", request_headers_mutations: [{ remove: authorization }]", None),
    ] {
        let mirror = Upstream::start().await;
        let route = ROUTE.replace(
            "timeout: 0s",
            &format!("request_mirror_policies: [{{ cluster: mirror{mutations} }}]\n                            timeout: 0s"),
        );
        let clusters = format!(
            "  clusters:\n    - name: mirror\n      type: STATIC\n      load_assignment: {{ cluster_name: mirror, endpoints: [{{ \
             lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {} }} }} }} }}] }}] \
             }}\n    - name: target",
            mirror.address().port()
        );
        let settings = [(ROUTE, route.as_str()), ("  clusters:\n    - name: target", clusters.as_str())];
        let mesh = Mesh::with(name, &scenario.policy(), Upstream::start().await, wasm::chaperone(), &settings).await;
        assert_eq!(mesh.send(&Call::get("/v1/orders").bearer(&token), Protocol::Http1).await.status, 200);
        tokio::time::timeout(Duration::from_secs(5), async {
            while mirror.count() == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .expect("the mirror is asked");
        assert_eq!(mirror.last().header("authorization"), shown.as_deref(), "{name}");
        assert_eq!(mesh.upstream.last().header("authorization"), Some(format!("Bearer {}", CREDENTIAL.1).as_str()));
        // Nothing of the session's, and what is denied is not mirrored.
        assert!(!format!("{:?}", mirror.last().headers).contains(&token));
        assert_eq!(mesh.send(&Call::get("/v1/orders"), Protocol::Http1).await.status, 401);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(mirror.count(), 1);
    }
}
