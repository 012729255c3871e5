//! The clients that the projects of Connect, gRPC-Web and gRPC publish, with a real Envoy between them and a server: what is allowed goes
//! through, what is denied is an error with the right code in each library's own terms, and no denial ends a conversation.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    peers::{
        Front, Server, policy,
        rpc::{self, Call, Conversation},
    },
    scenario::{Scenario, now},
    wiring::{IN_HTTP2, ROUTER, TO_GRPC},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Until the calls of all clients have come to the server.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client.
#[derive(Debug, Clone, Copy)]
struct Client {
    /// As `clients.js` calls it: the library, the version of HTTP where that is a choice, and what else of its options is not the default.
    name: &'static str,
    /// The form in which it speaks, by its word in a policy.
    form: &'static str,
    /// Envoy's word for the version of HTTP.
    http: &'static str,
    /// The code that it shows for a stream that is cut, of which Envoy tells no more than that it is reset: over HTTP/1.1 that the
    /// connection is closed.
    cut: &'static str,
}

const fn client(name: &'static str, form: &'static str, http: &'static str, cut: &'static str) -> Client {
    Client { name, form, http, cut }
}

const CLIENTS: [Client; 20] = [
    client("connect-node 1", "connect", "HTTP/1.1", "aborted"),
    client("connect-node 1 json", "connect", "HTTP/1.1", "aborted"),
    client("connect-node 1 get", "connect_get", "HTTP/1.1", "aborted"),
    client("connect-node 1 json get gzip", "connect_get", "HTTP/1.1", "aborted"),
    client("connect-node 2", "connect", "HTTP/2", "internal"),
    client("connect-node 2 json gzip", "connect", "HTTP/2", "internal"),
    client("connect-node 2 get", "connect_get", "HTTP/2", "internal"),
    client("connect-web", "connect", "HTTP/1.1", "unknown"),
    client("connect-web json", "connect", "HTTP/1.1", "unknown"),
    client("connect-web get", "connect_get", "HTTP/1.1", "unknown"),
    client("connect-web json get", "connect_get", "HTTP/1.1", "unknown"),
    client("grpc-web-node 1", "grpc_web", "HTTP/1.1", "aborted"),
    client("grpc-web-node 2 json", "grpc_web", "HTTP/2", "internal"),
    client("grpc-web-fetch", "grpc_web", "HTTP/1.1", "unknown"),
    client("grpc-web-fetch json", "grpc_web", "HTTP/1.1", "unknown"),
    client("google", "grpc_web", "HTTP/1.1", "unknown"),
    client("google text", "grpc_web_text", "HTTP/1.1", "unknown"),
    client("grpc-node 2", "grpc", "HTTP/2", "internal"),
    client("grpc-node 2 json gzip", "grpc", "HTTP/2", "internal"),
    client("grpc-js", "grpc", "HTTP/2", "internal"),
];

impl Client {
    fn is(self, word: &str) -> bool {
        self.name.split(' ').any(|one| one == word)
    }

    /// Can it send a stream beside one that it gets? The server asks for HTTP/2 there, and `fetch` and XMLHttpRequest have no such thing.
    fn can_talk(self) -> bool {
        self.http == "HTTP/2"
    }

    /// Does it show the messages of a stream as they come? Google's does so in text alone.
    fn sees_messages_early(self) -> bool {
        self.name != "google"
    }

    fn session(self) -> String {
        self.name.replace(' ', "-")
    }

    /// A denial in its terms. Google's error has no fields of an answer whose status is in its body.
    fn denied(self, code: &str, message: &str) -> Value {
        json!({"code": code, "message": message, "audit": !self.is("google")})
    }
}

/// Each form with the method that is called in it alone.
const FORMS: [(&str, &str); 5] = [
    ("grpc", "InGrpc"),
    ("grpc_web", "InGrpcWeb"),
    ("grpc_web_text", "InGrpcWebText"),
    ("connect", "InConnect"),
    ("connect_get", "InConnectGet"),
];

