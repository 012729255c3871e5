//! Tests of the cases format.

use super::*;
use crate::{
    outcome::{Decision, Outcome},
    source::{Document, PolicyDocument},
    token::inspect,
};
use serde_json::{Value, json};
use std::path::Path;

const POLICY: &str = r#"
version: 1
name: orders
tokens:
  issuers:
    - issuer: https://broker.example
      audiences: [orders]
      algorithms: [ES256, EdDSA]
      types: [at+jwt]
      keys: {jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo, kid: broker-1}]}}
    - issuer: https://second.example
      audiences: [orders]
      algorithms: [EdDSA]
      keys: {endpoint: {cluster: broker, authority: broker.example, path: /jwks.json}}
      status: {cluster: broker, uris: ["https://broker.example/status/1"]}
session: {max_lifetime: 15m}
commands:
  orders.list: {http: {methods: [GET], path: /v1/orders, hosts: [orders.example]}}
grants:
  - {name: all, when: {issuer: "https://broker.example", subject: "agent-*"}, allow: [orders.list]}
"#;

const HEAD: &str = "version: 1\npolicy: policy.yaml\nat: 2026-11-23T10:00:00Z\n";

const TOKENS: &str = "
tokens:
  agent: {iat: 0s, exp: 10m, claims: {iss: https://broker.example, aud: orders, sub: agent-7, sid: s-1, commands: [\"orders.*\"]}}
  narrow: {like: agent, claims: {commands: [orders.list], sid: null}}
  forged: {like: agent, key: stranger}
  odd: {like: agent, exp: null, header: {crit: [x]}, alg: EdDSA}
  raw: {raw: a.b.c}
  twice: {payload: '{\"exp\":${at+10m},\"exp\":${at-5m}}'}
";

fn read(cases: &str) -> Result<Plan, crate::source::Findings> {
    let document = Document::parse("cases.yaml", cases.to_owned())?;
    let parse = |path: &Path| PolicyDocument::find(Document::parse(&path.display().to_string(), POLICY.to_owned())?);
    let policies = |path: &Path| (path == Path::new("folder/policy.yaml")).then(|| parse(path));
    resolve(&document, Path::new("folder"), Clock::AsWritten, &policies)
}

fn plan(cases: &str) -> Plan {
    read(cases).unwrap_or_else(|findings| panic!("{findings}"))
}

/// The mistakes, each with its line.
fn mistakes(cases: &str) -> String {
    let findings = match read(cases) {
        Ok(_) => panic!("accepted"),
        Err(findings) => findings,
    };
    let line = |finding: &crate::source::Finding| {
        let name = Path::new(&finding.source.name).file_name().unwrap().to_string_lossy().into_owned();
        let (line, column) = finding.line_column().unwrap_or((0, 0));
        format!("{name}:{line}:{column}: {} ({})", finding.message, finding.help.as_deref().unwrap_or("-"))
    };
    findings.list().iter().map(line).collect::<Vec<_>>().join("\n")
}

fn sent(step: &Step) -> (&crate::request::Request, &Expect) {
    match &step.action {
        Action::Send { exchange, expect } => (&exchange.request, expect),
        Action::Open { .. } | Action::Configure(_) | Action::Publish(_) | Action::Look(_) => panic!("not a request"),
    }
}

fn token_of(case: &Case) -> inspect::Inspected {
    let (request, _) = sent(&case.steps[0]);
    let (name, value) = &request.headers[0];
    assert_eq!(name, b"authorization");
    inspect::inspect(std::str::from_utf8(value).unwrap()).unwrap()
}

#[test]
fn the_designs_own_cases_resolve() {
    let plan = plan(&format!(
        "{HEAD}workers: 2{TOKENS}
requests:
  list: {{token: agent, get: /v1/orders, host: orders.example}}
cases:
  - name: allowed
    send: list
    expect: {{allow: orders.list, upstream: {{x-chaperone-session: s-1, authorization: null}}}}
  - name: \"{{token}} {{get}}\"
    each:
      - {{token: narrow, get: /v1/orders, expect: {{allow: orders.list}}}}
      - {{token: narrow, get: /v1/orders/7, expect: {{deny: command_not_in_token, status: 403}}}}
      - {{token: forged, get: /v1/orders, expect: {{deny: signature_invalid, client_reason: token_rejected}}}}
  - name: revoked
    steps:
      - {{send: list, expect: {{allow: orders.list}}}}
      - {{config: {{add: {{revoked: [{{session: s-1}}]}}}}}}
      - {{at: 1m, send: {{like: list, head: /v1/orders}}, expect: {{deny: revoked}}}}
"
    ));
    let names: Vec<&str> = plan.cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names, ["allowed", "narrow /v1/orders", "narrow /v1/orders/7", "forged /v1/orders", "revoked"]);
    assert_eq!((plan.workers, plan.at.to_string().as_str()), (2, "2026-11-23T10:00:00Z"));

    let (request, expect) = sent(&plan.cases[0].steps[0]);
    assert_eq!(
        (&*request.method, &*request.path, &*request.authority),
        (&b"GET"[..], &b"/v1/orders"[..], &b"orders.example"[..])
    );
    assert_eq!(expect.verdict, Verdict::Allow);
    assert_eq!(expect.command.as_deref(), Some("orders.list"));
    assert_eq!(expect.upstream[0], HeaderExpect { name: "authorization".into(), member: None, values: vec![] });

    // A row that names no host takes the policy's.
    let (request, expect) = sent(&plan.cases[2].steps[0]);
    assert_eq!(request.authority, b"orders.example");
    assert_eq!((&expect.verdict, expect.status), (&Verdict::Deny("command_not_in_token".into()), Some(403)));

    let steps = &plan.cases[4].steps;
    assert!(plan.cases[4].moves_clock(&plan) && !plan.cases[0].moves_clock(&plan));
    assert_eq!(sent(&steps[2]).0.method, b"HEAD");
    let Action::Configure(bytes) = &steps[1].action else { panic!("no config") };
    let changed: Value = serde_json::from_slice(bytes).unwrap();
    let base: Value = serde_json::from_slice(&plan.policy_json).unwrap();
    assert_eq!(changed["revoked"], json!([{"session": "s-1"}]));
    assert_eq!(changed["generation"], 1);
    assert_eq!(changed["tokens"], base["tokens"], "the run's keys are still there");
}

#[test]
fn the_format_as_it_is_documented_resolves() {
    let documented = include_str!("mod.rs").split("//! ```").nth(1).unwrap().strip_prefix("yaml\n").unwrap();
    let cases: String = documented.lines().map(|line| format!("{}\n", line.strip_prefix("//! ").unwrap())).collect();
    let plan = plan(&cases);
    assert_eq!(plan.cases.len(), 4);
    assert!(plan.cases[3].steps.len() == 7 && plan.cases[3].opens_streams());
}

#[test]
fn tokens_say_what_they_are_told_to() {
    let send = |token: &str| {
        plan(&format!(
            "{HEAD}{TOKENS}\ncases: [{{name: x, send: {{token: {token}, get: /v1/orders}}, expect: {{allow: orders.list}}}}]"
        ))
    };
    let agent = send("agent");
    let seen = token_of(&agent.cases[0]);
    assert_eq!(seen.claims["exp"], 1_795_428_600);
    assert_eq!(seen.header["typ"], "at+jwt", "as the issuer's `types` asks");
    let keys =
        serde_json::from_slice::<Value>(&agent.policy_json).unwrap()["tokens"]["issuers"][0]["keys"]["jwks"]["keys"].clone();
    assert_eq!(keys[0]["kid"], "broker-1", "the issuer's own key stays");
    assert_eq!(keys[1]["kid"], seen.header["kid"], "the run's key is beside it");

    let narrow = token_of(&send("narrow").cases[0]);
    assert_eq!(narrow.claims["commands"], json!(["orders.list"]));
    assert_eq!((narrow.claims.get("sid"), &narrow.claims["sub"]), (None, &json!("agent-7")));

    let forged = send("forged");
    let policy: Value = serde_json::from_slice(&forged.policy_json).unwrap();
    let kids: Vec<&Value> =
        policy["tokens"]["issuers"][0]["keys"]["jwks"]["keys"].as_array().unwrap().iter().map(|k| &k["kid"]).collect();
    assert!(kids.contains(&&token_of(&forged.cases[0]).header["kid"]), "a forgery names a key that the policy has");

    let odd = send("odd");
    let seen = token_of(&odd.cases[0]);
    assert_eq!((seen.claims.get("exp"), &seen.header["crit"], &seen.header["alg"]), (None, &json!(["x"]), &json!("EdDSA")));

    let (request, _) = (sent(&send("raw").cases[0].steps[0]).0.clone(), ());
    assert_eq!(request.headers[0].1, b"Bearer a.b.c");
    let twice = sent(&send("twice").cases[0].steps[0]).0.headers[0].1.clone();
    let payload = String::from_utf8(twice).unwrap().split('.').nth(1).unwrap().to_owned();
    use base64::Engine;
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    assert_eq!(payload, br#"{"exp":1795428600,"exp":1795427700}"#);
    assert!(sent(&send("none").cases[0].steps[0]).0.headers.is_empty());
}

#[test]
fn a_token_can_stand_anywhere_in_a_header() {
    let plan = plan(&format!(
        "{HEAD}{TOKENS}
requests:
  two: {{get: /v1/orders, headers: [[Authorization, 'Bearer ${{token:raw}}'], [authorization, 'Bearer ${{token:raw}}, Bearer x']]}}
cases: [{{name: x, send: two, expect: {{deny: token_ambiguous}}}}]"
    ));
    let head = sent(&plan.cases[0].steps[0]).0.head();
    assert_eq!(head[4], (b"authorization".to_vec(), b"Bearer a.b.c".to_vec()));
    assert_eq!(head[5], (b"authorization".to_vec(), b"Bearer a.b.c, Bearer x".to_vec()));
}

#[test]
fn every_mistake_is_shown_with_its_place() {
    let cases = format!(
        "{HEAD}
worker: 2
tokens:
  agent: {{iat: 0s, exp: soon, claims: {{}}}}
  circle: {{like: circle}}
  lost: {{like: agnet}}
  keyed: {{key: strange}}
requests:
  list: {{token: agent, get: /v1/orders, hots: x}}
cases:
  - name: one
    send: lits
    expect: {{allow: orders.list}}
  - name: two
    send: {{get: /x, post: /y}}
    expect: {{deny: expird}}
  - name: three
    send: {{token: agnt, get: /x}}
  - name: four
    steps:
      - {{open: feed, send: list}}
      - {{config: {{set: {{session: {{max_lifetime: long}}}}}}}}
      - {{at: 5m, get: /x, expect: {{allow: a, deny: b}}}}
      - {{at: 4m, get: /x, expect: {{deny: expired}}}}
  - name: '{{token}}'
    each: [{{get: /x, chunks: [a], expect: {{deny: expired}}}}]
  - {{send: list, expect: {{deny: expired, upstream_bytes: 0}}}}
"
    );
    insta::assert_snapshot!(mistakes(&cases));
}

#[test]
fn a_file_of_another_kind_is_one_clear_error() {
    assert_eq!(mistakes("[]"), "cases.yaml:1:1: must be an object, and this is a list (-)");
    assert_eq!(
        mistakes("version: 1\npolicy: nowhere.yaml\nat: now\ncases: []").lines().next().unwrap(),
        "cases.yaml:3:5: must be an instant (RFC 3339: `2026-11-23T10:00:00Z`)"
    );
}

fn outcome() -> Outcome {
    Outcome {
        decision: Decision::Allow,
        command: Some("orders.list".into()),
        session: Some("s-1".into()),
        upstream_headers: Some(vec![(":method".into(), "GET".into()), ("x-a".into(), "1".into()), ("x-a".into(), "2".into())]),
        ..Outcome::undecided(0)
    }
}

fn expect(text: &str) -> Expect {
    let plan = plan(&format!("{HEAD}cases: [{{name: x, send: {{get: /}}, expect: {text}}}]"));
    sent(&plan.cases[0].steps[0]).1.clone()
}

#[test]
fn an_outcome_is_held_against_every_word_of_the_expectation() {
    let good = "{allow: orders.list, session: s-1, upstream: {X-A: ['1', '2'], x-b: null, ':method': GET}}";
    assert_eq!(check(&expect(good), &outcome()), []);
    let told = |field: &str| Outcome { upstream_headers: Some(vec![("x-c".into(), field.into())]), ..outcome() };
    let members = expect("{allow: orders.list, upstream: {X-C: {a: 'x\"y, b', b: null, c: ['1', '2']}}}");
    assert_eq!(check(&members, &told(r#"a="x\"y, b", c="1", d="3", c="2""#)), []);
    let wrong: Vec<_> = check(&members, &told(r#"a="x", b="", c="1""#)).iter().map(Mismatch::to_string).collect();
    assert_eq!(
        wrong,
        [
            "upstream header x-c, member a: expected x\"y, b, found x",
            "upstream header x-c, member b: expected absent, found ",
            "upstream header x-c, member c: expected 1 | 2, found 1",
        ]
    );
    assert_eq!(check(&members, &told("a=1")).len(), 3, "what is no dictionary is no member");
    assert_eq!(check(&members, &outcome()).len(), 2, "what is absent has no member");
    let shown = |text: &str, outcome: &Outcome| check(&expect(text), outcome).iter().map(Mismatch::to_string).collect::<Vec<_>>();
    assert_eq!(
        shown("{allow: orders.read, session: s-2, upstream: {x-a: '1', x-b: y}}", &outcome()),
        [
            "command: expected orders.read, found orders.list",
            "session: expected s-2, found s-1",
            "upstream header x-a: expected 1, found 1 | 2",
            "upstream header x-b: expected y, found absent",
        ]
    );
    assert_eq!(
        shown("{deny: expired, status: 401, client_reason: token_rejected, response: {www-authenticate: Bearer}}", &outcome()),
        [
            "decision: expected deny, found allow",
            "reason: expected expired, found none",
            "status: expected 401, found none",
            "client_reason: expected token_rejected, found none",
            "response header www-authenticate: expected Bearer, found absent",
        ]
    );
    let observed = Outcome { reason: Some("expired".into()), ..outcome() };
    assert_eq!(check(&expect("{observed: expired}"), &observed), []);
    assert_eq!(shown("{allow: orders.list}", &observed), ["reason: expected none, found expired"]);
    let trapped = Outcome { trap: Some("unreachable".into()), reason: Some("expired".into()), ..Outcome::undecided(0) };
    assert_eq!(shown("{deny: expired}", &trapped), ["trap: expected none, found unreachable"]);
    // A filter's word is not enough: what it denied and sent on all the same is shown.
    let leaked = Outcome { decision: Decision::Deny, reason: Some("expired".into()), upstream_bytes: Some(2), ..outcome() };
    assert_eq!(
        shown("{deny: expired, upstream_bytes: 0}", &leaked),
        ["sent upstream: expected nothing, found something", "upstream_bytes: expected 0, found 2"]
    );
    let cut = Outcome { reason: Some("revoked".into()), cut: Some("revoked".into()), ..outcome() };
    assert_eq!(check(&expect("{cut: revoked, command: orders.list}"), &cut), []);
    assert_eq!(shown("{cut: expired}", &cut), ["cut: expected expired, found revoked"]);
    assert_eq!(shown("{cut: revoked}", &outcome()), ["cut: expected revoked, found none"]);
    assert_eq!(
        shown("{allow: orders.list}", &cut),
        ["reason: expected none, found revoked", "cut: expected none, found revoked"]
    );
}

#[test]
fn streams_workers_and_time_resolve_into_steps() {
    let plan = plan(&format!(
        "{HEAD}workers: 2{TOKENS}
requests:
  list: {{token: agent, get: /v1/orders}}
  call: {{token: agent, post: /mcp, body: whole}}
cases:
  - name: a stream
    at: 1m
    steps:
      - {{open: feed, send: {{like: list, get: /v1/feed}}, reply: {{chunks: [\"data: 1\\n\\n\"], headers: {{X-A: b}}}}}}
      - {{after: 1s, expect: {{feed: {{cut: revoked}}}}}}
      - {{worker: 2, after: 2m, send: list, expect: {{deny: revoked}}}}
      - {{open: late, get: /, expect: {{allow: orders.list}}}}
      - {{at: 5m}}
  - name: pieces
    send: {{like: call, chunks: [a, bc], trailers: {{x-sum: '1'}}}}
    reply: {{status: 404, trailers: {{}}}}
    expect: {{deny: unknown_command, upstream_bytes: 0}}
"
    ));
    let steps = &plan.cases[0].steps;
    let after = |step: &Step| step.at.duration_since(plan.at).as_secs();
    assert_eq!(steps.iter().map(after).collect::<Vec<_>>(), [60, 61, 181, 181, 300]);
    assert_eq!(steps.iter().map(|step| step.worker).collect::<Vec<_>>(), [0, 0, 1, 0, 0]);
    let Action::Open { stream, exchange, expect: None } = &steps[0].action else { panic!("{:?}", steps[0]) };
    assert_eq!((stream.as_str(), exchange.request.path.as_slice()), ("feed", &b"/v1/feed"[..]));
    let reply = Reply {
        status: 200,
        headers: vec![(b"x-a".to_vec(), b"b".to_vec())],
        chunks: vec![b"data: 1\n\n".to_vec()],
        trailers: None,
    };
    assert_eq!(exchange.reply.as_ref(), Some(&reply));
    assert_eq!(steps[1].action, Action::Look(vec![("feed".into(), StreamState::Cut("revoked".into()))]));
    assert!(matches!(&steps[3].action, Action::Open { expect: Some(_), exchange: Exchange { reply: None, .. }, .. }));
    assert_eq!(steps[4].action, Action::Look(Vec::new()));
    assert_eq!(steps[1].location.to_string(), "cases.yaml:21:9");
    assert!(plan.cases[0].opens_streams() && plan.cases[0].names_workers());

    let Action::Send { exchange, expect } = &plan.cases[1].steps[0].action else { panic!("not a request") };
    assert_eq!((exchange.request.body.as_slice(), exchange.chunks.as_slice()), (&b"abc"[..], &[1, 2][..]));
    assert_eq!(exchange.request.trailers, [(b"x-sum".to_vec(), b"1".to_vec())]);
    assert_eq!((exchange.reply.as_ref().unwrap().trailers.as_deref(), expect.upstream_bytes), (Some(&[][..]), Some(0)));
    assert!(plan.cases[1].scripts_replies() && !plan.cases[1].opens_streams());
}

#[test]
fn what_is_fetched_is_scripted_for_urls_of_the_policy() {
    use crate::published::Script;
    let plan = plan(&format!(
        "{HEAD}{TOKENS}
fetches: {{https://broker.example/jwks.json: {{status: 503}}}}
cases:
  - name: a
    steps:
      - fetches: {{https://broker.example/jwks.json: {{keys: own}}, https://broker.example/status/1: {{revoked: [7, 9]}}}}
      - {{after: 1m}}
"
    ));
    let Action::Publish(scripts) = &plan.cases[0].steps[0].action else { panic!("{:?}", plan.cases[0]) };
    assert_eq!(scripts["https://broker.example/jwks.json"], Script::Own);
    assert_eq!(scripts["https://broker.example/status/1"], Script::Revoked(vec![7, 9]));
    assert_eq!(plan.published.answer("https://broker.example/jwks.json", 0), Some((503, String::new())));
    assert_eq!(plan.published.answer("https://broker.example/else", 0), None);
    for (fetches, says) in [
        ("{https://broker.example/jwks: {status: 503}}", "unknown URL"),
        ("{https://broker.example/jwks.json: {}}", "must be one answer"),
        ("{https://broker.example/jwks.json: {status: 503, keys: own}}", "must be one answer"),
        ("{https://broker.example/jwks.json: {body: x}}", "must be one answer"),
        ("{https://broker.example/jwks.json: {revoked: [1]}}", "unknown member"),
        ("{https://broker.example/jwks.json: {keys: mine}}", "is no key set"),
        ("{https://broker.example/status/1: {revoked: [8388608]}}", "must be a whole number"),
        ("{https://broker.example/status/1: {status: 99}}", "must be a whole number"),
    ] {
        let found = mistakes(&format!("{HEAD}{TOKENS}\nfetches: {fetches}\ncases: [{{name: a, steps: [{{after: 1m}}]}}]\n"));
        assert!(found.contains(says), "{fetches}: {found}");
    }
}
