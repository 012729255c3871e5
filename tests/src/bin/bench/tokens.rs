//! The keys, the policy and the tokens: all of them minted before anything is measured.

use chaperone_authoring::token::{TestKey, jwks};
use chaperone_policy::Algorithm;
use chaperone_tests::{root, scenario::now};
use policy_host::files;
use serde_json::{Value, json};

/// The policy that everything is measured with, from the workspace's root.
const POLICY: &str = "examples/agent-orders/policy.yaml";
/// Seconds that a token lives: longer than a run takes, and no longer than the policy's `max_lifetime`.
const LIFETIME: u64 = 15 * 60;

/// One key an algorithm; the policy and `jwt_authn` know both.
pub(crate) struct Keys {
    es256: TestKey,
    rs256: TestKey,
    policy: Value,
}

impl Keys {
    /// New keys, put into the example's policy.
    pub(crate) fn generate() -> Self {
        let document = files::policy(&root().join(POLICY)).expect("the first example is a valid document");
        let mut policy = document.value().clone();
        let key = |alg| TestKey::generate(alg).expect("randomness");
        let (es256, rs256) = (key(Algorithm::Es256), key(Algorithm::Rs256));
        let issuer = &mut policy["tokens"]["issuers"][0];
        issuer["algorithms"] = json!(["ES256", "RS256"]);
        issuer["keys"]["jwks"] = jwks([&es256, &rs256]);
        // The default paces a flood of new tokens, and a flood of new tokens is what the cold variants are.
        policy["limits"] = json!({"verifications_per_second": 100_000});
        Self { es256, rs256, policy }
    }

    pub(crate) fn policy(&self) -> String {
        self.policy.to_string()
    }

    /// The same with this `audit`.
    pub(crate) fn policy_with(&self, audit: &Value) -> String {
        let mut policy = self.policy.clone();
        policy["audit"] = audit.clone();
        policy.to_string()
    }

    /// The same issuer and grants with one tool of an MCP server as the only command.
    pub(crate) fn mcp_policy(&self) -> String {
        let mut policy = self.policy.clone();
        policy["commands"] = json!({"orders.search": {"mcp": {"path": "/mcp", "tools": ["search"]}}});
        policy["grants"] = json!([{"name": "agents-search", "when": {"subject": "agent-*"}, "allow": ["orders.search"]}]);
        policy.as_object_mut().expect("a policy").remove("unmediated");
        policy.to_string()
    }

    pub(crate) fn jwks(&self) -> Value {
        self.policy["tokens"]["issuers"][0]["keys"]["jwks"].clone()
    }

    pub(crate) fn issuer(&self) -> &str {
        self.policy["tokens"]["issuers"][0]["issuer"].as_str().expect("the example names its issuer")
    }

    pub(crate) fn audience(&self) -> &str {
        self.policy["tokens"]["issuers"][0]["audiences"][0].as_str().expect("the example names its audience")
    }

    /// Tokens of as many sessions, on two threads: an RSA signature takes a millisecond or more.
    pub(crate) fn mint(&self, alg: Algorithm, count: usize) -> Vec<String> {
        let half = count / 2;
        std::thread::scope(|scope| {
            let first = scope.spawn(|| self.batch(alg, 0..half));
            let mut tokens = self.batch(alg, half..count);
            tokens.extend(first.join().expect("minting does not fail"));
            tokens
        })
    }

    fn batch(&self, alg: Algorithm, numbers: std::ops::Range<usize>) -> Vec<String> {
        let key = if alg == Algorithm::Rs256 { &self.rs256 } else { &self.es256 };
        let now = now();
        let sign = |number| {
            let claims = json!({
                "iss": self.issuer(), "aud": self.audience(), "sub": "agent-7", "sid": format!("s-{number:08}"),
                "jti": format!("t-{number:08}"), "commands": ["orders.*"], "iat": now, "exp": now + LIFETIME,
            });
            key.sign(json!({}), claims)
        };
        numbers.map(sign).collect()
    }
}
