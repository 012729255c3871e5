//! In a real Envoy: credentials that are had for the session's own token, at a token endpoint that verifies who asks and with what,
//! and answers in all the ways in which one can.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests fail by panicking, and print what they measure"
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chaperone_authoring::token::TestKey;
use chaperone_policy::{Algorithm, limits};
use chaperone_tests::{
    access_log::AccessLog,
    client::{Call, Connection, Protocol, Reply},
    envoy::{Envoy, Setup, Update},
    mcp,
    mesh::Mesh,
    scenario::{Scenario, now},
    upstream::{Answer, Received, Upstream},
    wasm,
    wiring::{CLUSTERS, cluster},
};
use jsonwebtoken::{DecodingKey, Validation, jwk::Jwk};
use p256::pkcs8::{EncodePrivateKey as _, LineEnding};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::sleep};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const SECRET: &str = "canary-of-the-client:ü";
const AUDIENCE: &str = "https://sts.example/token";

/// How the proxy shows who it is.
#[derive(Clone, Copy, PartialEq)]
enum Proof {
    Secret,
    Key,
}

/// What the endpoint says instead of what it should.
type Twist = Arc<dyn Fn(Value) -> Answer + Send + Sync>;

#[derive(Default)]
struct Said {
    twist: Option<Twist>,
    lives: u64,
    /// All that it has given out.
    tokens: Vec<String>,
    /// Ids of assertions, each of which is good once (RFC 7523 §3).
    seen: HashSet<String>,
}

/// A token endpoint: RFC 8693 and RFC 7523, with both ways for a client to show itself.
struct Sts {
    endpoint: Upstream,
    said: Arc<Mutex<Said>>,
}

fn form(received: &Received) -> BTreeMap<String, String> {
    let plain = |text: &str| {
        let spaced = text.replace('+', " ");
        let (mut bytes, mut rest) = (Vec::new(), spaced.bytes());
        while let Some(byte) = rest.next() {
            let digit = |byte: Option<u8>| char::from(byte.unwrap()).to_digit(16).unwrap();
            let escaped = |rest: &mut std::str::Bytes<'_>| u8::try_from(digit(rest.next()) * 16 + digit(rest.next())).unwrap();
            bytes.push(if byte == b'%' { escaped(&mut rest) } else { byte });
        }
        String::from_utf8(bytes).unwrap()
    };
    let text = String::from_utf8(received.body.to_vec()).unwrap();
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (plain(name), plain(value))).collect()
}

fn claims_of(token: &str, key: &DecodingKey, audience: &str) -> Option<Value> {
    let mut validation = Validation::new(jsonwebtoken::Algorithm::ES256);
    validation.set_audience(&[audience]);
    jsonwebtoken::decode::<Value>(token, key, &validation).ok().map(|decoded| decoded.claims)
}

