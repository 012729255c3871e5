//! Documents: what is refused, where, and with which advice; and what survives Envoy's `Struct`.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod support;

use chaperone_policy::Policy;
use serde_json::{Value, json};
use support::{document, jwk, with};

fn errors(document: &Value) -> Vec<String> {
    match Policy::compile(document.to_string().as_bytes()) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.to_string().lines().map(str::to_owned).collect(),
    }
}

/// Every wrong document has, at the place named, the message named; and without the change it is good.
#[track_caller]
fn refused(pointer: &str, value: Value, place: &str, message: &str) {
    assert_eq!(errors(&document()), Vec::<String>::new());
    let found = errors(&with(document(), pointer, value));
    let wanted = format!("{place}: ");
    assert!(
        found.iter().any(|error| error.starts_with(&wanted) && error.contains(message)),
        "wanted {place}: ..{message}.., found {found:#?}"
    );
}

#[test]
fn unknown_members_are_errors_at_every_level_with_the_nearest_name() {
    refused("/grnats", json!([]), "/grnats", "did you mean `grants`?");
    refused("/tokens/isuers", json!([]), "/tokens/isuers", "did you mean `issuers`?");
    refused("/session/max_life", json!("1m"), "/session/max_life", "did you mean `max_lifetime`?");
    refused("/tokens/issuers/0/audience", json!("x"), "/tokens/issuers/0/audience", "write `audiences`, a list");
    refused("/grants/0/when/subjekt", json!("x"), "/grants/0/when/subjekt", "did you mean `subject`?");
    refused("/commands/health/http/method", json!("GET"), "/commands/health/http/method", "did you mean `methods`?");
    refused("/revoked", json!([{"sesion": "s-1"}]), "/revoked/0/sesion", "did you mean `session`?");
    refused("/limits", json!({"x": 1}), "/limits/x", "unknown member");
    refused("/audit", json!({"prefix": "x-a-"}), "/audit/prefix", "unknown member");
    refused("/upstream", json!({"token": true}), "/upstream/token", "unknown member");
    refused(
        "/upstream",
        json!({"echoed_credentials": "cut"}),
        "/upstream/echoed_credentials",
        "did you mean `echoed_credential`?",
    );
}

#[test]
fn a_credential_that_comes_back_needs_one_that_was_given() {
    refused("/upstream", json!({"echoed_credential": "cut"}), "/upstream/echoed_credential", "no credential is given");
    refused("/upstream", json!({"echoed_credential": "drop"}), "/upstream/echoed_credential", "known here: remove, cut");
    let credential = json!({"header": "x-api-key", "value": "${env:KEY}"});
    for word in ["cut", "remove"] {
        let upstream = json!({"credential": credential, "echoed_credential": word});
        assert_eq!(errors(&with(document(), "/upstream", upstream)), Vec::<String>::new());
    }
    assert_eq!(errors(&with(document(), "/upstream", json!({"echoed_credential": "remove"}))), Vec::<String>::new());
}

#[test]
fn what_ends_sessions_must_end_some() {
    refused("/session/idle_timeout", json!("0s"), "/session/idle_timeout", "every session would be idle at once");
    refused("/end_session_when", json!({}), "/end_session_when", "ends no session");
    refused(
        "/end_session_when",
        json!({"denials": {"count": 0, "within": "1m"}}),
        "/end_session_when/denials/count",
        "from 1 to 32",
    );
    refused(
        "/end_session_when",
        json!({"denials": {"count": 33, "within": "1m"}}),
        "/end_session_when/denials/count",
        "from 1 to 32",
    );
    refused("/end_session_when", json!({"denials": {"count": 3, "within": "0s"}}), "/end_session_when/denials/within", "no time");
    refused("/end_session_when", json!({"denials": {"count": 3}}), "/end_session_when/denials", "`within` is missing");
    refused("/end_session_when", json!({"context_changes": []}), "/end_session_when/context_changes", "");
    refused("/end_session_when", json!({"source_prefix": 24}), "/end_session_when/source_prefix", "changes nothing");
    let prefix = |bits: u64| json!({"context_changes": ["source_address"], "source_prefix": bits});
    refused("/end_session_when", prefix(7), "/end_session_when/source_prefix", "from 8 to 32");
    refused("/end_session_when", prefix(33), "/end_session_when/source_prefix", "from 8 to 32");
}

