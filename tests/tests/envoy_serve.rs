//! `policy-host serve` beside a real Envoy: the same requests get the same answers.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    beside::{Beside, Literal},
    client::{Call, Protocol},
    envoy::{Envoy, Setup},
    mesh::Mesh,
    raw::{self, RawReply},
    scenario::{CREDENTIAL, Scenario},
    upstream::Upstream,
    wasm,
};
use policy_host::host::FailurePolicy;
use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

/// What a caller and the target see: status, content type, gRPC status, and whether the target was asked over HTTP/2.
type Seen = (u16, Option<String>, Option<u32>, Option<bool>);

#[tokio::test(flavor = "multi_thread")]
async fn grpc_is_what_envoy_takes_for_it_and_the_target_is_spoken_to_as_the_caller_speaks() {
    // What Envoy takes for gRPC, and what it does not.
    const GRPC: [&str; 2] = ["application/grpc", "application/grpc+proto"];
    const OTHERS: [&str; 4] = ["application/json", "application/grpc-web", "application/grpc-web+proto", "application/grpcx"];
    let scenario = Scenario::new();
    let token = scenario.token("s-1");
    let target = Upstream::start().await;
    let serve = Beside::start(&scenario.policy(), target.address()).await;
    let mesh = Mesh::with("serve-grpc", &scenario.policy(), target, wasm::chaperone(), &[]).await;
    let ask = async |address: SocketAddr, call: &Call, protocol: Protocol| -> Seen {
        let before = mesh.upstream.count();
        let reply = call.send(address, protocol).await;
        let asked = (mesh.upstream.count() > before).then(|| mesh.upstream.last().http2);
        (reply.status, reply.header("content-type").map(str::to_owned), reply.grpc_status(), asked)
    };
    for protocol in Protocol::ALL {
        let http2 = Some(protocol == Protocol::Http2);
        for kind in [&GRPC[..], &OTHERS[..]].concat() {
            let of_kind = |path: &str| Call::new("POST", path).header("content-type", kind).body("12345");
            for (call, allowed) in [
                (of_kind("/v1/orders").bearer(&token), true),
                (of_kind("/users.v1.Users/Get").bearer(&token), GRPC.contains(&kind)),
                (of_kind("/v1/orders"), false),
            ] {
                let (envoy, here) =
                    (ask(mesh.envoy.address(), &call, protocol).await, ask(serve.address(), &call, protocol).await);
                let what = format!("{kind} over {protocol:?}: {call:?}");
                if allowed {
                    assert_eq!((envoy.0, envoy.3), (200, http2), "{what}");
                } else {
                    let web = kind.starts_with("application/grpc-web");
                    let refused = match kind {
                        _ if GRPC.contains(&kind) => "application/grpc",
                        _ if web => kind,
                        _ => "application/problem+json",
                    };
                    assert_eq!((envoy.1.as_deref(), envoy.3), (Some(refused), None), "{what}");
                    // Of gRPC-Web the status is in the body, whose form `envoy_forms` looks at.
                    assert!(web && envoy.0 == 200 || envoy.2.map_or(envoy.0, |_| 403) > 400, "{what}: {envoy:?}");
                }
                assert_eq!(here, envoy, "{what}");
            }
        }
    }
}

/// The answer to this request by Envoy, and by `serve`.
async fn both(addresses: [SocketAddr; 2], request: &[u8]) -> [RawReply; 2] {
    [raw::http1(addresses[0], request).await, raw::http1(addresses[1], request).await]
}