impl Sts {
    async fn start(scenario: &Scenario, client: Option<DecodingKey>) -> Self {
        let policy = scenario.policy();
        let jwk: Jwk = serde_json::from_value(policy["tokens"]["issuers"][0]["keys"]["jwks"]["keys"][0].clone()).unwrap();
        let broker = DecodingKey::from_jwk(&jwk).unwrap();
        let own = TestKey::generate(Algorithm::Es256).unwrap();
        let said = Arc::new(Mutex::new(Said { lives: 300, ..Said::default() }));
        let shared = Arc::clone(&said);
        let endpoint = Upstream::answering(move |received| {
            let mut said = shared.lock().unwrap();
            let refuse = |error: &str| Answer::ok(json!({"error": error}).to_string()).status(400);
            if (received.method.as_str(), received.path.as_str()) != ("POST", "/token") || received.host != "sts.example" {
                return refuse("invalid_request").status(404);
            }
            if received.header("content-type") != Some("application/x-www-form-urlencoded") {
                return refuse("invalid_request");
            }
            let form = form(received);
            let is_known = match &client {
                None => {
                    let pair = received.header("authorization").and_then(|value| value.strip_prefix("Basic "));
                    let pair = pair.and_then(|pair| STANDARD.decode(pair).ok()).unwrap_or_default();
                    pair == b"chaperone:canary-of-the-client%3A%C3%BC"
                }
                Some(key) => {
                    let claims =
                        form.get("client_assertion").and_then(|token| claims_of(token, key, AUDIENCE)).unwrap_or_default();
                    let is_it = claims["iss"] == "chaperone" && claims["sub"] == "chaperone";
                    let once = claims["jti"].as_str().is_some_and(|id| said.seen.insert(id.to_owned()));
                    let soon = claims["exp"].as_u64().is_some_and(|end| end <= now() + 61);
                    let kind = form.get("client_assertion_type").map(String::as_str);
                    is_it && once && soon && kind == Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
                }
            };
            if !is_known {
                return refuse("invalid_client").status(401);
            }
            let subject = match form.get("grant_type").map(String::as_str) {
                Some("urn:ietf:params:oauth:grant-type:token-exchange") => {
                    let kind = form.get("subject_token_type").map(String::as_str);
                    form.get("subject_token").filter(|_| kind == Some("urn:ietf:params:oauth:token-type:jwt"))
                }
                Some("urn:ietf:params:oauth:grant-type:jwt-bearer") => form.get("assertion"),
                _ => return refuse("unsupported_grant_type"),
            };
            let Some(subject) = subject.and_then(|token| claims_of(token, &broker, "orders")) else {
                return refuse("invalid_grant");
            };
            let number = said.tokens.len();
            let mut claims = json!({"iss": "https://sts.example", "sub": subject["sub"], "aud": form.get("audience"),
                "scope": form.get("scope"), "jti": number, "exp": now() + said.lives});
            if !subject["act"].is_null() {
                claims["act"] = subject["act"].clone();
            }
            let token = own.sign(json!({}), claims);
            said.tokens.push(token.clone());
            let answer = json!({"access_token": token, "token_type": "Bearer", "issued_token_type": ACCESS_TOKEN,
                "expires_in": said.lives, "scope": form.get("scope")});
            match &said.twist {
                Some(twist) => twist(answer),
                None => Answer::ok(answer.to_string()).header("content-type", "application/json"),
            }
        })
        .await;
        Self { endpoint, said }
    }

    fn twist(&self, twist: impl Fn(Value) -> Answer + Send + Sync + 'static) {
        self.said.lock().unwrap().twist = Some(Arc::new(twist));
    }

    fn straight(&self) {
        self.said.lock().unwrap().twist = None;
    }

    fn tokens(&self) -> Vec<String> {
        self.said.lock().unwrap().tokens.clone()
    }
}

struct Bench {
    scenario: Scenario,
    mesh: Mesh,
    sts: Sts,
    proof: Proof,
}

fn exchange(proof: Proof) -> Value {
    let client = match proof {
        Proof::Secret => json!({"id": "chaperone", "secret": "${env:STS}"}),
        Proof::Key => json!({"id": "chaperone", "private_key": "${env:STS}", "key_id": "k1", "audience": AUDIENCE}),
    };
    json!({"cluster": "sts", "authority": "sts.example", "path": "/token", "audience": "orders-api", "scope": "orders.read",
        "client": client, "timeout": "1s"})
}

fn policy(scenario: &Scenario, exchange: &Value) -> Value {
    let mut policy = mcp::policy(scenario);
    policy["upstream"] = json!({"credential": {"exchange": exchange}});
    policy["limits"]["streams_per_session"] = json!(1000);
    policy["grants"][0]["allow"].as_array_mut().unwrap().extend([json!("orders.read"), json!("orders.create"), json!("feed")]);
    policy
}