#[test]
fn what_this_version_cannot_enforce_is_refused_not_ignored() {
    refused("/commands/reports", json!({"sql": {}}), "/commands/reports/sql", "is not supported by this version");
}

#[test]
fn what_is_wrong_with_an_exchange_is_said_where_it_is() {
    let client = json!({"id": "c", "secret": "${env:STS_SECRET}"});
    let good = json!({"cluster": "sts", "authority": "sts.example", "path": "/token", "audience": "a", "client": client});
    let document_of = |exchange: &Value| with(document(), "/upstream", json!({"credential": {"exchange": exchange}}));
    assert_eq!(errors(&document_of(&good)), Vec::<String>::new());
    for (member, value, message) in [
        ("/cluster", json!(""), ""),
        ("/authority", json!("a b"), ""),
        ("/path", json!("token"), ""),
        ("/grant", json!("password"), "known here: token_exchange, jwt_bearer"),
        ("/audience", json!("a\nb"), "characters of ASCII"),
        ("/resource", json!("orders"), "must be an absolute URI"),
        ("/resource", json!("https://orders.example/#a"), "without a fragment"),
        ("/scope", json!(7), ""),
        ("/timeout", json!("9s"), "must be from 1s to 8s"),
        ("/client/id", json!(""), ""),
        ("/client/secret", json!("in-the-document"), "no credential itself"),
        ("/client/secret", json!("a ${env:STS_SECRET}"), "nothing around it"),
    ] {
        let exchange = with(good.clone(), member, value);
        let found = errors(&document_of(&exchange));
        let place = format!("/upstream/credential/exchange{member}: ");
        assert!(found.iter().any(|error| error.starts_with(&place) && error.contains(message)), "{member}: {found:#?}");
        assert!(!found.iter().any(|error| error.contains("in-the-document")), "{found:#?}");
    }
    let refused = |exchange: Value, message: &str| {
        let found = errors(&document_of(&exchange));
        assert!(found.iter().any(|error| error.contains(message)), "{message}: {found:#?}");
    };
    for name in ["cluster", "authority", "path", "client"] {
        let mut without = good.clone();
        without.as_object_mut().unwrap().remove(name);
        refused(without, &format!("/upstream/credential/exchange: `{name}` is missing"));
    }
    let mut for_all = good.clone();
    for_all.as_object_mut().unwrap().remove("audience");
    refused(for_all, "a token for everything that the endpoint gives");
    let of_client = |client: Value| with(good.clone(), "/client", client);
    refused(of_client(json!({"id": "c"})), "`secret` or `private_key` is missing");
    let both = json!({"id": "c", "secret": "${env:A}", "private_key": "${env:B}", "audience": "x"});
    refused(of_client(both), "must not have both");
    refused(of_client(json!({"id": "c", "private_key": "${env:B}"})), "`audience` is missing");
    refused(of_client(json!({"id": "c", "secret": "${env:A}", "key_id": "k"})), "unknown member `key_id`");
    for beside in ["value", "query", "basic"] {
        let credential = json!({"exchange": good, beside: "x"});
        let found = errors(&with(document(), "/upstream", json!({"credential": credential})));
        let said = format!("/upstream/credential/{beside}: `{beside}` does not go with `exchange`");
        assert!(found.iter().any(|error| error.starts_with(&said)), "{found:#?}");
    }
}

#[test]
fn what_is_mandatory_is_missed() {
    for name in ["version", "name", "tokens", "session", "commands", "grants"] {
        let mut document = document();
        document.as_object_mut().unwrap().remove(name);
        let found = errors(&document);
        assert!(found.iter().any(|error| error.starts_with(&format!("/: `{name}` is missing"))), "{found:#?}");
    }
    for (parent, name) in [
        ("/tokens/issuers/0", "issuer"),
        ("/tokens/issuers/0", "audiences"),
        ("/tokens/issuers/0", "algorithms"),
        ("/tokens/issuers/0", "keys"),
        ("/session", "max_lifetime"),
        ("/grants/0", "name"),
        ("/grants/0", "when"),
        ("/grants/0", "allow"),
    ] {
        let mut document = document();
        document.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
        let found = errors(&document);
        assert!(found.iter().any(|error| error.starts_with(&format!("{parent}: `{name}` is missing"))), "{found:#?}");
    }
}

