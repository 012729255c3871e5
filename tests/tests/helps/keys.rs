//! Keys of a set in a policy.

use crate::{
    good::{EC, KEYED},
    rows::{Row, rows},
};

const COPY: &str = "copy it as the issuer publishes it";
const SET: &str = "a JWK Set is an object with a list of keys (RFC 7517 §5): write `jwks: {keys: [{kty: …}]}`";
const OWN_NAME: &str = "give each key a `kid` of its own";
const NEW_KEY: &str = "have the issuer make a new key: RSA of 2048 bits or more, or ES256";
const PLACE: &str = "/tokens/issuers/0/keys/jwks/keys/0";
/// Another point: of RFC 8037, appendix A.2.
const OKP: &str = "{kty: OKP, crv: Ed25519, kid: k, alg: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}";
const AT: &str = "{kty: EC, crv: P-256, kid: k, x: ";

/// An RSA key with a modulus of these bytes.
fn rsa(modulus: &[u8], exponent: &str, more: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    format!("{{kty: RSA, kid: k, e: {exponent}, n: \"{}\"{more}}}", URL_SAFE_NO_PAD.encode(modulus))
}

fn modulus(bytes: usize) -> Vec<u8> {
    [vec![0xc5; bytes - 1], vec![1]].concat()
}

/// One with the ROCA fingerprint: 1 modulo each of its primes.
fn roca() -> Vec<u8> {
    let product = [11_u32, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];
    // Long multiplication, base 256, from a number of 2048 bits that is even and a multiple of all of them.
    let mut digits = vec![0_u8; 250];
    digits[0] = 2;
    digits[249] = 0x80;
    for prime in product {
        let mut carry = 0_u32;
        for digit in &mut digits {
            carry += u32::from(*digit) * prime;
            *digit = (carry & 0xff) as u8;
            carry >>= 8;
        }
        while carry > 0 {
            digits.push((carry & 0xff) as u8);
            carry >>= 8;
        }
    }
    digits[0] |= 1;
    digits.reverse();
    digits
}

