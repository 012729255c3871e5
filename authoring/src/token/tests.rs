//! Tests of test keys: what they sign, jsonwebtoken verifies.

use super::*;
use jsonwebtoken::{DecodingKey, Validation, decode, jwk::Jwk};

fn verifies(key: &TestKey, token: &str) -> bool {
    let jwk: Jwk = serde_json::from_value(key.public_jwk()).unwrap();
    let mut rules = Validation::new(key.alg().into());
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    decode::<Value>(token, &DecodingKey::from_jwk(&jwk).unwrap(), &rules).is_ok()
}

fn of_kind(alg: Algorithm) -> TestKey {
    // One RSA key for its six algorithms: making one costs seconds.
    static RSA: std::sync::OnceLock<Value> = std::sync::OnceLock::new();
    if !alg.name().starts_with(['R', 'P']) {
        return TestKey::generate(alg).unwrap();
    }
    let mut jwk = RSA.get_or_init(|| TestKey::generate(Algorithm::Rs256).unwrap().private_jwk()).clone();
    jwk["alg"] = json!(alg.name());
    TestKey::from_jwk(&jwk).unwrap()
}

#[test]
fn every_algorithm_signs_what_its_public_half_verifies_and_no_other_key_does() {
    for alg in Algorithm::ALL {
        let key = of_kind(alg);
        let token = key.sign(json!({}), json!({"sub": "agent-7"}));
        assert!(verifies(&key, &token), "{alg}");
        let altered = token.replacen('.', ".e", 1);
        assert!(!verifies(&key, &altered), "{alg}");
        let again = TestKey::from_jwk(&key.private_jwk()).unwrap();
        assert_eq!(again.public_jwk(), key.public_jwk(), "{alg}");
        assert!(verifies(&key, &again.sign(json!({}), json!({}))), "{alg}");
    }
    assert!(!verifies(&of_kind(Algorithm::Es256), &of_kind(Algorithm::Es256).sign(json!({}), json!({}))));
}

#[test]
fn the_thumbprint_is_the_one_of_rfc_8037() {
    // RFC 8037 Appendix A.1 and A.3.
    let key = TestKey::from_jwk(&json!({
        "kty": "OKP", "crv": "Ed25519",
        "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    }))
    .unwrap();
    assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    // Appendix A.4.
    let token = key.sign_raw(br#"{"alg":"EdDSA"}"#, b"Example of Ed25519 signing");
    assert!(token.ends_with(".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"));
}

#[test]
fn a_header_is_overlaid_and_null_removes() {
    let key = of_kind(Algorithm::Es256);
    let token = key.sign(json!({"kid": null, "typ": "at+jwt", "crit": ["x"]}), json!({}));
    let seen = inspect::inspect(&token).unwrap();
    assert_eq!(seen.header, json!({"alg": "ES256", "typ": "at+jwt", "crit": ["x"]}));
}

#[test]
fn a_key_that_cannot_sign_is_refused_with_its_reason() {
    let whole = of_kind(Algorithm::Es256).private_jwk();
    let without = |name: &str| {
        let mut jwk = whole.clone();
        jwk.as_object_mut().unwrap().remove(name);
        TestKey::from_jwk(&jwk).unwrap_err()
    };
    assert_eq!(without("d"), KeyError::PublicOnly);
    assert_eq!(without("kty"), KeyError::Member("kty"));
    assert_eq!(without("crv"), KeyError::UnknownKind);
    let mut swapped = whole.clone();
    swapped["x"] = of_kind(Algorithm::Es256).public_jwk()["x"].clone();
    assert_eq!(TestKey::from_jwk(&swapped).unwrap_err(), KeyError::Invalid);
    assert_eq!(TestKey::from_jwk(&json!({"kty": "oct", "k": "AA", "d": "AA"})).unwrap_err(), KeyError::UnknownKind);
}

#[test]
fn debug_shows_no_key() {
    let key = of_kind(Algorithm::Es256);
    let shown = format!("{key:?}");
    assert!(shown.contains(key.kid()));
    assert!(!shown.contains(key.private_jwk()["d"].as_str().unwrap()), "{shown}");
}

#[test]
fn times_are_told_in_words() {
    let key = of_kind(Algorithm::EdDsa);
    let token = key.sign(json!({}), json!({"iat": 1000, "exp": 1600, "nbf": 1000, "auth_time": "x"}));
    let seen = inspect::inspect(&format!("Bearer {token}\n")).unwrap();
    let at = |second| jiff::Timestamp::from_second(second).unwrap();
    let texts: Vec<String> = seen.times(at(1010)).into_iter().map(|(name, text)| format!("{name} {text}")).collect();
    assert_eq!(
        texts,
        [
            "iat 1970-01-01T00:16:40Z, issued 10s ago",
            "nbf 1970-01-01T00:16:40Z, took effect 10s ago",
            "exp 1970-01-01T00:26:40Z, expires in 9m 50s",
            "auth_time \"x\", which is no whole number of Unix seconds: the filter refuses it",
        ]
    );
    assert_eq!(seen.expired(at(1599)), Some(false));
    assert_eq!(seen.expired(at(1600)), Some(true));
}

#[test]
fn what_is_no_token_says_why() {
    assert_eq!(inspect::inspect("a.b").unwrap_err(), inspect::NotAToken::Parts(2));
    assert_eq!(inspect::inspect("e30.e31.x").unwrap_err(), inspect::NotAToken::Base64("payload"));
    assert_eq!(inspect::inspect("e30.W10.x").unwrap_err(), inspect::NotAToken::Json("payload"));
}