#[test]
fn an_empty_condition_is_never_everybody() {
    refused("/grants/0/when", json!({}), "/grants/0/when", "everybody");
    refused("/grants/0/when", json!({"claims": {}}), "/grants/0/when/claims", "must name a claim");
    refused("/grants/0/when", json!({"claims": []}), "/grants/0/when/claims", "empty list");
    refused("/revoked", json!([{}]), "/revoked/0", "would end every session");
    refused("/revoked", json!([{"because": "INC-1"}]), "/revoked/0", "would end every session");
    refused("/tokens/issuers/0/audiences", json!([]), "/tokens/issuers/0/audiences", "empty list");
    refused("/tokens/issuers/0/types", json!([]), "/tokens/issuers/0/types", "empty list");
    refused("/commands/health/http/hosts", json!([]), "/commands/health/http/hosts", "empty list");
    refused("/tokens/issuers/0/audiences", json!([""]), "/tokens/issuers/0/audiences/0", "must not be empty");
}

#[test]
fn algorithms_are_bound_to_keys_when_the_policy_loads() {
    let issuer = "/tokens/issuers/0";
    refused(&format!("{issuer}/algorithms"), json!(["HS256"]), &format!("{issuer}/algorithms/0"), "never accepted");
    refused(&format!("{issuer}/algorithms"), json!(["none"]), &format!("{issuer}/algorithms/0"), "never accepted");
    refused(&format!("{issuer}/algorithms"), json!(["ES512"]), &format!("{issuer}/algorithms/0"), "`ES512` is not supported");
    refused(&format!("{issuer}/algorithms"), json!(["RS256"]), &format!("{issuer}/keys/jwks/keys/0"), "fits none");
    let key = |change: Value| {
        let mut key = jwk();
        for (name, value) in change.as_object().unwrap() {
            key[name] = value.clone();
        }
        json!([key])
    };
    let keys = format!("{issuer}/keys/jwks/keys");
    for (change, place, message) in [
        (json!({"use": "enc"}), "/0/use", "`use` is `enc`, not `sig`"),
        (json!({"use": "jwt-svid"}), "/0/use", "as in a SPIFFE bundle"),
        (json!({"use": 7}), "/0/use", "`use` is `no text`, not `sig`"),
        (json!({"key_ops": ["encrypt"]}), "/0/key_ops", "does not hold `verify`"),
        (json!({"key_ops": []}), "/0/key_ops", "does not hold `verify`"),
        (json!({"alg": "ES384"}), "/0/alg", "its `alg` ES384 is none of"),
        (json!({"alg": "RS256"}), "/0/alg", "its `alg` RS256 is none of"),
        (json!({"alg": "es256"}), "/0/alg", "its `alg` es256 is none of"),
        (json!({"d": "AAAA"}), "/0/d", "private or symmetric"),
        (json!({"kty": "oct", "k": "AAAA"}), "/0/k", "private or symmetric"),
        (json!({"kty": "oct"}), "/0", "cannot be used"),
        (json!({"crv": "secp256k1"}), "/0", "cannot be used"),
        (json!({"crv": "P-521"}), "/0", "cannot be used"),
        (json!({"x": "AAAA"}), "/0", "32 bytes"),
        (json!({"x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU="}), "/0/x", "base64url"),
        (json!({"x": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}), "/0", "not on the curve"),
        (json!({"kid": "k".repeat(257)}), "/0/kid", "1 to 256 bytes"),
        (json!({"kid": ""}), "/0/kid", "1 to 256 bytes"),
        (json!({"kid": 7}), "/0/kid", "must be a string, not a number (put it in quotes)"),
    ] {
        refused(&keys, key(change), &format!("{keys}{place}"), message);
    }
    // One key twice is one; keys for others are passed over where there is one for us, but a mistake is a mistake.
    assert_eq!(errors(&with(document(), &keys, json!([jwk(), jwk()]))), Vec::<String>::new());
    let encrypting = with(jwk(), "/use", json!("enc"));
    assert_eq!(
        errors(&with(document(), &keys, json!([encrypting, {"kty": "AKP", "alg": "ML-DSA-44"}, jwk()]))),
        Vec::<String>::new()
    );
    refused(&keys, json!([jwk(), with(jwk(), "/d", json!("AAAA"))]), &format!("{keys}/1/d"), "private or symmetric");
    for (value, message) in [
        (json!([jwk()]), "must be an object, not a list (a JWK Set is an object with a list of keys"),
        (jwk(), "`keys` is missing"),
        (json!("{}"), "must be an object, not a string"),
        (json!({"keys": jwk()}), "must be a list, not an object"),
        (json!({"keys": []}), "must not be an empty list"),
    ] {
        let found = errors(&with(document(), &format!("{issuer}/keys/jwks"), value));
        assert!(found.iter().any(|error| error.contains(message)), "{message}: {found:#?}");
    }
    let beside = json!({"keys": [jwk()], "spiffe_sequence": 3, "x-ours": {}});
    assert_eq!(errors(&with(document(), &format!("{issuer}/keys/jwks"), beside)), Vec::<String>::new());
    for (name, message) in [("jwks_uri", "write `endpoint: {cluster"), ("pem", "write each key as a JWK")] {
        let found = errors(&with(document(), &format!("{issuer}/keys"), json!({name: "x"})));
        assert!(found.iter().any(|error| error.contains(&format!("unknown member `{name}` ({message}"))), "{found:#?}");
    }
    let good = with(document(), &keys, key(json!({"use": "sig", "key_ops": ["verify"], "alg": "ES256", "x5t": "ignored"})));
    assert_eq!(errors(&good), Vec::<String>::new());
}

