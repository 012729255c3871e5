//! In a real Envoy, with the bootstrap that `render envoy --cors` prints: pages in browsers get their preflights answered and their
//! denials to read, and nothing gets through by looking like a preflight.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    access_log::AccessLog,
    client::{Call, Protocol, Reply},
    envoy::{Envoy, Setup, Update},
    mesh::Mesh,
    scenario::{CREDENTIAL, Scenario},
    upstream::Upstream,
    wasm,
    wiring::ROUTER,
};
use policy_host::{
    files,
    render::{self, Bootstrap, Cors, Endpoint, Rendered},
};
use serde_json::{Value, json};
use std::{fs, path::Path};

const PAGE: &str = "https://app.example";
const ALLOW_ORIGIN: &str = "access-control-allow-origin";

/// A mesh on the bootstrap that is rendered for this policy, with the last word on its text.
async fn mesh(name: &str, policy: &Value, edit: fn(String) -> String) -> Mesh {
    let upstream = Upstream::start().await;
    let target = upstream.address();
    let setup = Setup {
        name,
        policy,
        wasm: wasm::chaperone(),
        upstream: target,
        workers: 2,
        environment: &[CREDENTIAL],
        other_settings: &[],
    };
    let rendered = |folder: &Path, _: String| {
        let path = folder.join("policy.json");
        fs::write(&path, policy.to_string()).expect("the folder can be written");
        let document = files::policy(&path).expect("a policy");
        let endpoint = |port| Endpoint { host: "127.0.0.1".to_owned(), port };
        let cors = Cors::new(vec![PAGE.parse().unwrap(), "http://localhost:3000".parse().unwrap()], false).unwrap();
        let options = Bootstrap {
            listen: endpoint(0),
            admin_port: 0,
            upstream: endpoint(target.port()),
            ecds_dir: folder.join("ecds"),
            access_log: folder.join("access.log"),
            trusted_ca: folder.join("none.pem"),
            cors: Some(cors),
        };
        let now = "2026-11-27T00:00:00Z".parse().unwrap();
        edit(render::bootstrap(&Rendered::new(&document, None, now).unwrap(), &options).unwrap())
    };
    let envoy = Envoy::start_as(setup, &rendered, &["--disable-hot-restart"]).await;
    let log = AccessLog(envoy.access_log());
    Mesh { envoy, upstream, log }
}

fn preflight(origin: &str, method: &str, path: &str) -> Call {
    Call::new("OPTIONS", path)
        .header("origin", origin)
        .header("access-control-request-method", method)
        .header("access-control-request-headers", "authorization,content-type")
}