impl Bench {
    /// One worker, so that it is known who has what.
    async fn start(name: &str, proof: Proof, change: impl FnOnce(&mut Value)) -> Self {
        let scenario = Scenario::new();
        let key = p256::SecretKey::from_slice(&[11; 32]).unwrap();
        let public = key.public_key().to_sec1_bytes();
        let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap().replace('\n', "\\n");
        let (value, client) = match proof {
            Proof::Secret => (SECRET.to_owned(), None),
            Proof::Key => (pem, Some(DecodingKey::from_ec_der(&public))),
        };
        let sts = Sts::start(&scenario, client).await;
        let mut policy = policy(&scenario, &exchange(proof));
        change(&mut policy);
        let upstream = Upstream::answering(|received| match received.path.as_str() {
            "/v1/feed" => Answer::events(10_000, Duration::from_millis(50)),
            "/v1/orders/echo" => {
                let given = received.header("authorization").unwrap_or_default().to_owned();
                Answer::ok("done").header("x-debug", given)
            }
            _ => Answer::ok("done"),
        })
        .await;
        let clusters = cluster("sts", sts.endpoint.address());
        let envoy = Envoy::start(Setup {
            name,
            policy: &policy,
            wasm: wasm::chaperone(),
            upstream: upstream.address(),
            workers: 1,
            environment: &[("STS", &value)],
            other_settings: &[(CLUSTERS, &clusters)],
        })
        .await;
        let log = AccessLog(envoy.access_log());
        Self { scenario, mesh: Mesh { envoy, upstream, log }, sts, proof }
    }

    fn get(&self, session: &str) -> Call {
        Call::get("/v1/orders").bearer(&self.scenario.token(session))
    }

    async fn send(&self, call: &Call) -> Reply {
        self.mesh.send(call, Protocol::Http2).await
    }

    /// The last of the given tokens as the target got it.
    fn given(&self) -> String {
        let seen = self.mesh.upstream.last();
        seen.header("authorization").expect("a credential").strip_prefix("Bearer ").expect("a bearer token").to_owned()
    }

    async fn denied(&self, call: &Call, code: &str) {
        let before = (self.mesh.upstream.begun(), self.mesh.upstream.bytes());
        let (reply, entry) = self.mesh.observe(call, Protocol::Http2).await;
        let status = if code == "revoked" { 401 } else { 503 };
        assert_eq!((reply.status, entry.reason()), (status, code), "{:?}", entry.record);
        assert_eq!((self.mesh.upstream.begun(), self.mesh.upstream.bytes()), before, "nothing goes upstream");
        assert!(entry.record["unmapped"]["credential_ref"].is_null());
        if code == "credential_unavailable" {
            assert!(entry.record["status_detail"].as_str().unwrap().starts_with("exchange:"), "{:?}", entry.record);
        }
    }

