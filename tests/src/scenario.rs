//! The policy of the end-to-end tests and the tokens for it: one issuer, two agents' grants, HTTP and gRPC commands.

use chaperone_authoring::token::TestKey;
use chaperone_policy::Algorithm;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// The environment variable of the upstream's credential, and its value here.
pub const CREDENTIAL: (&str, &str) = ("ORDERS_TOKEN", "the-credential-of-orders");

/// A policy and the key that signs for it.
pub struct Scenario {
    key: TestKey,
    policy: Value,
}

impl Default for Scenario {
    fn default() -> Self {
        Self::new()
    }
}

impl Scenario {
    /// A fresh key and its policy.
    ///
    /// # Panics
    /// When there is no randomness.
    #[must_use]
    pub fn new() -> Self {
        let key = TestKey::generate(Algorithm::Es256).expect("randomness");
        let policy = json!({
            "version": 1,
            "name": "orders",
            "generation": 1,
            "tokens": {"issuers": [{
                "issuer": "https://broker.example",
                "audiences": ["orders"],
                "algorithms": ["ES256"],
                "keys": {"jwks": {"keys": [key.public_jwk()]}},
            }]},
            "session": {"max_lifetime": "15m"},
            "commands": {
                "health": {"http": {"methods": ["GET"], "path": "/healthz"}},
                "orders.list": {"http": {"methods": ["GET", "HEAD"], "path": "/v1/orders", "hosts": ["orders.example"]}},
                "orders.read": {"http": {"methods": ["GET"], "path": "/v1/orders/{id}", "permit": ["encoded_slash"]}},
                "orders.create": {"http": {"methods": ["POST"], "path": "/v1/orders"}},
                "orders.delete": {"http": {"methods": ["DELETE"], "path": "/v1/orders/{id}"}},
                "feed": {"http": {"methods": ["GET"], "path": "/v1/feed"}},
                "chat": {"http": {"methods": ["GET"], "path": "/v1/chat", "upgrade": true}},
                "users.get": {"grpc": {"service": "users.v1.Users", "methods": ["Get"]}},
                "users.delete": {"grpc": {"service": "users.v1.Users", "methods": ["Delete"]}},
            },
            "unmediated": ["health"],
            "grants": [
                {"name": "agents", "when": {"subject": "agent-*"},
                 "allow": ["orders.list", "orders.read", "orders.create", "feed", "chat", "users.get"]},
            ],
            "upstream": {"credential": {"header": "authorization", "value": format!("Bearer ${{env:{}}}", CREDENTIAL.0)}},
        });
        Self { key, policy }
    }

    /// The same without a bound on signature checks, for tests that make more forgeries a second than one address may bring.
    #[must_use]
    pub fn unhurried(mut self) -> Self {
        self.policy["limits"] = json!({"verifications_per_second": 100_000});
        self
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> Value {
        self.policy.clone()
    }

    /// The policy of another generation, with these entries revoked.
    #[must_use]
    pub fn revoking(&self, generation: u64, revoked: &Value) -> Value {
        let mut policy = self.policy();
        policy["generation"] = json!(generation);
        policy["revoked"] = revoked.clone();
        policy
    }

    /// A good token of a session of agent-7: issued now, for five minutes.
    #[must_use]
    pub fn token(&self, session: &str) -> String {
        self.token_with(session, json!({}))
    }

    /// The same with other claims over it; `null` takes one away.
    #[must_use]
    pub fn token_with(&self, session: &str, claims: Value) -> String {
        self.key.sign(json!({}), self.claims(session, claims))
    }

    /// A token with the same words, signed by somebody else under the same key id.
    ///
    /// # Panics
    /// When there is no randomness.
    #[must_use]
    pub fn forged(&self, session: &str) -> String {
        let stranger = TestKey::generate(Algorithm::Es256).expect("randomness");
        stranger.sign(json!({"kid": self.key.kid()}), self.claims(session, json!({})))
    }

    /// The claims of a good token as JSON text, for tests that bend them by hand.
    #[must_use]
    pub fn claims_text(&self, session: &str) -> String {
        self.claims(session, json!({})).to_string()
    }

    /// The key's id.
    #[must_use]
    pub fn key_id(&self) -> &str {
        self.key.kid()
    }

    /// The key itself, for a process that signs with it.
    #[must_use]
    pub fn private_jwk(&self) -> Value {
        self.key.private_jwk()
    }

    /// Signs exactly these bytes.
    #[must_use]
    pub fn signed(&self, header: &[u8], claims: &[u8]) -> String {
        self.key.sign_raw(header, claims)
    }

    fn claims(&self, session: &str, over: Value) -> Value {
        let now = now();
        let mut claims = json!({
            "iss": "https://broker.example", "aud": "orders", "sub": "agent-7", "sid": session,
            "iat": now, "exp": now + 300,
        });
        let Value::Object(over) = over else { panic!("claims are an object") };
        let members = claims.as_object_mut().expect("an object");
        for (name, value) in over {
            if value.is_null() {
                members.remove(&name);
            } else {
                members.insert(name, value);
            }
        }
        claims
    }
}

/// Now, in Unix seconds, as the real Envoy sees it.
///
/// # Panics
/// When the clock stands before 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}
