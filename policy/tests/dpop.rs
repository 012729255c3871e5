//! DPoP (RFC 9449): each part of a proof broken singly denies, a good one passes once, and nothing of it goes upstream.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaperone_policy::{Policy, Worker, limits};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use support::{Answer, NOW, claims, compile, document, head, jwk, token, token_of, with, worker};

/// RFC 7638 §3, of the caller's key, which is that of RFC 7515, appendix A.3.
fn thumbprint() -> String {
    let key = jwk();
    let text = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, key["x"], key["y"]);
    URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}

fn dpop() -> Value {
    let from = with(document(), "/tokens/from", json!([{"header": "authorization", "scheme": "DPoP"}]));
    with(with(from, "/session/bind", json!(["dpop"])), "/session/dpop", json!({"origins": ["https://orders.example"]}))
}

fn bound() -> String {
    let mut claims = claims();
    claims["cnf"] = json!({"jkt": thumbprint()});
    token(&claims)
}

/// A proof's header and claims, for `GET /v1/orders` with this token.
fn parts(token: &str) -> (Value, Value) {
    let mut key = jwk();
    key.as_object_mut().unwrap().remove("kid");
    let ath = URL_SAFE_NO_PAD.encode(Sha256::digest(token));
    (
        json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": key}),
        json!({"jti": "p-1", "htm": "GET", "htu": "https://orders.example/v1/orders", "iat": NOW, "ath": ath}),
    )
}

fn proof(token: &str, change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let (mut header, mut claims) = parts(token);
    change(&mut header, &mut claims);
    token_of(&header, &claims, "good")
}

fn ask(policy: &Rc<Policy>, worker: &mut Worker, at: u64, token: &str, proofs: &[&str]) -> Answer {
    ask_as(policy, worker, at, "DPoP", token, proofs)
}

fn ask_as(policy: &Rc<Policy>, worker: &mut Worker, at: u64, scheme: &str, token: &str, proofs: &[&str]) -> Answer {
    let authorization = format!("{scheme} {token}");
    let mut fields = vec![("authorization", authorization.as_str())];
    fields.extend(proofs.iter().map(|proof| ("DPoP", *proof)));
    support::ask(policy, worker, at, &head("GET", "/v1/orders", &fields))
}

/// What becomes of a request with one proof, in a fresh worker.
fn code(proof: &str) -> String {
    ask(&compile(&dpop()), &mut worker(), NOW, &bound(), &[proof]).code().to_owned()
}

#[test]
fn a_good_proof_passes_once_and_is_taken_off() {
    let (policy, token, mut worker) = (compile(&dpop()), bound(), worker());
    let one = proof(&token, |_, _| {});
    let answer = ask(&policy, &mut worker, NOW, &token, &[&one]);
    assert_eq!(answer.code(), "allowed");
    assert!(answer.removes("DPoP") && answer.removes("authorization"));
    assert_eq!(answer.record["unmapped"]["binding"], "dpop");
    assert_eq!(ask(&policy, &mut worker, NOW, &token, &[&one]).code(), "binding_mismatch", "replayed");
    assert_eq!(ask(&policy, &mut worker, NOW, &token, &[]).code(), "binding_mismatch", "the token alone");
    let another = proof(&token, |_, claims| claims["jti"] = json!("p-2"));
    assert_eq!(ask(&policy, &mut worker, NOW, &token, &[&another]).code(), "allowed");
    assert_eq!(
        ask(&policy, &mut worker, NOW, &token, &[&another]).code(),
        "binding_mismatch",
        "replayed, with a token that is kept"
    );
    // Another policy, as far as it goes, remembers.
    let next = compile(&with(dpop(), "/session/clock_skew", json!("5m")));
    assert_eq!(ask(&next, &mut worker, NOW, &token, &[&one]).code(), "binding_mismatch");
    // What passes as `cnf` is checked as `cnf`: the proof is of no use with another token.
    let mut other = claims();
    other["sid"] = json!("s-2");
    other["cnf"] = json!({"jkt": thumbprint()});
    let fresh = proof(&token, |_, claims| claims["jti"] = json!("p-3"));
    assert_eq!(ask(&policy, &mut worker, NOW, &support::token(&other), &[&fresh]).code(), "binding_mismatch");
    assert_eq!(ask(&policy, &mut worker, NOW, &token, &[&fresh]).code(), "allowed", "and was not used up by that");
}