    /// Nothing that is secret stands in what the proxy wrote.
    async fn no_canaries(&self, replies: &[Reply]) {
        sleep(Duration::from_millis(200)).await;
        let stats =
            self.mesh.envoy.stats("").await.into_iter().map(|(name, value)| format!("{name} {value}\n")).collect::<String>();
        let access = std::fs::read_to_string(self.mesh.envoy.access_log()).unwrap();
        let told: String = replies.iter().map(|reply| format!("{:?}{}", reply.headers, reply.text())).collect();
        let written = [self.mesh.envoy.log(), stats, access, told, self.mesh.envoy.config_dump().await];
        let mut secrets = self.sts.tokens();
        assert!(!secrets.is_empty() && !replies.is_empty() && written.iter().all(|text| !text.is_empty()));
        secrets.extend(["canary-of-the-client".to_owned(), "client_assertion".to_owned(), "subject_token=".to_owned()]);
        secrets.push(STANDARD.encode("chaperone:canary-of-the-client%3A%C3%BC"));
        for secret in secrets {
            // Of a token the signature, which nothing else says.
            let sought = secret.rsplit('.').next().unwrap();
            assert!(written.iter().all(|text| !text.contains(sought)), "{sought} stands somewhere");
        }
        assert_eq!(self.mesh.envoy.traps(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_its_token_exchanged_once() {
    for proof in [Proof::Secret, Proof::Key] {
        let name = if proof == Proof::Secret { "exchange-secret" } else { "exchange-key" };
        let bench = Bench::start(name, proof, |_| {}).await;
        let mut replies = Vec::new();
        let acted = bench.scenario.token_with("s-1", json!({"act": {"sub": "tool-1", "act": {"sub": "agent-9"}}}));
        for protocol in Protocol::ALL {
            for _ in 0..3 {
                let (reply, entry) = bench.mesh.observe(&Call::get("/v1/orders").bearer(&acted), protocol).await;
                assert_eq!((reply.status, entry.reason()), (200, "allowed"), "{}", bench.mesh.envoy.log());
                assert_eq!(entry.record["unmapped"]["credential_ref"], "exchange:sts:orders-api");
                assert_eq!(bench.given(), bench.sts.tokens()[0], "what was given for it, and not the session's");
                replies.push(reply);
            }
        }
        let payload = bench.given().split('.').nth(1).unwrap().to_owned();
        let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
        let payload: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(payload["act"], json!({"sub": "tool-1", "act": {"sub": "agent-9"}}), "carried on");
        assert_eq!((&payload["aud"], &payload["scope"]), (&json!("orders-api"), &json!("orders.read")));
        assert_eq!(bench.sts.endpoint.count(), 1);
        // Another session, another chain, another token.
        replies.push(bench.send(&bench.get("s-2")).await);
        replies.push(bench.send(&bench.get("s-1")).await);
        assert_eq!((bench.sts.endpoint.count(), bench.given()), (3, bench.sts.tokens()[2].clone()));
        // A body is passed on whole, whether it came before the token or after it.
        bench.sts.twist(|answer| Answer::ok(answer.to_string()).after(Duration::from_millis(300)));
        for (session, protocol) in [("s-3", Protocol::Http1), ("s-4", Protocol::Http2)] {
            let call =
                Call::new("POST", "/v1/orders").bearer(&bench.scenario.token(session)).body("please").trailer("x-sum", "1");
            let reply = bench.mesh.send(&call, protocol).await;
            assert_eq!((reply.status, &bench.mesh.upstream.last().body[..]), (200, &b"please"[..]));
            assert_eq!(bench.given(), *bench.sts.tokens().last().unwrap());
            replies.push(reply);
        }
        // A command in the body: first that, then the token.
        let call = mcp::post(&bench.scenario.token("s-5"), &mcp::message("tools/call", &json!({"name": "read_ticket"})));
        let (reply, entry) = bench.mesh.observe(&call, Protocol::Http2).await;
        assert_eq!((reply.status, entry.reason()), (200, "allowed"));
        assert_eq!(bench.given(), *bench.sts.tokens().last().unwrap());
        let count = bench.sts.endpoint.count();
        let denied = mcp::post(&bench.scenario.token("s-6"), &mcp::message("tools/call", &json!({"name": "shell"})));
        assert_ne!(bench.mesh.observe(&denied, Protocol::Http2).await.1.reason(), "allowed");
        assert_eq!(bench.sts.endpoint.count(), count, "nobody is asked for what is denied");
        // What the target sends back is taken off.
        let echoed = bench.send(&Call::get("/v1/orders/echo").bearer(&acted)).await;
        assert!(echoed.status == 200 && echoed.header("x-debug").is_none());
        replies.push(echoed);
        bench.no_canaries(&replies).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_come_at_once_wait_for_one() {
    let bench = Bench::start("exchange-crowd", Proof::Secret, |_| {}).await;
    bench.sts.twist(|answer| Answer::ok(answer.to_string()).after(Duration::from_millis(600)));
    let connection = || Connection::open(bench.mesh.envoy.address(), Protocol::Http2);
    let token = bench.scenario.token("s-1");
    let ask = async |number: usize| {
        let mut tasks = Vec::new();
        for _ in 0..number {
            let (mut connection, call) = (connection().await.unwrap(), Call::get("/v1/orders").bearer(&token));
            tasks.push(tokio::spawn(async move { connection.send(&call).await.unwrap() }));
        }
        let mut replies = Vec::new();
        for task in tasks {
            replies.push(task.await.unwrap());
        }
        replies
    };
    let replies = ask(50).await;
    assert!(replies.iter().all(|reply| reply.status == 200));
    assert_eq!((bench.sts.endpoint.count(), bench.mesh.upstream.count()), (1, 50));
    // The room is bounded: those who find none are told at once, the others get theirs.
    let token = bench.scenario.token("s-2");
    let more = limits::EXCHANGE_WAITING as usize + 20;
    let mut tasks = Vec::new();
    for _ in 0..more {
        let (mut connection, call) = (connection().await.unwrap(), Call::get("/v1/orders").bearer(&token));
        tasks.push(tokio::spawn(async move { connection.send(&call).await.unwrap().status }));
    }
    let mut statuses = Vec::new();
    for task in tasks {
        statuses.push(task.await.unwrap());
    }
    let allowed = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(allowed + statuses.iter().filter(|status| **status == 503).count(), more);
    assert!((limits::EXCHANGE_WAITING as usize..more).contains(&allowed), "{allowed} of {more}");
    assert_eq!(bench.sts.endpoint.count(), 2);
    bench.no_canaries(&replies).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_else_is_answered_nothing_goes_upstream() {
    let bench = Bench::start("exchange-bad", Proof::Secret, |_| {}).await;
    let with = |name: &'static str, value: Value| {
        move |mut answer: Value| {
            answer[name] = value.clone();
            Answer::ok(answer.to_string())
        }
    };
    let stranger = TestKey::generate(Algorithm::Es256).unwrap();
    let other = stranger.sign(json!({}), json!({"aud": "others-api", "exp": now() + 300}));
    let over = stranger.sign(json!({}), json!({"aud": "orders-api", "exp": now() - 1}));
    let twists: Vec<(&str, Twist)> = vec![
        ("500", Arc::new(|answer| Answer::ok(answer.to_string()).status(500))),
        ("a redirect", Arc::new(|answer| Answer::ok(answer.to_string()).status(302).header("location", "/other"))),
        ("garbage", Arc::new(|_| Answer::ok("garbage"))),
        ("nothing", Arc::new(|_| Answer::ok(""))),
        ("10 MB", Arc::new(|_| Answer::ok(vec![b' '; 10 << 20]))),
        ("10 MB and a token", Arc::new(|answer| Answer::ok(format!("{}{answer}", " ".repeat(10 << 20))))),
        ("no end", Arc::new(with("expires_in", Value::Null))),
        ("an end that is past", Arc::new(with("expires_in", json!(0)))),
        ("another type", Arc::new(with("token_type", json!("DPoP")))),
        ("an id token", Arc::new(with("issued_token_type", json!("urn:ietf:params:oauth:token-type:id_token")))),
        ("another audience", Arc::new(with("access_token", json!(other)))),
        ("an old token", Arc::new(with("access_token", json!(over)))),
        ("CR and LF", Arc::new(with("access_token", json!("canary-crlf\r\nx-evil: 1")))),
        ("LF", Arc::new(with("access_token", json!("canary-lf\nx")))),
        ("a list", Arc::new(with("access_token", json!(["x"])))),
    ];
    for (index, (what, twist)) in twists.into_iter().enumerate() {
        bench.sts.said.lock().unwrap().twist = Some(twist);
        println!("{what}");
        bench.denied(&bench.get(&format!("s-{index}")), "credential_unavailable").await;
        assert_eq!(bench.sts.endpoint.count(), index + 1, "{what}");
    }
    // Too slow: denied in time.
    bench.sts.twist(|answer| Answer::ok(answer.to_string()).after(Duration::from_secs(5)));
    let slow = bench.get("slow");
    let began = Instant::now();
    bench.denied(&slow, "credential_unavailable").await;
    let took = began.elapsed();
    assert!((900..2600).contains(&took.as_millis()), "{took:?}");
    // It is remembered for a second, and not longer.
    bench.sts.straight();
    let count = bench.sts.endpoint.count();
    bench.denied(&slow, "credential_unavailable").await;
    assert_eq!(bench.sts.endpoint.count(), count);
    sleep(Duration::from_millis(1500)).await;
    let reply = bench.send(&slow).await;
    assert_eq!(reply.status, 200);
    // The log says what went wrong, with no more than a line in a second.
    let log = bench.mesh.envoy.log();
    let lines = log.lines().filter(|line| line.contains("no token for a session's could be had from sts.example/token")).count();
    assert!((1..=17).contains(&lines), "{lines}");
    assert!(bench.mesh.envoy.stats("exchanges.failures").await.iter().any(|(_, value)| *value >= 16));
    assert!(!log.contains("canary-"), "{log}");
    // No such cluster.
    let mut gone = policy(&bench.scenario, &exchange(bench.proof));
    gone["generation"] = json!(2);
    gone["upstream"]["credential"]["exchange"]["cluster"] = json!("nowhere");
    assert_eq!(bench.mesh.envoy.update(&gone).await, Update::Applied);
    sleep(Duration::from_millis(500)).await;
    bench.denied(&bench.get("s-1"), "credential_unavailable").await;
    bench.no_canaries(&[reply]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_is_missing_is_named_and_nobody_is_asked() {
    let bench = Bench::start("exchange-missing", Proof::Key, |policy| {
        policy["upstream"]["credential"]["exchange"]["client"]["private_key"] = json!("${env:NOT_THERE}");
    })
    .await;
    bench.denied(&bench.get("s-1"), "credential_unavailable").await;
    assert_eq!(bench.sts.endpoint.count(), 0);
    assert!(bench.mesh.envoy.log().contains("a variable of the environment is missing: NOT_THERE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_waits_and_afterwards_the_session_may_end() {
    let bench = Bench::start("exchange-ends", Proof::Secret, |_| {}).await;
    let slowly = |answer: Value| Answer::ok(answer.to_string()).after(Duration::from_millis(900));
    // Revoked while it waits.
    bench.sts.twist(slowly);
    let call = bench.get("s-1");
    let mut connection = Connection::open(bench.mesh.envoy.address(), Protocol::Http2).await.unwrap();
    let waiting = tokio::spawn(async move { connection.send(&call).await.unwrap() });
    sleep(Duration::from_millis(100)).await;
    let revoking = |generation: u64, session: &str| {
        let mut policy = policy(&bench.scenario, &exchange(bench.proof));
        policy["generation"] = json!(generation);
        policy["revoked"] = json!([{"session": session}]);
        policy
    };
    assert_eq!(bench.mesh.envoy.update(&revoking(2, "s-1")).await, Update::Applied);
    let denied = waiting.await.unwrap();
    assert_eq!((denied.status, bench.mesh.upstream.begun()), (401, 0));
    // A client that goes away is not waited for, and what it asked for is there for the next.
    let mut socket = TcpStream::connect(bench.mesh.envoy.address()).await.unwrap();
    let token = bench.scenario.token("s-2");
    let head = format!("GET /v1/orders HTTP/1.1\r\nhost: orders.example\r\nauthorization: Bearer {token}\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    let count = bench.sts.endpoint.begun();
    let deadline = Instant::now() + Duration::from_secs(10);
    while bench.sts.endpoint.begun() == count {
        assert!(Instant::now() < deadline, "it is asked for");
        sleep(Duration::from_millis(10)).await;
    }
    drop(socket);
    let gone = |record: &Value| record["actor"]["session"]["uid"] == "s-2";
    let entry = bench.mesh.log.wait_for("a client that has gone", |entry| gone(&entry.record)).await;
    assert_eq!((entry.reason(), bench.mesh.upstream.begun()), ("credential_unavailable", 0));
    sleep(Duration::from_millis(1200)).await;
    let count = bench.sts.endpoint.begun();
    bench.sts.straight();
    assert_eq!(bench.send(&Call::get("/v1/orders").bearer(&token)).await.status, 200);
    assert_eq!(bench.sts.endpoint.begun(), count, "its answer came to whoever came after it");
    // An update in between, which says the same of the credential.
    bench.sts.twist(slowly);
    let (mut connection, call) = (Connection::open(bench.mesh.envoy.address(), Protocol::Http1).await.unwrap(), bench.get("s-3"));
    let the_same = call.clone();
    let waiting = tokio::spawn(async move { connection.send(&the_same).await.unwrap() });
    sleep(Duration::from_millis(100)).await;
    assert_eq!(bench.mesh.envoy.update(&revoking(3, "s-1")).await, Update::Applied);
    let reply = waiting.await.unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(bench.given(), *bench.sts.tokens().last().unwrap());
    // What a session has is gone with it: who is let in again has it had anew.
    bench.sts.straight();
    let count = bench.sts.endpoint.count();
    assert_eq!(bench.send(&call).await.status, 200);
    assert_eq!(bench.sts.endpoint.count(), count, "it is held");
    assert_eq!(bench.mesh.envoy.update(&revoking(4, "s-3")).await, Update::Applied);
    sleep(Duration::from_millis(700)).await;
    bench.denied(&call, "revoked").await;
    assert_eq!(bench.mesh.envoy.update(&revoking(5, "s-9")).await, Update::Applied);
    sleep(Duration::from_millis(700)).await;
    assert_eq!(bench.send(&call).await.status, 200);
    assert_eq!(bench.sts.endpoint.count(), count + 1);
    // Shortly before its end it is had anew.
    bench.sts.said.lock().unwrap().lives = 2;
    let call = bench.get("s-4");
    assert_eq!(bench.send(&call).await.status, 200);
    let count = bench.sts.endpoint.count();
    sleep(Duration::from_millis(2100)).await;
    assert_eq!(bench.send(&call).await.status, 200);
    assert_eq!(bench.sts.endpoint.count(), count + 1);
    bench.no_canaries(&[denied, reply]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_adds_to_a_request() {
    for proof in [Proof::Secret, Proof::Key] {
        let name = if proof == Proof::Secret { "exchange-time" } else { "exchange-time-key" };
        let mut bench = Bench::start(name, proof, |_| {}).await;
        // By the way the endpoint knows only assertions.
        let mut other = policy(&bench.scenario, &exchange(proof));
        other["generation"] = json!(2);
        other["upstream"]["credential"]["exchange"]["grant"] = json!("jwt_bearer");
        assert_eq!(bench.mesh.envoy.update(&other).await, Update::Applied);
        sleep(Duration::from_millis(500)).await;
        bench.proof = proof;
        let mut connection = Connection::open(bench.mesh.envoy.address(), Protocol::Http2).await.unwrap();
        let (mut first, mut later) = (Vec::new(), Vec::new());
        for session in 0..30 {
            let call = bench.get(&format!("s-{session}"));
            for round in 0..6 {
                let began = Instant::now();
                assert_eq!(connection.send(&call).await.unwrap().status, 200);
                if round == 0 { &mut first } else { &mut later }.push(began.elapsed());
            }
        }
        assert_eq!(bench.sts.endpoint.count(), 30);
        assert!(String::from_utf8_lossy(&bench.sts.endpoint.last().body).contains("jwt-bearer&assertion="));
        let median = |times: &mut Vec<Duration>| {
            times.sort_unstable();
            times[times.len() / 2]
        };
        println!("{name}: first {:?}, later {:?} (medians)", median(&mut first), median(&mut later));
    }
}