/// All but `users.write` is granted.
fn rules(scenario: &Scenario) -> Value {
    let all = FORMS.map(|(form, _)| form);
    let of =
        |methods: &[&str], forms: &[&str]| json!({"grpc": {"service": "users.v1.Users", "methods": methods, "forms": forms}});
    let mut commands = json!({
        "users.read": of(&["Get", "Wait", "List", "Watch", "Talk"], &all),
        "users.write": of(&["Delete", "Spy", "Shout"], &all),
    });
    for (form, method) in FORMS {
        commands[format!("users.in_{form}")] = of(&[method], &[form]);
    }
    let mut policy = policy(scenario, &commands);
    policy["grants"][0]["allow"].as_array_mut().unwrap().retain(|name| name != "users.write");
    policy["revoked"] = json!([{"session": "revoked"}]);
    policy
}

/// An Envoy before a server, and the clients that it is for.
struct Scene {
    scenario: Scenario,
    policy: Value,
    server: Server,
    front: Front,
    clients: Vec<Client>,
}

impl Scene {
    async fn start(name: &str, flags: &[&str], settings: &[(&str, &str)], clients: Vec<Client>) -> Self {
        let scenario = Scenario::new().unhurried();
        let policy = rules(&scenario);
        let server = rpc::server(&format!("{name}-server"), flags).await;
        let front = Front::start(name, &policy, &server, settings).await;
        Self { scenario, policy, server, front, clients }
    }

    fn url(&self) -> String {
        format!("http://{}", self.front.envoy.address())
    }

    fn token(&self, client: Client) -> String {
        self.scenario.token(&client.session())
    }