/// Whether a page of this origin may read the answer.
fn readable(reply: &Reply) -> Option<&str> {
    reply.header(ALLOW_ORIGIN)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_is_answered_and_everything_else_needs_its_session() {
    let scenario = Scenario::new();
    let token = scenario.token("s-1");
    let mesh = mesh("cors", &scenario.policy(), |text| text).await;
    for protocol in Protocol::ALL {
        // Whatever the path, and whatever it brings: it goes no further than the cors filter, and has no record.
        for (origin, call) in [
            (PAGE, preflight(PAGE, "POST", "/v1/orders")),
            ("http://localhost:3000", preflight("http://localhost:3000", "DELETE", "/v1/nothing")),
            (PAGE, preflight(PAGE, "POST", "/v1/orders").bearer(&token).body("body")),
        ] {
            let reply = mesh.send(&call, protocol).await;
            assert_eq!((reply.status, reply.body.len()), (200, 0), "{call:?}: {reply:?}");
            assert_eq!(readable(&reply), Some(origin));
            assert_eq!(reply.header("access-control-allow-methods"), Some("DELETE, GET, HEAD, POST"));
            assert_eq!(reply.header("access-control-allow-headers"), Some("authorization, content-type"));
            assert_eq!(reply.header("access-control-allow-credentials"), None);
            assert_eq!(reply.header("x-chaperone-audit-id"), None);
        }
        assert_eq!(mesh.upstream.count(), 0, "{:?}", mesh.upstream.received());
    }
    let answered = mesh.log.wait_for("a preflight", |entry| entry.details() == "cors_response").await;
    assert_eq!(answered.record, Value::Null);

    for protocol in Protocol::ALL {
        let from = |call: Call, origin: &str| call.header("origin", origin);
        let list = || Call::get("/v1/orders");
        // What follows the preflight is a request like any other.
        let (reply, entry) = mesh.observe(&from(list().bearer(&token), PAGE), protocol).await;
        assert_eq!((reply.status, entry.reason(), readable(&reply)), (200, "allowed", Some(PAGE)));
        assert_eq!(reply.header("access-control-expose-headers"), Some("x-chaperone-audit-id, www-authenticate"));
        assert_eq!(mesh.upstream.last().header("x-chaperone-session"), Some("s-1"));
        let before = mesh.upstream.count();
        let other = Call::new("DELETE", "/v1/orders/7").bearer(&token);
        let trailing = format!("{PAGE}/");
        for (call, status, reason, page) in [
            // The page can read why.
            (from(list(), PAGE), 401, "token_missing", Some(PAGE)),
            (from(list().bearer(&scenario.forged("s-1")), PAGE), 401, "signature_invalid", Some(PAGE)),
            (from(other.clone(), PAGE), 403, "command_not_granted", Some(PAGE)),
            // Nobody else can.
            (from(list(), "https://else.example"), 401, "token_missing", None),
            (from(other, "null"), 403, "command_not_granted", None),
            // No preflight, or none of a page that is named.
            (from(Call::new("OPTIONS", "/v1/orders"), PAGE), 401, "token_missing", Some(PAGE)),
            (from(Call::new("OPTIONS", "/v1/orders").bearer(&token), PAGE), 403, "unknown_command", Some(PAGE)),
            (preflight(PAGE, "", "/v1/orders"), 401, "token_missing", Some(PAGE)),
            (from(list(), PAGE).header("access-control-request-method", "GET"), 401, "token_missing", Some(PAGE)),
            (
                from(Call::new("POST", "/v1/orders"), PAGE)
                    .header("access-control-request-method", "GET")
                    .header("x-http-method-override", "OPTIONS"),
                401,
                "token_missing",
                Some(PAGE),
            ),
            (Call::new("OPTIONS", "/v1/orders").header("access-control-request-method", "GET"), 401, "token_missing", None),
            (preflight("", "GET", "/v1/orders"), 401, "token_missing", None),
            (preflight("https://else.example", "GET", "/v1/orders"), 401, "token_missing", None),
            (preflight("https://else.example", "GET", "/v1/orders").bearer(&token), 403, "unknown_command", None),
            (preflight("https://app.example.else.example", "GET", "/v1/orders"), 401, "token_missing", None),
            (preflight("https://app.example:8443", "GET", "/v1/orders"), 401, "token_missing", None),
            (preflight("http://app.example", "GET", "/v1/orders"), 401, "token_missing", None),
            (preflight("https://APP.example", "GET", "/v1/orders"), 401, "token_missing", None),
            (preflight(&trailing, "GET", "/v1/orders"), 401, "token_missing", None),
            (preflight("null", "GET", "/v1/orders"), 401, "token_missing", None),
            (preflight("*", "GET", "/v1/orders"), 401, "token_missing", None),
            (from(preflight(PAGE, "GET", "/v1/orders"), "https://else.example"), 401, "token_missing", None),
        ] {
            let (reply, entry) = mesh.observe(&call, protocol).await;
            assert_eq!((reply.status, entry.reason(), readable(&reply)), (status, reason, page), "{call:?} over {protocol:?}");
            assert_eq!(reply.header("access-control-allow-methods"), None, "{call:?}");
            let exposed = page.map(|_| "x-chaperone-audit-id, www-authenticate");
            assert_eq!(reply.header("access-control-expose-headers"), exposed, "{call:?}");
            assert_eq!(reply.json()["audit_id"], reply.audit_id());
        }
        assert_eq!(mesh.upstream.count(), before, "nothing of it reaches the target");
        // The session decides, and not the origin; but no page there sees the answer.
        let reply = mesh.send(&from(list().bearer(&token), "https://else.example"), protocol).await;
        assert_eq!((reply.status, readable(&reply)), (200, None));
    }
}

/// The cors filter behind ours, where meshes put it.
fn behind(text: String) -> String {
    let (before, rest) = text.split_once("                  - name: envoy.filters.http.cors\n").expect("the cors filter");
    let (cors, ours) = rest.split_once("                  # Then the filter").expect("what comes next");
    let (ours, router) = ours.split_once(ROUTER).expect("the router");
    format!(
        "{before}                  # The filter{ours}                  - name: envoy.filters.http.cors\n{cors}{ROUTER}{router}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_filter_preflights_are_denied_unless_they_are_a_command() {
    let scenario = Scenario::new();
    let token = scenario.token("s-1");
    let mesh = mesh("cors-behind", &scenario.policy(), behind).await;
    for (call, status, reason) in [
        (preflight(PAGE, "GET", "/v1/orders"), 401, "token_missing"),
        (preflight(PAGE, "GET", "/v1/orders").bearer(&token), 403, "unknown_command"),
        (Call::get("/v1/orders").header("origin", PAGE), 401, "token_missing"),
    ] {
        let (reply, entry) = mesh.observe(&call, Protocol::Http1).await;
        assert_eq!((reply.status, entry.reason(), readable(&reply)), (status, reason, None), "{call:?}");
    }
    assert_eq!(mesh.upstream.count(), 0);

    // As an unmediated command it passes, and is on record; so does every OPTIONS, and that is what it costs.
    let mut policy = scenario.policy();
    policy["generation"] = json!(2);
    policy["commands"]["preflight"] = json!({"http": {"methods": ["OPTIONS"], "path": "/v1/{*rest}"}});
    policy["unmediated"] = json!(["health", "preflight"]);
    assert_eq!(mesh.envoy.update(&policy).await, Update::Applied);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let mut in_a_row = 0;
    while in_a_row < 10 {
        let reply = mesh.send(&preflight(PAGE, "GET", "/v1/orders"), Protocol::Http1).await;
        in_a_row = if reply.status == 200 { in_a_row + 1 } else { 0 };
        assert!(std::time::Instant::now() < deadline, "{reply:?}");
    }
    let (reply, entry) = mesh.observe(&preflight(PAGE, "GET", "/v1/orders"), Protocol::Http1).await;
    assert_eq!((reply.status, readable(&reply), entry.reason()), (200, Some(PAGE), "allowed"));
    assert_eq!((&entry.record["api"]["operation"], entry.details()), (&json!("preflight"), "cors_response"));
    assert_eq!(mesh.upstream.count(), 0, "the cors filter has answered");
    let denied = mesh.send(&Call::get("/v1/orders").header("origin", PAGE), Protocol::Http1).await;
    assert_eq!((denied.status, readable(&denied)), (401, None), "a page cannot read it");
    let other = mesh.send(&preflight("https://else.example", "GET", "/v1/orders").bearer(&token), Protocol::Http1).await;
    assert_eq!((other.status, mesh.upstream.count()), (200, 1));
    assert!(!format!("{:?}", mesh.upstream.last().headers).contains(CREDENTIAL.1), "without the credential");
}
