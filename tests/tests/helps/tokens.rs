//! Whose tokens: sources, issuers, what is fetched, claims.

use crate::{
    good::{KEYED, POLICY},
    rows::{Row, rows},
};

const PASTED: &str = "write each key as a JWK (RFC 7517): `jwks: {keys: [{kty: …}]}`";
const FETCHED: &str = "write `endpoint: {cluster: …, authority: …, path: …}`: the proxy fetches keys through one of its clusters";
const KEYS: &str =
    "write `keys: {jwks: {keys: [{kty: …}]}}`, or `keys: {endpoint: {cluster: …, authority: …, path: …}}` to have them fetched";
const ENDPOINT: &str =
    "keys: {endpoint: {cluster: broker, authority: broker.example, path: /jwks.json, refresh: 5m, timeout: 5s}}";
const LIST: &str = "write it as tokens name it, for example `https://broker.example/status/1`";

pub(crate) fn all() -> Vec<Row> {
    let mut all = rows(POLICY, &SOURCES);
    all.extend(rows(POLICY, &ISSUERS));
    all.extend(rows(POLICY, &FETCHES));
    all.extend(rows(POLICY, &CLAIMS));
    all.push(Row::new(
        KEYED,
        (
            "/tokens/from/0",
            "add `scheme: Bearer` or `scheme: DPoP`",
            "tokens:\n",
            "tokens:\n  from: [{header: authorization}]\n",
            "tokens:\n  from: [{header: authorization, scheme: Bearer}]\n",
        ),
    ));
    let issuers = POLICY.find("  issuers:").unwrap()..POLICY.find("session: {").unwrap();
    let list = "say whose tokens are accepted: `tokens: {issuers: [...]}`";
    let tokens = &POLICY[POLICY.find("tokens:").unwrap()..issuers.end];
    all.push(Row::new(POLICY, ("", list, tokens, "", tokens)));
    let issuers = &POLICY[issuers];
    let list = "list who issues session tokens: `issuers: [{issuer: …, audiences: […], algorithms: […], keys: {…}}]`";
    all.push(Row::new(POLICY, ("/tokens", list, issuers, "", issuers)));
    let issuer = |name: &str| {
        format!("    - {{issuer: {name}, audiences: [o], algorithms: [ES256], types: [session+jwt], {ENDPOINT}}}\nsession: {{max")
    };
    let twice = "put all its keys and audiences in one place";
    all.push(
        Row::new(POLICY, ("/tokens/issuers", twice, "session: {max", &issuer("https://broker.example"), "session: {max")).and(
            "audiences: [orders]",
            "audiences: [orders]",
            "audiences: [orders, o]",
        ),
    );
    let lists = |count: usize| {
        (0..count).map(|number| format!("\"https://broker.example/status/{number}\"")).collect::<Vec<_>>().join(", ")
    };
    let fewer = "name fewer lists, or write keys that do not change under `jwks`";
    let one = "\"https://broker.example/status/1\"";
    all.push(Row::new(POLICY, ("/tokens/issuers", fewer, one, &lists(200), &lists(2))));
    let inline = format!("keys: {{jwks: {{keys: [{}]}}}}", crate::good::EC);
    let most = (1..200).take_while(|count| is_fetched(&lists(*count))).count();
    all.push(
        Row::new(POLICY, ("/tokens/issuers", fewer, one, &lists(most + 1), &lists(most + 1)))
            .and(ENDPOINT, ENDPOINT, &inline)
            .and("max_bytes: 100000", "max_bytes: 1000", "max_bytes: 1000"),
    );
    let lower = "lower `max_bytes`, or name fewer lists";
    for right in ["max_bytes: 1000000", "max_bytes: 1048576"] {
        all.push(Row::new(POLICY, ("/tokens/issuers", lower, "max_bytes: 100000", "max_bytes: 16777216", right)).and(
            one,
            &lists(8),
            &lists(8),
        ));
    }
    all
}

/// Does a policy with its keys and these lists to fetch compile?
fn is_fetched(lists: &str) -> bool {
    let text = POLICY
        .replace("\"https://broker.example/status/1\"", lists)
        .replace("max_bytes: 100000", "max_bytes: 1000")
        .replace("RECENT", "2026-11-23T10:00:00Z");
    let file = chaperone_authoring::source::Document::parse("p.yaml", text).unwrap();
    chaperone_policy::Policy::compile(file.value().to_string().as_bytes()).is_ok()
}