#[test]
fn each_part_of_a_proof_counts() {
    let token = bound();
    let broken = |change: &dyn Fn(&mut Value, &mut Value)| code(&proof(&token, |header, claims| change(header, claims)));
    assert_eq!(broken(&|_, _| {}), "allowed");
    for typ in [json!(null), json!("JWT"), json!("dpop"), json!("at+jwt")] {
        assert_eq!(broken(&|header, _| header["typ"] = typ.clone()), "binding_mismatch", "{typ}");
    }
    for alg in ["none", "HS256", "ES384", "RS256", "EdDSA", "es256"] {
        assert_eq!(broken(&|header, _| header["alg"] = json!(alg)), "binding_mismatch", "{alg}");
    }
    assert_eq!(broken(&|header, _| header["crit"] = json!(["exp"])), "binding_mismatch");
    for (member, value) in
        [("d", json!("AA")), ("use", json!("enc")), ("key_ops", json!(["sign"])), ("alg", json!("ES384")), ("k", json!("AA"))]
    {
        assert_eq!(broken(&|header, _| header["jwk"][member] = value.clone()), "binding_mismatch", "{member}");
    }
    for (member, value) in
        [("use", json!("sig")), ("key_ops", json!(["verify"])), ("alg", json!("ES256")), ("kid", json!("mine"))]
    {
        assert_eq!(broken(&|header, _| header["jwk"][member] = value.clone()), "allowed", "{member}");
    }
    for jwk in [json!(null), json!("x"), json!({}), json!({"kty": "oct", "k": "AA"})] {
        assert_eq!(broken(&|header, _| header["jwk"] = jwk.clone()), "binding_mismatch", "{jwk}");
    }
    // Another key of its own, RFC 7517, appendix A.1.
    let other = json!({"kty": "EC", "crv": "P-256",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"});
    assert_eq!(broken(&|header, _| header["jwk"] = other.clone()), "binding_mismatch");
    let half_after = |seconds: u64| serde_json::from_str::<Value>(&format!("{seconds}.5")).unwrap();
    for (name, values) in [
        ("htm", vec![json!("POST"), json!("get"), json!(""), json!(7)]),
        (
            "htu",
            vec![
                json!("https://orders.example/v1/orders/7"),
                json!("https://evil.example/v1/orders"),
                json!("/v1/orders"),
                json!(null),
            ],
        ),
        ("ath", vec![json!(""), json!("AAAA"), json!(null)]),
        ("jti", vec![json!(""), json!(7), json!(null), json!("j".repeat(257))]),
        (
            "iat",
            vec![
                json!(NOW - 61),
                half_after(NOW - 61),
                json!(NOW + 1),
                half_after(NOW),
                json!(NOW.to_string()),
                json!(null),
                json!(-1),
                json!(u64::MAX),
            ],
        ),
    ] {
        for value in values {
            assert_eq!(broken(&|_, claims| claims[name] = value.clone()), "binding_mismatch", "{name} {value}");
        }
        let without = |_: &mut Value, claims: &mut Value| drop(claims.as_object_mut().unwrap().remove(name));
        assert_eq!(broken(&without), "binding_mismatch", "{name}");
    }
    assert_eq!(broken(&|_, claims| claims["htu"] = json!("HTTPS://orders.example:443/v1/%6Frders?x#y")), "allowed");
    assert_eq!(broken(&|_, claims| claims["iat"] = json!(NOW - 60)), "allowed");
    let (header, claims) = parts(&token);
    assert_eq!(code(&token_of(&header, &claims, "forged")), "binding_mismatch");
    assert_eq!(code(&format!("{}=", proof(&token, |_, _| {}))), "binding_mismatch");
    assert_eq!(code(""), "binding_mismatch");
    assert_eq!(broken(&|_, claims| claims["x"] = json!("x".repeat(limits::DPOP_PROOF_BYTES))), "binding_mismatch");
}

#[test]
fn one_proof_comes_with_one_token_of_the_scheme() {
    let (policy, token) = (compile(&dpop()), bound());
    let (one, two) = (proof(&token, |_, _| {}), proof(&token, |_, claims| claims["jti"] = json!("p-2")));
    assert_eq!(ask(&policy, &mut worker(), NOW, &token, &[&one, &two]).code(), "binding_mismatch");
    assert_eq!(ask(&policy, &mut worker(), NOW, &token, &[&format!("{one}, {two}")]).code(), "binding_mismatch");
    let both = json!([{"header": "authorization", "scheme": "Bearer"}, {"header": "authorization", "scheme": "DPoP"}]);
    let both = compile(&with(dpop(), "/tokens/from", both));
    assert_eq!(ask_as(&both, &mut worker(), NOW, "Bearer", &token, &[&one]).code(), "binding_mismatch", "RFC 9449 §7.2");
    assert_eq!(ask_as(&both, &mut worker(), NOW, "DPoP", &token, &[&one]).code(), "allowed");
    let raw = json!([{"header": "x-session-token"}, {"header": "authorization", "scheme": "DPoP"}]);
    let raw = compile(&with(dpop(), "/tokens/from", raw));
    let fields = head("GET", "/v1/orders", &[("x-session-token", &token), ("dpop", &one)]);
    assert_eq!(support::ask(&raw, &mut worker(), NOW, &fields).code(), "binding_mismatch");
    // A token without a key, and a policy without proofs.
    let unbound = support::token(&claims());
    let its = proof(&unbound, |_, _| {});
    assert_eq!(ask(&policy, &mut worker(), NOW, &unbound, &[&its]).code(), "binding_mismatch");
    let mut no_proofs = dpop();
    no_proofs["session"] = json!({"max_lifetime": "15m"});
    assert_eq!(ask(&compile(&no_proofs), &mut worker(), NOW, &token, &[&one]).code(), "binding_mismatch");
}

#[test]
fn proofs_take_part_in_the_allowance_of_signature_checks() {
    let (policy, token) = (compile(&with(dpop(), "/limits", json!({"verifications_per_second": 2}))), bound());
    let mut worker = worker();
    let numbered = |number: u32| proof(&token, |_, claims| claims["jti"] = json!(number.to_string()));
    assert_eq!(ask(&policy, &mut worker, NOW, &token, &[&numbered(1)]).code(), "allowed", "the token's and the proof's");
    assert_eq!(ask(&policy, &mut worker, NOW, &token, &[&numbered(2)]).code(), "overloaded");
    // What costs no check is told all the same.
    assert_eq!(ask(&policy, &mut worker, NOW, &token, &[&numbered(1)]).code(), "binding_mismatch");
    assert_eq!(ask(&policy, &mut worker, NOW + 1, &token, &[&numbered(2)]).code(), "allowed", "it was not used up");
}

#[test]
fn a_clock_that_steps_back_and_a_longer_time_bring_no_proof_back() {
    let (policy, token) = (compile(&dpop()), bound());
    let mut worker = worker();
    let one = proof(&token, |_, _| {});
    assert_eq!(ask(&policy, &mut worker, NOW, &token, &[&one]).code(), "allowed");
    for at in [NOW + 61, NOW, NOW - 1] {
        assert_eq!(ask(&policy, &mut worker, at, &token, &[&one]).code(), "binding_mismatch");
    }
    let later = proof(&token, |_, claims| claims["jti"] = json!("p-2"));
    assert_eq!(ask(&policy, &mut worker, NOW, &token, &[&later]).code(), "binding_mismatch", "too old by the latest instant");
}

#[test]
fn a_clock_that_went_ahead_and_came_back_takes_no_proof_early() {
    let (policy, token) = (compile(&dpop()), bound());
    let mut worker = worker();
    let of = |jti: &str, at: u64| proof(&token, |_, claims| (claims["jti"], claims["iat"]) = (json!(jti), json!(at)));
    assert_eq!(ask(&policy, &mut worker, NOW + 30, &token, &[&of("p-1", NOW + 30)]).code(), "allowed");
    assert_eq!(ask(&policy, &mut worker, NOW, &token, &[&of("p-2", NOW + 20)]).code(), "binding_mismatch");
    assert_eq!(ask(&policy, &mut worker, NOW, &token, &[&of("p-3", NOW)]).code(), "allowed");
}

#[test]
fn only_what_is_bound_is_remembered() {
    let mut policy = dpop();
    policy["session"]["bind"] = json!(["client_certificate", "dpop"]);
    let (policy, mut worker) = (compile(&policy), worker());
    let mut claims = claims();
    claims["cnf"] = json!({"jkt": thumbprint(), "x5t#S256": thumbprint()});
    let token = token(&claims);
    let one = proof(&token, |_, _| {});
    assert_eq!(ask(&policy, &mut worker, NOW, &token, &[&one]).code(), "binding_mismatch", "no certificate");
    let hex: String = URL_SAFE_NO_PAD.decode(thumbprint()).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    let fields = head("GET", "/v1/orders", &[("authorization", &format!("DPoP {token}")), ("dpop", &one)]);
    let peer = chaperone_policy::Peer { certificate_sha256: Some(hex.as_bytes()), uri_san: None, validated: Some(true) };
    let answer = support::ask_from(&policy, &mut worker, NOW, &fields, Some(peer));
    assert_eq!(answer.code(), "allowed", "the proof was not used up");
    assert_eq!(answer.record["unmapped"]["binding"], "client_certificate+dpop");
}

#[test]
fn the_challenge_names_scheme_and_algorithms() {
    let challenge = |policy: &Rc<Policy>| {
        let answer = support::ask(policy, &mut worker(), NOW, &head("GET", "/v1/orders", &[]));
        assert_eq!(answer.code(), "token_missing");
        let (_, fields, _) = answer.denied.unwrap();
        fields.into_iter().find(|(name, _)| name == "www-authenticate").unwrap().1
    };
    let algs = r#"algs="ES256 ES384 EdDSA RS256 RS384 RS512 PS256 PS384 PS512""#;
    assert_eq!(challenge(&compile(&dpop())), format!("DPoP {algs}"));
    let both = json!([{"header": "authorization", "scheme": "Bearer"}, {"header": "authorization", "scheme": "DPoP"}]);
    assert_eq!(challenge(&compile(&with(dpop(), "/tokens/from", both))), format!("DPoP {algs}"));
    let answer = ask(&compile(&dpop()), &mut worker(), NOW, &bound(), &[]);
    let (status, fields, body) = answer.denied.unwrap();
    assert_eq!(status, 401);
    let challenge = &fields.iter().find(|(name, _)| name == "www-authenticate").unwrap().1;
    assert!(challenge.starts_with("DPoP error=\"invalid_token\"") && challenge.ends_with(algs), "{challenge}");
    assert!(body.contains("token_rejected") && !body.contains("binding"), "{body}");
}

#[test]
fn a_proof_goes_upstream_with_its_token_or_not_at_all() {
    let token = bound();
    let one = proof(&token, |_, _| {});
    let forwarding = compile(&with(dpop(), "/upstream", json!({"forward_token": true})));
    let answer = ask(&forwarding, &mut worker(), NOW, &token, &[&one]);
    assert!(!answer.removes("DPoP") && !answer.removes("authorization"));
    let observing = compile(&with(dpop(), "/mode", json!("observe")));
    assert!(!ask(&observing, &mut worker(), NOW, &token, &[&one]).removes("DPoP"));
}

#[test]
fn the_document_says_all_that_proofs_need() {
    let refused = |change: &dyn Fn(&mut Value), place: &str| {
        let mut document = dpop();
        change(&mut document);
        let errors = Policy::compile(document.to_string().as_bytes()).expect_err(place);
        assert_eq!(errors.errors()[0].pointer, place, "{errors}");
    };
    refused(&|document| drop(document["session"].as_object_mut().unwrap().remove("dpop")), "/session");
    refused(&|document| drop(document["session"].as_object_mut().unwrap().remove("bind")), "/session/dpop");
    refused(&|document| drop(document["tokens"].as_object_mut().unwrap().remove("from")), "/session/bind");
    refused(&|document| document["session"]["bind"] = json!([]), "/session/bind");
    refused(&|document| document["session"]["bind"] = json!(["dpop", "dpop"]), "/session/bind/1");
    refused(&|document| document["session"]["bind"] = json!(["ip"]), "/session/bind/0");
    refused(&|document| document["session"]["dpop"] = json!({}), "/session/dpop");
    refused(&|document| document["session"]["dpop"]["origins"] = json!([]), "/session/dpop/origins");
    refused(&|document| document["session"]["dpop"]["origins"] = json!(["https://orders.example/v1"]), "/session/dpop/origins/0");
    refused(&|document| document["session"]["dpop"]["nonce"] = json!(true), "/session/dpop/nonce");
    let header = |document: &mut Value| {
        document["tokens"]["from"] = json!([{"header": "dpop"}, {"header": "authorization", "scheme": "DPoP"}]);
    };
    refused(&header, "/session/bind");
}