#[test]
fn rsa_keys_are_of_a_sane_size_and_say_what_they_are_for() {
    use base64::Engine as _;
    let n = |bytes: usize| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode([vec![0xc5; bytes - 1], vec![1]].concat());
    let rsa = |n: &str, e: &str, alg: Option<&str>| {
        let mut key = json!({"kty": "RSA", "kid": "r", "n": n, "e": e});
        if let Some(alg) = alg {
            key["alg"] = json!(alg);
        }
        let document = with(document(), "/tokens/issuers/0/algorithms", json!(["RS256", "PS256"]));
        errors(&with(document, "/tokens/issuers/0/keys/jwks/keys", json!([key])))
    };
    assert_eq!(rsa(&n(256), "AQAB", Some("RS256")), Vec::<String>::new());
    assert_eq!(rsa(&n(512), "AQAB", Some("PS256")), Vec::<String>::new());
    for (found, message) in [
        (rsa(&n(128), "AQAB", Some("RS256")), "1024 bits"),
        (rsa(&n(513), "AQAB", Some("RS256")), "4104 bits"),
        (rsa(&n(256), "AQ", Some("RS256")), "the exponent must be odd"),
        (rsa(&n(256), "Ag", Some("RS256")), "the exponent must be odd"),
        (rsa(&n(256), "AQAAAAE", Some("RS256")), "the exponent must be odd, and from 3 to 2^32"),
        (rsa(&base64::engine::general_purpose::URL_SAFE_NO_PAD.encode([0xc6; 256]), "AQAB", Some("RS256")), "an even modulus"),
        (rsa(&roca(), "AQAB", Some("RS256")), "CVE-2017-15361"),
        (rsa(&n(256), "AQAB", None), "it has no `alg`, and the issuer has RS256 and PS256 that fit it"),
        (rsa(&n(256), "AQAB", Some("RS512")), "its `alg` RS512 is none of"),
    ] {
        assert!(found.iter().any(|error| error.contains(message)), "{message}: {found:#?}");
    }
}

