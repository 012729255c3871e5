//! A policy, tokens whose signature is a mark, and one request: enough to ask the core anything without cryptography.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

pub mod fetching;
pub mod proxy;

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaperone_policy::{
    Context, Decision, Edits, End, Exchange, Head, Peer, Policy, Secret, Source, Timestamp, VerificationKey, VerifySignature,
    Worker,
};
use serde_json::{Value, json};

/// 2026-11-23T10:00:00Z.
pub const NOW: u64 = 1_795_428_000;

/// The public key of RFC 7515, appendix A.3.
pub fn jwk() -> Value {
    json!({"kty": "EC", "crv": "P-256", "kid": "k1",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})
}

/// A policy like the one in the design, as far as this version goes.
pub fn document() -> Value {
    json!({
        "version": 1,
        "name": "orders",
        "tokens": {"issuers": [{
            "issuer": "https://broker.example", "audiences": ["orders"], "algorithms": ["ES256"],
            "keys": {"jwks": {"keys": [jwk()]}},
        }]},
        "session": {"max_lifetime": "15m"},
        "commands": {
            "health": {"http": {"methods": ["GET"], "path": "/healthz"}},
            "orders.list": {"http": {"methods": ["GET", "HEAD"], "path": "/v1/orders"}},
            "orders.read": {"http": {"methods": ["GET"], "path": "/v1/orders/{id}"}},
            "orders.cancel": {"http": {"methods": ["POST"], "path": "/v1/orders/{id}/cancel"}},
            "users.get": {"grpc": {"service": "users.v1.Users", "methods": ["Get"]}},
        },
        "unmediated": ["health"],
        "grants": [{"name": "agents", "when": {"subject": "agent-*"}, "allow": ["orders.list", "orders.read", "users.get"]}],
    })
}

/// The document with one member replaced, by JSON pointer (the parent must exist).
pub fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    document.pointer_mut(parent).unwrap()[name] = value;
    document
}

pub fn compile(document: &Value) -> Rc<Policy> {
    Rc::new(Policy::compile(document.to_string().as_bytes()).unwrap_or_else(|errors| panic!("{errors}")))
}

pub fn claims() -> Value {
    json!({"iss": "https://broker.example", "aud": "orders", "sub": "agent-7", "sid": "s-1", "iat": NOW, "exp": NOW + 600})
}

pub fn token_of(header: &Value, claims: &Value, mark: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    // About as long as one of ES256, and two end alike only where the same is signed, as real ones do.
    let mut hash = DefaultHasher::new();
    signed.hash(&mut hash);
    let end = hash.finish().to_be_bytes().repeat(8);
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode([mark.as_bytes(), &end].concat()))
}

pub fn token(claims: &Value) -> String {
    token_of(&json!({"alg": "ES256", "kid": "k1"}), claims, "good")
}

/// Takes the mark `good`, and the end of what [`token_of`] makes, for a signature.
pub struct Marked;

impl VerifySignature for Marked {
    fn verify(&self, _: &VerificationKey, _: &[u8], signature: &[u8]) -> bool {
        signature.len() == 68 && signature.starts_with(b"good")
    }
}

/// What a decision goes by at this instant, when this is the newest policy.
pub fn context(newest: &Rc<Policy>, now: Timestamp) -> Context<'_> {
    Context { now, newest, verifier: &Marked }
}

pub fn worker() -> Worker {
    Worker::new([7; 16], [9; 32], BTreeMap::from([("ORDERS_TOKEN".to_owned(), Secret::new("upstream-secret".to_owned()))]))
}

/// Status, fields and body of a denial.
pub type Denied = (u16, Vec<(String, String)>, String);

/// What became of a request.
#[derive(Debug)]
pub struct Answer {
    /// `None` when it was forwarded without a reservation.
    pub reason: Option<String>,
    pub forwarded: Option<Edits>,
    pub denied: Option<Denied>,
    pub record: Value,
}

impl Answer {
    pub fn code(&self) -> &str {
        self.reason.as_deref().unwrap_or("allowed")
    }

    pub fn set(&self, name: &str) -> Option<String> {
        let edits = self.forwarded.as_ref().expect("forwarded");
        let found = edits.set().find(|(set, _)| *set == name.as_bytes());
        found.map(|(_, value)| String::from_utf8(value.to_vec()).unwrap())
    }

    pub fn removes(&self, name: &str) -> bool {
        self.forwarded.as_ref().expect("forwarded").removed().any(|removed| removed == name.as_bytes())
    }
}

/// The head of `METHOD path` with extra fields; `:authority` is orders.example unless given.
pub fn head(method: &str, path: &str, extra: &[(&str, &str)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut fields = vec![(":method", method), (":path", path), (":scheme", "https")];
    if !extra.iter().any(|(name, _)| *name == ":authority") {
        fields.push((":authority", "orders.example"));
    }
    fields.extend_from_slice(extra);
    fields.into_iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

pub fn ask(policy: &Rc<Policy>, worker: &mut Worker, at: u64, fields: &[(Vec<u8>, Vec<u8>)]) -> Answer {
    ask_from(policy, worker, at, fields, None)
}

/// The same from a connection with this certificate.
pub fn ask_from(
    policy: &Rc<Policy>,
    worker: &mut Worker,
    at: u64,
    fields: &[(Vec<u8>, Vec<u8>)],
    peer: Option<Peer<'_>>,
) -> Answer {
    let fields: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let mut exchange = Exchange::begin(Rc::clone(policy));
    let decision = exchange.request(
        &Head { headers: &fields, source: Source::Told(b"10.0.0.7:4711"), peer, ..Head::default() },
        worker,
        &context(policy, Timestamp::from_seconds(at)),
    );
    let reason = exchange.reason().map(|reason| reason.code().to_owned());
    let record = exchange.record(&End { response_code: Some(200), ..End::default() }).expect("judged");
    let record = serde_json::from_str(&record).unwrap();
    match decision {
        Decision::Forward(permit) => Answer { reason, forwarded: Some(permit.edits().clone()), denied: None, record },
        Decision::Hold(need) => panic!("it waits for {need:?}"),
        Decision::Refuse(denial) => {
            assert_eq!(reason.as_deref(), Some(denial.reason().code()));
            let response = denial.response();
            let denied = (response.status, response.headers.clone(), String::from_utf8_lossy(&response.body).into_owned());
            Answer { reason, forwarded: None, denied: Some(denied), record }
        }
    }
}

/// Asks once, with a token as bearer, in a fresh worker at [`NOW`].
pub fn get(policy: &Rc<Policy>, path: &str, token: &str) -> Answer {
    ask(policy, &mut worker(), NOW, &head("GET", path, &[("authorization", &format!("Bearer {token}"))]))
}