pub(crate) fn all() -> Vec<Row> {
    let at = |name: &str| format!("{PLACE}/{name}");
    let mut all = Vec::new();
    let mut key = |place: &str, help: &str, wrong: &str, right: &str| all.push(Row::new(KEYED, (place, help, EC, wrong, right)));
    let with = |more: &str| EC.replace(AT, &format!("{{kty: EC, crv: P-256, {more}x: "));
    key(PLACE, "write the key as an object: `{kty: …}`", "abc", EC);
    key(
        &at("d"),
        "put only the public key here, and replace this key: whoever read this can sign with it",
        &with("kid: k, d: AAAA, "),
        EC,
    );
    key(&at("kid"), "put it in quotes", &with("kid: 7, "), &with("kid: \"7\", "));
    for right in ["kid: NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs, ", ""] {
        key(&at("kid"), "use the key's thumbprint (RFC 7638), or leave `kid` out", &with("kid: \"\", "), &with(right));
    }
    key(&at("use"), "put a key in its place that the issuer signs with", &with("kid: k, use: enc, "), EC);
    key(&at("key_ops"), "put a key in its place that the issuer signs with", &with("kid: k, key_ops: [encrypt], "), EC);
    let kinds = "put an EC (P-256, P-384), OKP (Ed25519) or RSA key in its place; never `oct`: a shared secret in a proxy is a standing credential";
    key(PLACE, kinds, "{kty: oct, kid: k}", EC);
    key(PLACE, kinds, "{kty: EC, crv: secp256k1, kid: k, x: AAAA}", EC);
    for right in ["alg: ES256, ", ""] {
        key(
            &at("alg"),
            "write the `alg` of its kind that is listed under `algorithms`, or leave `alg` out",
            &with("alg: ES384, "),
            &with(right),
        );
    }
    key(&at("alg"), "names are case-sensitive: write `ES256`", &with("alg: es256, "), &with("alg: ES256, "));
    key(&at("alg"), "put a key in its place that the issuer signs with", &with("alg: ECDH-ES, "), EC);
    let url = "copy it as the issuer publishes it, with `-` and `_`, and without `=` at the end";
    key(&at("x"), url, &EC.replace("RVEU", "RVEU="), EC);
    key(PLACE, url, &EC.replace("x: f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU, ", ""), EC);
    key(PLACE, "copy both as the issuer publishes them", &EC.replace("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "AAAA"), EC);
    key(
        PLACE,
        COPY,
        &EC.replace("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
        EC,
    );
    key(&at("kid"), OWN_NAME, &format!("{EC}, {}", other()), &format!("{EC}, {}", other().replace("kid: k", "kid: l")));
    all.extend(of_algorithms());
    all.extend(of_sets());
    all
}

/// Another key by the same name.
fn other() -> String {
    "{kty: EC, crv: P-256, kid: k, x: MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4, \"y\": 4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM}".to_owned()
}

/// What depends on the issuer's `algorithms` as well.
fn of_algorithms() -> Vec<Row> {
    let at = |name: &str| format!("{PLACE}/{name}");
    let with = |help: &str, place: &str, key: &str, algorithms: &str, right: &str, right_algorithms: &str| {
        Row::new(KEYED, (place, help, EC, key, right)).and(
            "algorithms: [ES256]",
            &format!("algorithms: [{algorithms}]"),
            &format!("algorithms: [{right_algorithms}]"),
        )
    };
    let good = rsa(&modulus(256), "AQAB", ", alg: RS256");
    let both = rsa(&modulus(256), "AQAB", "");
    let two = "list the one algorithm that the issuer signs with, or say with `alg` which one this key is for";
    let strong = |help: &str, name: &str, key: &str| with(help, &at(name), key, "RS256", &good, "RS256");
    let size = "have the issuer sign with a key of such a size, or with ES256";
    vec![
        with(
            "list `EdDSA` under `algorithms`, or put a key of another algorithm in its place",
            &at("alg"),
            OKP,
            "ES256",
            OKP,
            "EdDSA",
        ),
        with(
            "list `EdDSA` under `algorithms`, or put a key of another algorithm in its place",
            &at("alg"),
            OKP,
            "ES256",
            OKP,
            "Ed25519",
        ),
        with(
            "list `EdDSA` under `algorithms`, or put a key of another algorithm in its place",
            &at("alg"),
            OKP,
            "ES256",
            EC,
            "ES256",
        ),
        with(
            "leave `alg` out, and list under `algorithms` what the key is for: `ES256`",
            &at("alg"),
            &EC.replace("kid: k", "alg: ES384"),
            "RS256",
            &EC.replace("kid: k, ", ""),
            "ES256",
        ),
        with("list there what the key is for: `ES256`", PLACE, EC, "RS256", EC, "ES256"),
        with(two, PLACE, &both, "RS256, PS256", &both, "RS256"),
        with(two, PLACE, &both, "RS256, PS256", &good, "RS256, PS256"),
        with(COPY, &at("x"), &OKP.replace("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "AAAA"), "EdDSA", OKP, "EdDSA"),
        strong(size, "n", &rsa(&modulus(128), "AQAB", "")),
        with(size, &at("n"), &rsa(&modulus(128), "AQAB", ""), "RS256", EC, "ES256"),
        strong(NEW_KEY, "n", &rsa(&[0xc6; 256], "AQAB", "")),
        strong(NEW_KEY, "e", &rsa(&modulus(256), "AQ", "")),
        strong(NEW_KEY, "n", &rsa(&roca(), "AQAB", "")),
        Row::new(
            KEYED,
            (
                &at("use"),
                "write `use: jwt-svid` in `keys` for an issuer whose set is a SPIFFE bundle",
                "keys: {jwks",
                "keys: {jwks",
                "keys: {use: jwt-svid, jwks",
            ),
        )
        .and("kid: k, ", "kid: k, use: jwt-svid, ", "kid: k, use: jwt-svid, "),
        svid("keys: {use: jwt-svid, jwks", "kid: k, use: jwt-svid, "),
        svid("keys: {jwks", "kid: k, "),
    ]
}

/// A set that is said to be a SPIFFE bundle.
fn svid(keys: &str, kid: &str) -> Row {
    let help =
        "put a key with `use: jwt-svid` in its place or, where the set is no SPIFFE bundle, take `use: jwt-svid` out of `keys`";
    Row::new(KEYED, (PLACE, help, "keys: {jwks", "keys: {use: jwt-svid, jwks", keys)).and("kid: k, ", "kid: k, ", kid)
}

fn of_sets() -> Vec<Row> {
    let set = format!("jwks: {{keys: [{EC}]}}");
    let nameless = EC.replace("kid: k, ", "");
    let many =
        |count: usize| (0..count).map(|number| EC.replace("kid: k", &format!("kid: k{number}"))).collect::<Vec<_>>().join(", ");
    let points = points();
    let unnamed =
        points.iter().map(|(x, y)| format!("{{kty: EC, crv: P-256, x: {x}, \"y\": {y}}}")).collect::<Vec<_>>().join(", ");
    let named =
        points.iter().enumerate().map(|(place, (x, y))| format!("{{kty: EC, crv: P-256, kid: k{place}, x: {x}, \"y\": {y}}}"));
    let named = named.collect::<Vec<_>>().join(", ");
    assert!(nameless.len() < EC.len());
    let mut all = rows(
        KEYED,
        &[
            ("/tokens/issuers/0/keys/jwks", SET, &set, &format!("jwks: [{EC}]"), &set),
            ("/tokens/issuers/0/keys/jwks", SET, &set, &format!("jwks: {EC}"), &set),
            ("/tokens/issuers/0/keys/jwks/keys", SET, &set, &format!("jwks: {{keys: {EC}}}"), &set),
            ("/tokens/issuers/0/keys/jwks/keys", "list the issuer's public keys", &set, "jwks: {keys: []}", &set),
        ],
    );
    all.push(Row::new(
        KEYED,
        ("/tokens/issuers/0/keys/jwks/keys/64", "publish those alone that sign now, or soon", EC, &many(65), &many(2)),
    ));
    all.push(Row::new(KEYED, ("/tokens/issuers/0/keys/jwks/keys/4", OWN_NAME, EC, &unnamed, &named)));
    all
}

/// The public keys of five private ones.
fn points() -> Vec<(String, String)> {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    (1..=5)
        .map(|_| {
            let pair = rcgen::KeyPair::generate().unwrap();
            let raw = pair.public_key_raw();
            (URL_SAFE_NO_PAD.encode(&raw[1..33]), URL_SAFE_NO_PAD.encode(&raw[33..]))
        })
        .collect()
}