/// A modulus that is 1, a power of 65537, modulo each of the primes of the fingerprint.
fn roca() -> String {
    use base64::Engine as _;
    let primes = [11_u32, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
    let product = primes.iter().fold(rsa::BigUint::from(1_u32), |product, prime| product * *prime);
    let above = (rsa::BigUint::from(1_u32) << 2047_usize) / &product + 2_u32;
    // Even times odd, and one more.
    let even = if above.clone() % 2_u32 == rsa::BigUint::from(0_u32) { above } else { above + 1_u32 };
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode((even * product + 1_u32).to_bytes_be())
}

#[test]
fn commands_that_could_be_the_same_request_are_named() {
    let two = |first: Value, second: Value| errors(&with(with(document(), "/commands/a", first), "/commands/b", second));
    let http = |methods: Value, path: &str| json!({"http": {"methods": methods, "path": path}});
    let hosted = |host: &str| json!({"http": {"methods": ["GET"], "path": "/h", "hosts": [host]}});
    let at = |host: &str, path: &str| json!({"http": {"methods": ["GET"], "path": path, "hosts": [host]}});
    let grpc = json!({"grpc": {"service": "s.S", "methods": ["M"]}});
    for (first, second) in [
        (http(json!(["GET"]), "/x"), http(json!(["GET", "PUT"]), "/x")),
        // A host decides between equal paths, not between two that each are narrower somewhere.
        (at("a.one.example", "/{a}/y"), at("*.one.example", "/x/{b}")),
        (at("*.one.example", "/{a}/y"), at("a.one.example", "/x/{b}")),
        (http(json!(["GET"]), "/x/{a}"), http(json!(["GET"]), "/x/{b}")),
        (http(json!(["GET"]), "/x/{*a}"), http(json!(["GET"]), "/x/{*b}")),
        (http(json!(["GET"]), "/{a}/y"), http(json!(["GET"]), "/x/{b}")),
        (http(json!(["GET"]), "/x/{a}/c/{*r}"), http(json!(["GET"]), "/x/b/{c}/{*r}")),
        (http(json!(["GET"]), "/%78"), http(json!(["GET"]), "/x")),
        (http(json!(["GET"]), "/{a}x/{b}"), http(json!(["GET"]), "/{a}/{b}y")),
        (http(json!(["GET"]), "/{a}:x"), http(json!(["GET"]), "/{b}%3Ax")),
        (http(json!(["GET"]), "/{a}:x"), http(json!(["POST"]), "/{b}%3Ax")),
        (http(json!(["GET"]), "/a+b"), http(json!(["POST"]), "/a%2Bb")),
        (http(json!(["GET"]), "/a%2Bb/c"), http(json!(["GET"]), "/a+b/d")),
        (hosted("one.example"), hosted("ONE.example")),
        (hosted("one.example"), http(json!(["GET"]), "/h")),
        (hosted("*.one.example"), hosted("*.ONE.example")),
        (hosted("*.one.example"), http(json!(["GET"]), "/h")),
        (grpc.clone(), http(json!(["GET"]), "/s.S/M")),
        // A method is one command, whatever forms it is called in.
        (grpc.clone(), json!({"grpc": {"service": "s.S", "methods": ["M"], "forms": ["connect"]}})),
    ] {
        let found = two(first.clone(), second.clone());
        let said = ["could also be the command `a`", "the command `a` spells a part of this path with other escapes"];
        let says = |error: &String| said.iter().any(|said| error.contains(said));
        assert!(found.iter().any(says), "{first} {second}: {found:#?}");
    }
    for (first, second) in [
        (http(json!(["GET"]), "/x"), http(json!(["PUT"]), "/x")),
        (http(json!(["GET"]), "/x/{a}"), http(json!(["GET"]), "/x/y")),
        (http(json!(["GET"]), "/x/{*a}"), http(json!(["GET"]), "/x/{a}")),
        (http(json!(["GET"]), "/x/{a}/c"), http(json!(["GET"]), "/x/b/c")),
        (http(json!(["GET"]), "/x/"), http(json!(["GET"]), "/x")),
        (http(json!(["GET"]), "/X"), http(json!(["GET"]), "/x")),
        (http(json!(["GET"]), "/{a}:x"), http(json!(["GET"]), "/{a}:y:x")),
        (http(json!(["GET"]), "/{a}:x"), http(json!(["GET"]), "/{a}")),
        (http(json!(["GET"]), "/{a}:x"), http(json!(["GET"]), "/a:x")),
        (hosted("one.example"), hosted("two.example")),
        (hosted("a.one.example"), hosted("*.one.example")),
        (hosted("*.one.example"), hosted("*.two.example")),
        (at("*.one.example", "/{a}/y"), at("a.two.example", "/x/{b}")),
        (grpc, http(json!(["POST"]), "/{*rest}")),
    ] {
        assert_eq!(two(first.clone(), second.clone()), Vec::<String>::new(), "{first} {second}");
    }
}

#[test]
fn paths_of_commands_are_unambiguous() {
    for path in [
        "x",
        "",
        "/x//y",
        "/x/../y",
        "/x/./y",
        "/x%2fy",
        "/x;y",
        "/x?y",
        "/x*",
        "/x{id}",
        "/{}",
        "/{a}/{a}",
        "/{*r}/x",
        "/x\\y",
        "/é",
        "/x#y",
        "/%zz",
        "/{a b}",
        "/{a}{b}",
        "/{a}x{b}",
        "/x{a}y",
        "/{a}x*",
        "/{a}*",
        "/{a}x?",
        "/{a}.",
        "/{a}..",
        "/{a};x",
        "/{a}%2F",
        "/{a}%253A",
        "/{a}%A9",
        "/{*r}x",
        "/{*r}/",
        "/{}x",
        "/{a}}",
        "/x/*",
        "/*/x",
        "/**",
    ] {
        let found = errors(&with(document(), "/commands/a", json!({"http": {"methods": ["GET"], "path": path}})));
        assert!(!found.is_empty(), "{path}");
        assert!(found.iter().all(|error| error.starts_with("/commands/a/http/path: ")), "{path}: {found:#?}");
    }
    for (member, value, message) in [
        ("methods", json!(["get"]), "write `GET`"),
        ("methods", json!(["CONNECT"]), "always refused"),
        ("methods", json!(["TRACE"]), "always refused"),
        ("methods", json!("GET"), "must be a list"),
        ("permit", json!(["slash"]), "not known"),
        ("permit", json!(["semicolon"]), "permits nothing"),
        ("path", json!("/v1/orders/*"), "write `{*rest}`"),
        ("path", json!(format!("/{{a}}{}", "x".repeat(65))), "more than 64 bytes"),
        ("methods", json!(["*"]), "methods: [GET, HEAD"),
        ("hosts", json!(["orders.example:443"]), "bare name"),
        ("hosts", json!(["*.example"]), "two labels or more"),
        ("hosts", json!(["*"]), "leave `hosts` out"),
        ("hosts", json!(["a.*.b.example"]), "whole first label"),
        ("hosts", json!(["https://orders.example"]), "bare name"),
    ] {
        let found = errors(&with(document(), &format!("/commands/health/http/{member}"), value));
        assert!(found.iter().any(|error| error.contains(message)), "{member}: {message}: {found:#?}");
    }
}

#[test]
fn two_stars_are_for_texts_with_slashes_and_never_alone() {
    assert_eq!(
        errors(&with(document(), "/grants/0/when", json!({"subject": "repo:a/b:**", "claims": {"ref": "refs/**"}}))),
        Vec::<String>::new()
    );
    refused("/grants/0/when", json!({"subject": "**"}), "/grants/0/when/subject", "would be everybody");
    refused("/grants/0/when", json!({"subject": "a/*/b"}), "/grants/0/when/subject", "write `a/*`, or `a/**`");
    refused("/grants/0/when", json!({"claims": {"ref": "**"}}), "/grants/0/when/claims/ref", "would be everybody");
    refused("/grants/0/allow", json!(["orders.**"]), "/grants/0/allow/0", "write `orders.*`");
    refused("/unmediated", json!(["**"]), "/unmediated/0", "write `*`");
}

#[test]
fn values_have_their_types() {
    refused("/version", json!(2), "/version", "write `version: 1`");
    refused("/name", json!(7), "/name", "put it in quotes");
    refused("/name", json!("a b"), "/name", "not a name");
    refused("/mode", json!("audit"), "/mode", "known here: enforce, observe");
    refused("/observe", json!(["expired"]), "/observe/0", "always enforced");
    refused("/observe", json!(["unknown_comand"]), "/observe/0", "did you mean `unknown_command`?");
    refused("/session/max_lifetime", json!(900), "/session/max_lifetime", "write a whole number and a unit");
    refused("/session/max_lifetime", json!("0s"), "/session/max_lifetime", "no session");
    refused("/session/clock_skew", json!("6m"), "/session/clock_skew", "at most 5m");
    refused("/session/token_commands", json!("yes"), "/session/token_commands", "known here");
    refused("/generation", json!(1.5), "/generation", "whole number");
    refused("/generation", json!(-1), "/generation", "whole number");
    refused("/limits", json!({"verifications_per_second": 0}), "/limits/verifications_per_second", "from 1");
    refused("/limits", json!({"streams_per_session": 0}), "/limits/streams_per_session", "from 1 to 100000");
    refused("/limits", json!({"unmediated_streams": 100_001}), "/limits/unmediated_streams", "from 1 to 100000");
    refused("/commands/health/http/body", json!("no"), "/commands/health/http/body", "true or false");
    let upgrade = with(document(), "/commands/health/http/upgrade", json!(true));
    let both = errors(&with(upgrade, "/commands/health/http/body", json!(false)));
    assert!(both.iter().any(|error| error.starts_with("/commands/health/http/body: no body, and yet")), "{both:#?}");
    refused("/revoked", json!([{"session": 123}]), "/revoked/0/session", "put it in quotes");
    refused("/revoked", json!([{"issued_before": "yesterday"}]), "/revoked/0/issued_before", "RFC 3339");
    refused("/grants/0/allow", json!(["orders.lst"]), "/grants/0/allow/0", "did you mean `orders.list`?");
    refused("/grants/0/allow", json!(["*.list"]), "/grants/0/allow/0", "only at the end");
    refused("/grants/0/when", json!({"issuer": "https://broker.exampl"}), "/grants/0/when/issuer", "did you mean");
    refused("/unmediated", json!(["healthz"]), "/unmediated/0", "did you mean `health`?");
    refused("/tokens/from", json!([{"header": "authorization"}]), "/tokens/from/0", "without `scheme`");
    refused("/tokens/from", json!([{"header": "cookie"}]), "/tokens/from/0", "cookies");
    refused("/tokens/from", json!([{"header": "authorization", "scheme": "Basic"}]), "/tokens/from/0/scheme", "not known");
    refused("/tokens/resource_metadata", json!("http://x"), "/tokens/resource_metadata", "https");
    refused(
        "/upstream",
        json!({"credential": {"header": "authorization", "value": "Bearer s3cret"}}),
        "/upstream/credential/value",
        "no credential itself",
    );
    refused("/audit", json!({"header_prefix": "x-"}), "/audit/header_prefix", "cannot be the prefix");
    refused("/audit", json!({"headers": "joined"}), "/audit/headers", "`joined` is not known here");
    refused("/audit", json!({"headers": ["combined"]}), "/audit/headers", "not a list");
    refused("/audit", json!({"source": "log"}), "/audit/source", "`log` is not known here");
    refused("/audit", json!({"source": true}), "/audit/source", "not a boolean");
    refused("/audit", json!({"header": "combined"}), "/audit/header", "unknown member");
    refused("/audit", json!({"header_prefix": "x-forwarded-"}), "/audit/header_prefix", "belongs to the proxy");
}

#[test]
fn with_two_issuers_each_grant_names_its_own() {
    let mut second = document()["tokens"]["issuers"][0].clone();
    second["issuer"] = json!("https://other.example");
    let mut two = document();
    two["tokens"]["issuers"].as_array_mut().unwrap().push(second.clone());
    assert!(errors(&two).iter().any(|error| error.starts_with("/grants/0/when: `issuer` is missing")));
    two["grants"][0]["when"]["issuer"] = json!("https://other.example");
    assert_eq!(errors(&two), Vec::<String>::new());
    second["issuer"] = json!("https://broker.example");
    two["tokens"]["issuers"][1] = second;
    assert!(errors(&two).iter().any(|error| error.contains("stands twice")));
}

#[test]
fn a_document_is_strict_json() {
    for text in ["", "{", "[]", "null", "{\"version\":1,\"version\":1}", "\"x\"", "{}garbage", "\u{0}"] {
        assert!(Policy::compile(text.as_bytes()).is_err(), "{text}");
    }
    let text = document().to_string();
    for length in 0..text.len() {
        assert!(Policy::compile(&text.as_bytes()[..length]).is_err(), "truncated at {length}");
    }
    assert!(Policy::compile(text.as_bytes()).is_ok());
    assert!(Policy::compile("[".repeat(1_000_000).as_bytes()).is_err());
}

#[test]
fn the_secret_in_a_wrong_credential_is_not_repeated() {
    let wrong = with(document(), "/upstream", json!({"credential": {"header": "authorization", "value": "Bearer hunter2"}}));
    assert!(!errors(&wrong).concat().contains("hunter2"));
    let mut key = jwk();
    key["d"] = json!("hunter2");
    let wrong = with(document(), "/tokens/issuers/0/keys/jwks/keys", json!([key]));
    assert!(!errors(&wrong).concat().contains("hunter2"));
}

#[test]
fn the_revision_survives_a_struct_and_ignores_the_generation() {
    let revision = |text: &str| Policy::compile(text.as_bytes()).unwrap().revision().unwrap().to_owned();
    let plain = with(document(), "/limits", json!({"verifications_per_second": 50}));
    let doubled = plain.to_string().replace("\"version\":1", "\"version\":1.0").replace(":50", ":50.0");
    assert_ne!(plain.to_string(), doubled);
    assert_eq!(revision(&plain.to_string()), revision(&doubled));
    assert_eq!(revision(&plain.to_string()), revision(&with(plain.clone(), "/generation", json!(8)).to_string()));
    let revoked = with(plain.clone(), "/revoked", json!([{"session": "s-1"}]));
    assert_ne!(revision(&plain.to_string()), revision(&revoked.to_string()));
}

#[test]
fn rules_of_what_is_carried_are_read_one_by_one() {
    let ruled = |rules: Value| with(document(), "/grants/0/transfers", rules);
    for good in [
        json!({"uploads": "deny"}),
        json!({"downloads": "allow"}),
        json!({"max_request_bytes": 1}),
        json!({"max_response_bytes": 9_007_199_254_740_992_u64}),
        json!({"max_session_request_bytes": 281_474_976_710_655_u64}),
        json!({"max_session_request_bytes": 1, "max_session_response_bytes": 7}),
        json!({"uploads": "deny", "downloads": "deny", "max_request_bytes": 65536.0, "max_response_bytes": 7}),
    ] {
        Policy::compile(ruled(good.clone()).to_string().as_bytes()).unwrap_or_else(|errors| panic!("{good}: {errors}"));
    }
    for (rules, place) in [
        (json!({}), ""),
        (json!([]), ""),
        (json!("deny"), ""),
        (json!({"uploads": false}), "/uploads"),
        (json!({"uploads": "denied"}), "/uploads"),
        (json!({"downloads": "Deny"}), "/downloads"),
        (json!({"max_request_bytes": 0}), "/max_request_bytes"),
        (json!({"max_request_bytes": "64k"}), "/max_request_bytes"),
        (json!({"max_response_bytes": -1}), "/max_response_bytes"),
        (json!({"max_session_request_bytes": 0}), "/max_session_request_bytes"),
        (json!({"max_session_response_bytes": 281_474_976_710_656_u64}), "/max_session_response_bytes"),
        (json!({"max_response_bytes": 1.5}), "/max_response_bytes"),
        (json!({"uploads": "deny", "max_bytes": 1}), "/max_bytes"),
    ] {
        let errors = Policy::compile(ruled(rules.clone()).to_string().as_bytes()).expect_err("refused");
        let at: Vec<&str> = errors.errors().iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(at, [format!("/grants/0/transfers{place}")], "{rules}");
    }
}