/// Place, help, and of the good text, of the mistake, of what the help says.
type Table<const N: usize> = [(&'static str, &'static str, &'static str, &'static str, &'static str); N];

const SOURCES: Table<11> = [
    (
        "/tokens/resource_metadata",
        "write where it is, such as `https://orders.example/.well-known/oauth-protected-resource`",
        "https://orders.example/meta",
        "orders.example/meta",
        "https://orders.example/.well-known/oauth-protected-resource",
    ),
    (
        "/tokens/resource_metadata",
        "write where it is, such as `https://orders.example/.well-known/oauth-protected-resource`",
        "https://orders.example/meta",
        "7",
        "https://orders.example/.well-known/oauth-protected-resource",
    ),
    (
        "/tokens/from/1",
        "for example `header: authorization`",
        "{header: x-session-token}",
        "{scheme: Bearer}",
        "{header: authorization, scheme: Bearer}",
    ),
    (
        "/tokens/from/1",
        "browsers send them unasked; use a header of its own",
        "{header: x-session-token}",
        "{header: cookie}",
        "{header: x-session-token}",
    ),
    (
        "/tokens/from/1/header",
        "name another header, such as `x-api-key`",
        "{header: x-session-token}",
        "{header: x-chaperone-token}",
        "{header: x-api-key}",
    ),
    (
        "/tokens/from/1/header",
        "name another header, such as `x-api-key`",
        "{header: x-session-token}",
        "{header: 7}",
        "{header: x-api-key}",
    ),
    (
        "/tokens/from/1/header",
        "use letters, digits and `-`, at most 64 of them",
        "{header: x-session-token}",
        "{header: x_session_token}",
        "{header: x-session-token}",
    ),
    ("/tokens/from/0/scheme", "known here: Bearer, DPoP", "scheme: DPoP", "scheme: Negotiate", "scheme: DPoP"),
    (
        "/session/bind",
        "write `tokens: {from: [{header: authorization, scheme: DPoP}]}`",
        "  from: [{header: authorization, scheme: DPoP}, {header: x-session-token}]\n",
        "",
        "  from: [{header: authorization, scheme: DPoP}]\n",
    ),
    (
        "/session/bind",
        "take that entry out of `tokens.from`: tokens come with `{header: authorization, scheme: DPoP}`",
        ", {header: x-session-token}]",
        ", {header: dpop}]",
        "]",
    ),
    (
        "/session/bind",
        "take that entry out of `tokens.from`: tokens come with `{header: authorization, scheme: DPoP}`",
        "[{header: authorization, scheme: DPoP}, {header: x-session-token}]",
        "[{header: dpop, scheme: DPoP}]",
        "[{header: authorization, scheme: DPoP}]",
    ),
];

const ISSUERS: Table<19> = [
    (
        "/tokens/issuers/0",
        "write the `iss` claim of its tokens, such as `issuer: https://broker.example`",
        "    - issuer: https://broker.example\n      audiences",
        "    - audiences",
        "    - issuer: https://broker.example\n      audiences",
    ),
    (
        "/tokens/issuers/0",
        "write the `aud` claim of tokens that are for you, such as `audiences: [orders]`; without it a token for somebody else would do",
        "      audiences: [orders]\n",
        "",
        "      audiences: [orders]\n",
    ),
    (
        "/tokens/issuers/0/audience",
        "write `audiences`, a list: `audiences: [orders]`",
        "      audiences: [orders]\n",
        "      audience: orders\n",
        "      audiences: [orders]\n",
    ),
    ("/tokens/issuers/0", "for example `algorithms: [ES256]`", "      algorithms: [ES256]\n", "", "      algorithms: [ES256]\n"),
    (
        "/tokens/issuers/0/algorithms/0",
        "use a public-key algorithm such as ES256: a shared secret in a proxy is a standing credential",
        "[ES256]",
        "[HS256]",
        "[ES256]",
    ),
    (
        "/tokens/issuers/0/algorithms/0",
        "use a public-key algorithm such as ES256: a shared secret in a proxy is a standing credential",
        "[ES256]",
        "[none]",
        "[ES256]",
    ),
    (
        "/tokens/issuers/0/algorithms/0",
        "have the issuer sign with ES256, ES384, EdDSA or RSA, and list that",
        "[ES256]",
        "[ES512]",
        "[ES256]",
    ),
    ("/tokens/issuers/0/algorithms/0", "did you mean `EdDSA`?", "[ES256]", "[EDDSA]", "[EdDSA]"),
    ("/tokens/issuers/0/algorithms/0", "did you mean `Ed25519`?", "[ES256]", "[ED25519]", "[Ed25519]"),
    ("/tokens/issuers/0", KEYS, ENDPOINT, "types2: [x]", ENDPOINT),
    ("/tokens/issuers/0/jwks_uri", KEYS, ENDPOINT, "jwks_uri: https://broker.example/jwks.json", ENDPOINT),
    ("/tokens/issuers/0/keys/jwks_uri", FETCHED, ENDPOINT, "keys: {jwks_uri: https://broker.example/jwks.json}", ENDPOINT),
    (
        "/tokens/issuers/0/keys/pem",
        PASTED,
        ENDPOINT,
        "keys: {pem: x}",
        "keys: {jwks: {keys: [{kty: EC, crv: P-256, kid: k, x: f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU, \"y\": x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0}]}}",
    ),
    (
        "/tokens/issuers/0/keys",
        "write the issuer's public keys (RFC 7517 §5), `jwks: {keys: [{kty: …}]}`, or have them fetched: `endpoint: {cluster: …, authority: …, path: …}`",
        ENDPOINT,
        "keys: {}",
        ENDPOINT,
    ),
    (
        "/tokens/issuers/0/keys",
        "keep `endpoint` if the issuer rotates its keys, `jwks` if not",
        "timeout: 5s}}",
        "timeout: 5s}, jwks: {keys: [{kty: EC, crv: P-256, kid: k, x: f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU, \"y\": x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0}]}}",
        "timeout: 5s}}",
    ),
    (
        "/tokens/issuers/0/keys/use",
        "did you mean `jwt-svid`?",
        "keys: {endpoint",
        "keys: {use: jwt_svid, endpoint",
        "keys: {use: jwt-svid, endpoint",
    ),
    ("/tokens/issuers/0/keys/endpoints", "did you mean `endpoint`?", "keys: {endpoint:", "keys: {endpoints:", "keys: {endpoint:"),
    ("/tokens/issuers/0/issuer", "put it in quotes", "- issuer: https://broker.example", "- issuer: 7", "- issuer: \"7\""),
    (
        "/tokens/issuers/0/issuer",
        "write a text between the quotes",
        "- issuer: https://broker.example",
        "- issuer: \"\"",
        "- issuer: \"https://broker.example\"",
    ),
];

const FETCHES: Table<17> = [
    (
        "/tokens/issuers/0/keys/endpoint",
        "write `endpoint: {cluster: broker, authority: broker.example, path: /jwks.json}`, with a cluster that leads there",
        "{cluster: broker, authority: broker.example, path: /jwks.json, refresh: 5m, timeout: 5s}",
        "https://broker.example/jwks.json",
        "{cluster: broker, authority: broker.example, path: /jwks.json}",
    ),
    (
        "/tokens/issuers/0/keys/endpoint",
        "name the proxy's cluster that leads to the issuer, such as `cluster: broker`",
        "{cluster: broker, authority",
        "{authority",
        "{cluster: broker, authority",
    ),
    (
        "/tokens/issuers/0/keys/endpoint/cluster",
        "write the cluster's name as the proxy's configuration has it, such as `broker`",
        "{cluster: broker, authority",
        "{cluster: the broker, authority",
        "{cluster: broker, authority",
    ),
    (
        "/tokens/issuers/0/keys/endpoint",
        "for example `authority: broker.example`",
        "authority: broker.example, ",
        "",
        "authority: broker.example, ",
    ),
    (
        "/tokens/issuers/0/keys/endpoint/authority",
        "write a host, with a port where it needs one: `broker.example`",
        "authority: broker.example",
        "authority: https://broker.example",
        "authority: broker.example",
    ),
    ("/tokens/issuers/0/keys/endpoint", "for example `path: /jwks.json`", ", path: /jwks.json", "", ", path: /jwks.json"),
    (
        "/tokens/issuers/0/keys/endpoint/path",
        "begin it with `/`, and percent-encode `#` and what is not visible ASCII: `/jwks.json`",
        "path: /jwks.json",
        "path: jwks.json",
        "path: /jwks.json",
    ),
    (
        "/tokens/issuers/0/keys/endpoint/path",
        "begin it with `/`, and percent-encode `#` and what is not visible ASCII: `/jwks.json`",
        "path: /jwks.json",
        "path: /jwks#json",
        "path: /jwks%23json",
    ),
    (
        "/tokens/issuers/0/keys/endpoint/path",
        "begin it with `/`, and percent-encode `#` and what is not visible ASCII: `/jwks.json`",
        "path: /jwks.json",
        "path: 7",
        "path: /jwks.json",
    ),
    (
        "/tokens/issuers/0/keys/endpoint/refresh",
        "write `10s`, `1d` or what is between them",
        "refresh: 5m",
        "refresh: 5s",
        "refresh: 10s",
    ),
    (
        "/tokens/issuers/0/keys/endpoint/timeout",
        "write `1s`, `30s` or what is between them",
        "timeout: 5s",
        "timeout: 1m",
        "timeout: 30s",
    ),
    (
        "/tokens/issuers/0/status",
        "name the proxy's cluster that leads to the lists, such as `cluster: broker`",
        "{cluster: broker, uris",
        "{uris",
        "{cluster: broker, uris",
    ),
    (
        "/tokens/issuers/0/status",
        "name the lists that tokens may name, such as `uris: [\"https://broker.example/status/1\"]`",
        ", uris: [\"https://broker.example/status/1\"]",
        "",
        ", uris: [\"https://broker.example/status/1\"]",
    ),
    (
        "/tokens/issuers/0/status/uris/0",
        LIST,
        "uris: [\"https://broker.example/status/1\"]",
        "uris: [\"http://broker.example/status/1\"]",
        "uris: [\"https://broker.example/status/1\"]",
    ),
    (
        "/tokens/issuers/0/status/uris/0",
        LIST,
        "uris: [\"https://broker.example/status/1\"]",
        "uris: [1]",
        "uris: [\"https://broker.example/status/1\"]",
    ),
    (
        "/tokens/issuers/0/status/uris",
        "remove one of them",
        "uris: [\"https://broker.example/status/1\"]",
        "uris: [\"https://broker.example/status/1\", \"https://broker.example/status/1\"]",
        "uris: [\"https://broker.example/status/1\"]",
    ),
    (
        "/tokens/issuers/0/status/max_bytes",
        "write a whole number from 1 to 16777216, or leave it out",
        ", max_bytes: 100000",
        ", max_bytes: 0",
        "",
    ),
];

const CLAIMS: Table<6> = [
    (
        "/tokens/issuers/0/claims/agent",
        "for example `{first_of: [sid, jti]}`",
        "{first_of: [[act, sub], azp]}",
        "{}",
        "{first_of: [sid, jti]}",
    ),
    (
        "/tokens/issuers/0/claims/agent",
        "name fewer: one or two are what an issuer has, and each further one is another way to be the same session",
        "[[act, sub], azp]",
        "[[act, sub], azp, a, b, c]",
        "[[act, sub], azp]",
    ),
    (
        "/tokens/issuers/0/claims/agent/first_of/0",
        "say what it holds: it cannot be empty, nor be left out",
        "[[act, sub], azp]",
        "[[], azp]",
        "[[act, sub], azp]",
    ),
    (
        "/tokens/issuers/0/claims/session",
        "name a claim further up: no token is read that is nested so deeply",
        "session: sid",
        "session: [a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a, a]",
        "session: [a, a]",
    ),
    ("/tokens/issuers/0/claims/session", "put it in quotes", "session: sid", "session: 7", "session: \"7\""),
    ("/tokens/issuers/0/claims/sesion", "did you mean `session`?", "session: sid", "sesion: sid", "session: sid"),
];