/// Whatever says how long a body is.
fn framing(reply: &RawReply) -> (u16, Option<&str>, Option<&str>) {
    (reply.status, reply.header("content-length"), reply.header("transfer-encoding"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_head_says_what_that_to_get_would() {
    const CHUNKED: (Option<&str>, Option<&str>) = (None, Some("chunked"));
    const FIVE: (Option<&str>, Option<&str>) = (Some("5"), None);
    let scenario = Scenario::new();
    let target = Literal::start(|line| {
        let (head, body) = match line.split(' ').nth(1).and_then(|path| path.split_once('?')) {
            Some((_, "length")) => ("200 OK\r\ncontent-length: 5", "hello"),
            Some((_, "chunked")) => ("200 OK\r\ntransfer-encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
            Some((_, "nothing")) => ("200 OK\r\ncontent-length: 0", ""),
            Some((_, "204")) => ("204 No Content", ""),
            Some((_, "304")) => ("304 Not Modified", ""),
            _ => ("200 OK", "hello"),
        };
        format!("HTTP/1.1 {head}\r\n\r\n{}", if line.starts_with("HEAD") { "" } else { body })
    })
    .await;
    let policy = scenario.policy();
    let serve = Beside::start(&policy, target.address()).await;
    let envoy = Envoy::start(setup("serve-head", &policy, wasm::chaperone(), target.address())).await;
    let addresses = [envoy.address(), serve.address()];
    let token = scenario.token("s-1");
    let bearer = format!("authorization: Bearer {token}");
    for method in ["GET", "HEAD"] {
        for (target, status, (length, coding)) in [
            ("/v1/orders?length", 200, FIVE),
            ("/v1/orders?chunked", 200, CHUNKED),
            ("/v1/orders?nothing", 200, (Some("0"), None)),
            ("/v1/orders?204", 204, (None, None)),
            ("/v1/orders?304", 304, (None, None)),
            // Until the connection is closed.
            ("/v1/orders?open", 200, CHUNKED),
        ] {
            let [of_envoy, here] = both(addresses, &raw::request(method, target.as_bytes(), &[bearer.as_bytes()])).await;
            assert_eq!(framing(&of_envoy), (status, length, coding), "{method} {target}: {of_envoy:?}");
            assert_eq!(framing(&here), framing(&of_envoy), "{method} {target}: {here:?}");
            let bodies = [&of_envoy, &here].map(|reply| reply.text.split_once("\r\n\r\n").unwrap().1.to_owned());
            assert_eq!(bodies[0], bodies[1], "{method} {target}");
            assert_eq!(bodies[1].is_empty(), method == "HEAD" || !bodies[0].contains("hello"), "{method} {target}");
        }
        // A denial has a length, and what the proxy says of itself has a body or none.
        let [of_envoy, here] = both(addresses, &raw::request(method, b"/v1/orders", &[])).await;
        assert_eq!((of_envoy.status, of_envoy.header("transfer-encoding")), (401, None));
        assert_eq!(framing(&here), framing(&of_envoy), "{method}: {here:?}");
        let hostless = format!("{method} /v1/orders HTTP/1.1\r\nconnection: close\r\n\r\n");
        let [of_envoy, here] = both(addresses, hostless.as_bytes()).await;
        assert_eq!(framing(&here), framing(&of_envoy), "{method}: {here:?}");
    }
    // In a row on one connection, each answer has its own, and the one with a body in between has it whole.
    let request = |method: &str, target: &str, end: &str| {
        format!("{method} {target} HTTP/1.1\r\nhost: orders.example\r\n{bearer}\r\n{end}\r\n")
    };
    let row = request("HEAD", "/v1/orders?open", "")
        + &request("HEAD", "/v1/orders?chunked", "")
        + &request("GET", "/v1/orders?length", "")
        + &request("HEAD", "/v1/orders?open", "connection: close\r\n");
    let text = raw::until_closed(serve.address(), row.as_bytes()).await;
    assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), 4, "{text}");
    assert_eq!(text.matches("\r\ntransfer-encoding: chunked\r\n").count(), 3, "{text}");
    assert_eq!(text.matches("\r\n\r\nhello").count(), 1, "{text}");
    assert_eq!(text.matches(": chunked").count(), 3, "and no other name of it: {text}");

    // HTTP/2 has no such field, and this target does not speak it.
    for address in addresses {
        for method in ["GET", "HEAD"] {
            let reply = Call::new(method, "/v1/orders?open").bearer(&token).send(address, Protocol::Http2).await;
            assert!(matches!(reply.status, 502 | 503), "{reply:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_before_the_filter_and_who_is_said_to_call_is_the_same() {
    let scenario = Scenario::new();
    let policy = scenario.policy();
    let target = Upstream::start().await;
    let serve = Beside::start(&policy, target.address()).await;
    let envoy = Envoy::start(setup("serve-heads", &policy, wasm::chaperone(), target.address())).await;
    let addresses = [envoy.address(), serve.address()];
    let token = scenario.token("s-1");
    let bearer = format!("authorization: Bearer {token}");
    for (method, line, status) in [
        ("GET", "/v1/orders", 200),
        ("GET", "http://orders.example/v1/orders", 404),
        ("GET", "http://evil.example/v1/orders", 404),
        ("GET", "*", 404),
        ("OPTIONS", "*", 404),
    ] {
        let [of_envoy, here] = both(addresses, &raw::request(method, line.as_bytes(), &[bearer.as_bytes()])).await;
        assert_eq!((of_envoy.status, here.status), (status, status), "{method} {line}");
    }
    for protocol in Protocol::ALL {
        for address in addresses {
            let call = Call::get("/v1/orders").bearer(&token).header("x-forwarded-for", "192.0.2.1");
            let call = call.header("x-forwarded-proto", "https").header("x-envoy-external-address", "192.0.2.1");
            assert_eq!(call.send(address, protocol).await.status, 200);
            let seen = target.last();
            let said = ["x-forwarded-proto", "x-envoy-external-address"].map(|name| seen.header(name));
            assert_eq!(said, [Some("http"), Some("127.0.0.1")], "{protocol:?}: {seen:?}");
            let hops = seen.header("x-forwarded-for").unwrap();
            assert!(hops.split(',').count() == 2 && !hops.ends_with("192.0.2.1"), "{hops}");
        }
    }
    assert_eq!(target.count(), 6);
}

fn setup<'a>(name: &'a str, policy: &'a serde_json::Value, wasm: &'a Path, upstream: SocketAddr) -> Setup<'a> {
    Setup { name, policy, wasm, upstream, workers: 1, environment: &[CREDENTIAL], other_settings: &[] }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_trap_it_heals_or_stays_closed_as_envoy_does() {
    let scenario = Scenario::new();
    let policy = scenario.policy();
    let target = Upstream::start().await;
    let envoy = Envoy::start(setup("serve-trap", &policy, wasm::for_tests(), target.address())).await;
    let good = Call::get("/v1/orders").bearer(&scenario.token("s-1"));
    let trap = good.clone().header("x-chaperone-test-trap", "1");
    let status = async |address: SocketAddr, call: &Call| call.send(address, Protocol::Http1).await.status;

    // As envoy/ecds.yaml has it.
    let serve = Beside::with(&policy, target.address(), wasm::for_tests(), FailurePolicy::Reload, 1).await;
    for address in [envoy.address(), serve.address()] {
        assert_eq!(status(address, &good).await, 200);
        assert_eq!(status(address, &trap).await, 503);
        let deadline = Instant::now() + Duration::from_secs(20);
        while status(address, &good).await != 200 {
            assert!(Instant::now() < deadline, "it does not come back");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    // Envoy's own default.
    let closed = ("failure_policy: FAIL_RELOAD", "failure_policy: FAIL_CLOSED");
    let mut next = policy.clone();
    next["generation"] = 2.into();
    next["grants"][0]["name"] = "closed".into();
    envoy.write_ecds_with(&next, wasm::for_tests(), &[closed]);
    let revision = async |address: SocketAddr| {
        assert_eq!(status(address, &good).await, 200);
        target.last().header("x-chaperone-policy").map(str::to_owned)
    };
    let (before, deadline) = (revision(envoy.address()).await, Instant::now() + Duration::from_secs(20));
    while revision(envoy.address()).await == before {
        assert!(Instant::now() < deadline, "the update does not arrive");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let serve = Beside::with(&next, target.address(), wasm::for_tests(), FailurePolicy::Closed, 1).await;
    assert_eq!(status(serve.address(), &good).await, 200);
    for address in [envoy.address(), serve.address()] {
        assert_eq!(status(address, &trap).await, 503);
    }
    // Longer than either takes to heal.
    let (count, until) = (target.count(), Instant::now() + Duration::from_millis(2500));
    while Instant::now() < until {
        for address in [envoy.address(), serve.address()] {
            assert_eq!(status(address, &good).await, 503);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(target.count(), count, "nothing gets through meanwhile");
}