    /// Allowed calls and denials in turn, by the same client over the same connection.
    async fn converse(&self) {
        const MISSING: &str = "token_missing: A session token is required";
        const NOT_GRANTED: &str = "command_not_granted: The command is not granted to this session";
        let expired = self.scenario.token_with("late", json!({"iat": now() - 1000, "exp": now() - 500}));
        let (forged, revoked) = (self.scenario.forged("forged"), self.scenario.token("revoked"));
        let tokens: Vec<String> = self.clients.iter().map(|client| self.token(*client)).collect();
        let mut calls = BTreeMap::new();
        for (client, token) in self.clients.iter().zip(&tokens) {
            let mut own: Vec<Call<'_>> = vec![
                ("get", "get", token),
                ("without a token", "get", ""),
                ("expired", "get", &expired),
                ("forged", "get", &forged),
                ("revoked", "get", &revoked),
                ("not granted", "delete", token),
                ("list", "list", token),
                ("list without a token", "list", ""),
                ("list not granted", "spy", token),
                ("grpc", "inGrpc", token),
                ("grpc_web", "inGrpcWeb", token),
                ("grpc_web_text", "inGrpcWebText", token),
                ("connect", "inConnect", token),
                ("connect_get", "inConnectGet", token),
            ];
            if client.can_talk() {
                own.extend([("talk", "talk", token.as_str()), ("talk not granted", "shout", token)]);
            }
            own.push(("get again", "get", token));
            calls.insert(client.name, own);
        }
        let report = Conversation::start(&self.url(), &calls).report().await;
        for client in &self.clients {
            let unauthenticated = |message| client.denied("unauthenticated", message);
            let not_granted = client.denied("permission_denied", NOT_GRANTED);
            let mut wanted = json!({
                "get": {"ok": "user 7"},
                "without a token": unauthenticated(MISSING),
                "expired": unauthenticated("expired: The session token has expired"),
                "forged": unauthenticated("token_rejected: The session token was rejected"),
                "revoked": unauthenticated("revoked: The session has been revoked"),
                "not granted": not_granted,
                "list": {"ok": ["7 1", "7 2", "7 3"]},
                "list without a token": unauthenticated(MISSING),
                "list not granted": not_granted,
                "get again": {"ok": "user 7"},
            });
            for (form, method) in FORMS {
                wanted[form] = if form == client.form {
                    json!({"ok": format!("{method} 7")})
                } else {
                    client.denied("permission_denied", "unknown_command: The request is not a known command")
                };
            }
            if client.can_talk() {
                wanted["talk"] = json!({"ok": ["heard one", "heard two"]});
                wanted["talk not granted"] = not_granted;
            }
            assert_eq!(report[client.name], wanted, "{}, of which the server said:\n{}", client.name, self.server.log());
            let session = client.session();
            let of_it = |record: &Value| record["actor"]["session"]["uid"] == session.as_str();
            let entry = self.front.log.wait_for(&session, |entry| of_it(&entry.record)).await;
            assert_eq!(entry.line["protocol"], client.http, "{}", client.name);
        }
    }

    /// Sessions that are revoked while a call waits for its answer, and while a stream is open.
    async fn revoke(&self) {
        let tokens: Vec<String> = self.clients.iter().map(|client| self.token(*client)).collect();
        let with = |steps: &[(&'static str, &'static str)]| {
            let each = self.clients.iter().zip(&tokens);
            let own = |token| steps.iter().map(|(step, method)| (*step, *method, token)).collect();
            each.map(|(client, token)| (client.name, own(token.as_str()))).collect::<BTreeMap<_, Vec<Call<'_>>>>()
        };
        let waiting = Conversation::start(&self.url(), &with(&[("wait", "wait")]));
        let mut open = Conversation::start(&self.url(), &with(&[("watch", "watch"), ("get", "get")]));
        open.opened(self.clients.iter().filter(|client| client.sees_messages_early()).count()).await;
        let deadline = Instant::now() + PATIENCE;
        while self.server.log().matches("waiting\n").count() < self.clients.len() {
            assert!(Instant::now() < deadline, "not all calls have come to the server:\n{}", self.server.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut policy = self.policy.clone();
        policy["generation"] = json!(2);
        policy["revoked"] = self.clients.iter().map(|client| json!({"session": client.session()})).collect();
        self.front.envoy.write_ecds(&policy);
        let (waiting, open) = (waiting.report().await, open.report().await);
        for client in &self.clients {
            let revoked = client.denied("unauthenticated", "revoked: The session has been revoked");
            let mut answered = revoked.clone();
            // What had been let through is told in base64 among the fields, and those Google's error has.
            answered["audit"] = json!(!client.is("google") || client.is("text"));
            assert_eq!(waiting[client.name]["wait"], answered, "{}: {waiting:#}", client.name);
            assert_eq!(open[client.name]["watch"]["code"], client.cut, "{}: {open:#}", client.name);
            assert_eq!(open[client.name]["get"], revoked, "the next call says why: {}", client.name);
        }
        assert_eq!(self.front.envoy.traps(), 0);
    }
}

/// In the shipped wiring. That server does not speak gRPC-Web in base64.
#[tokio::test(flavor = "multi_thread")]
async fn before_a_server_of_all_forms() {
    let clients = CLIENTS.into_iter().filter(|client| client.form != "grpc_web_text").collect();
    let scene = Scene::start("rpc-forms", &[], &[], clients).await;
    scene.converse().await;
    scene.revoke().await;
}

/// Behind the filter Envoy's own make gRPC of what was judged. They do not know JSON in gRPC-Web.
#[tokio::test(flavor = "multi_thread")]
async fn before_a_server_of_grpc_alone() {
    let filters = format!("{TO_GRPC}{ROUTER}");
    let clients = CLIENTS.into_iter().filter(|client| client.form != "grpc_web" || !client.is("json")).collect();
    let scene = Scene::start("rpc-grpc", &["--grpc"], &[(ROUTER, filters.as_str()), IN_HTTP2], clients).await;
    scene.converse().await;
    scene.revoke().await;
}
