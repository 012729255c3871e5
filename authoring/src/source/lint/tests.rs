//! Each lint on a text that deserves it, and its twin: the corrected text raises nothing.

use super::*;
use crate::source::Document;

/// A policy that raises nothing: each lint's correct twin.
const POLICY: &str = r#"version: 1
name: orders
tokens:
  issuers:
    - issuer: https://broker.example
      audiences: [orders]
      algorithms: [ES256]
      types: [session+jwt]
      keys: {jwks: {keys: [{kty: EC, crv: P-256, kid: k, x: f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU, "y": x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0}]}}
session: {max_lifetime: 1h, clock_skew: 30s}
commands:
  health: {http: {methods: [GET], path: /healthz}}
  orders.list: {http: {methods: [GET], path: /v1/orders}}
  orders.read: {http: {methods: [GET], path: "/v1/orders/{id}"}}
  orders.purge: {http: {methods: [GET], path: /v1/orders/purge}}
  files.one: {http: {methods: [GET], path: "/files/{name}"}}
  files.folder: {http: {methods: [GET], path: "/files/{name}/"}}
  files.any: {http: {methods: [GET, PUT], path: "/files/{*rest}"}}
unmediated: [health]
grants:
  - name: agents
    when: {subject: "agent-*"}
    allow: [orders.list, orders.read]
    max_lifetime: 15m
  - name: support
    when: {claims: {role: support}}
    allow: ["files.*"]
revoked:
  - {session: s-1, because: "INC-1"}
  - {subject: agent-7, issued_before: "2026-11-23T10:00:00Z", because: "INC-2"}
upstream:
  credential: {header: authorization, value: "Bearer ${env:ORDERS_TOKEN}"}
  direct_credentials: {refuse: [basic, opaque_bearer]}
  strip: [cookie]
"#;

/// The modulus of RFC 7515, appendix A.2, with another exponent.
const EXPONENT_3: &str = "{kty: RSA, alg: RS256, e: Aw, n: ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ}";

/// The same with keys and a status list that are fetched.
fn fetching() -> String {
    let mut lines: Vec<&str> = POLICY.lines().collect();
    let keys = lines.iter().position(|line| line.trim_start().starts_with("keys:")).unwrap();
    lines[keys] = "      keys: {endpoint: {cluster: broker, authority: broker.example, path: /jwks.json}}
      status: {cluster: broker, uris: [\"https://broker.example/status/1\"]}";
    lines.join("\n") + "\n"
}

fn indent(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect()
}

/// The same in Istio's manifest.
fn plugin() -> String {
    format!(
        "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {{name: chaperone}}
spec:
  url: oci://registry.example/chaperone:1
  sha256: 1ef0c9a92b0420cf25f7fe5d481b231464bc88f486ca3b9c83ed5cc21d2f6210
  failStrategy: FAIL_RELOAD
  vmConfig:
    env:
      - {{name: ORDERS_TOKEN, valueFrom: HOST}}
  pluginConfig:
{}",
        indent(POLICY, 4)
    )
}

/// The same in Envoy's resource.
fn ecds() -> String {
    let policy = Document::parse("p.yaml", POLICY.to_owned()).unwrap().value().to_string();
    format!(
        "resources:
- '@type': type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig
  name: chaperone
  typed_config:
    config:
      failure_policy: FAIL_RELOAD
      vm_config:
        environment_variables: {{host_env_keys: [ORDERS_TOKEN]}}
      configuration:
        '@type': type.googleapis.com/google.protobuf.StringValue
        value: '{policy}'
"
    )
}

fn now() -> Timestamp {
    "2026-11-23T10:30:00Z".parse().unwrap()
}

fn check(text: &str) -> Vec<Finding> {
    let document = PolicyDocument::find(Document::parse("p.yaml", text.to_owned()).unwrap()).unwrap_or_else(|e| panic!("{e}"));
    let (_, findings) = document.check(None, now());
    findings.map(|findings| findings.list().to_vec()).unwrap_or_default()
}

const NOTHING: [String; 0] = [];

fn messages(found: &[Finding]) -> Vec<String> {
    found.iter().map(|finding| format!("{}: {}", finding.place(), finding.message)).collect()
}

/// Lints that `to` raises where the good text has `from`, and the lines that they point at.
pub(super) fn raised(good: &str, from: &str, to: &str) -> Vec<(Option<&'static str>, String)> {
    assert_eq!(messages(&check(good)), NOTHING);
    assert!(good.contains(from), "{from}");
    let bad = good.replacen(from, to, 1);
    let line = |finding: &Finding| bad.lines().nth(finding.line_column().unwrap().0 - 1).unwrap().trim().to_owned();
    check(&bad).iter().map(|finding| (finding.severity.code(), line(finding))).collect()
}

#[test]
fn each_lint_is_raised_by_its_mistake_alone_and_points_at_it() {
    let policy = |lint, from, to, line| (lint, POLICY.to_owned(), from, to, line);
    let istio = |lint, from, to, line| (lint, plugin(), from, to, line);
    let exponent_line = format!("{EXPONENT_3},");
    let exponent =
        format!("[ES256, RS256]\n      types: [session+jwt]\n      keys: {{jwks: {{keys: [\n        {exponent_line}\n        {{");
    let cases = [
        policy(Lint::ObserveMode, "name: orders\n", "name: orders\nmode: observe\n", "mode: observe"),
        policy(
            Lint::ObserveReasons,
            "name: orders\n",
            "name: orders\nobserve: [unknown_command]\n",
            "observe: [unknown_command]",
        ),
        policy(Lint::TypesMissing, "      types: [session+jwt]\n", "", "- issuer: https://broker.example"),
        policy(
            Lint::KeyPassedOver,
            "keys: {jwks: {keys: [{",
            "keys: {jwks: {keys: [\n        {kty: EC, crv: secp256k1},\n        {",
            "{kty: EC, crv: secp256k1},",
        ),
        policy(
            Lint::KeyExponentSmall,
            "[ES256]\n      types: [session+jwt]\n      keys: {jwks: {keys: [{",
            &exponent,
            &exponent_line,
        ),
        policy(
            Lint::IssuedStandIn,
            "      types: [session+jwt]\n",
            "      types: [session+jwt]\n      claims:\n        issued: [nbf]\n",
            "issued: [nbf]",
        ),
        policy(
            Lint::AudienceStandIn,
            "      types: [session+jwt]\n",
            "      types: [session+jwt]\n      claims:\n        audience: client_id\n",
            "audience: client_id",
        ),
        policy(Lint::ScopeWhole, "{role: support}", "{scp: orders.read}", "when: {claims: {scp: orders.read}}"),
        policy(Lint::LifetimeLong, "max_lifetime: 1h", "max_lifetime: 61m", "session: {max_lifetime: 61m, clock_skew: 30s}"),
        policy(Lint::ClockSkewLarge, "clock_skew: 30s", "clock_skew: 31s", "session: {max_lifetime: 1h, clock_skew: 31s}"),
        policy(
            Lint::IdleTimeoutMoot,
            "{max_lifetime: 1h, clock_skew: 30s}",
            "{max_lifetime: 1h, idle_timeout: 60m}",
            "session: {max_lifetime: 1h, idle_timeout: 60m}",
        ),
        policy(
            Lint::DenialsAtOnce,
            "commands:\n",
            "end_session_when:\n  denials: {count: 1, within: 1m}\ncommands:\n",
            "denials: {count: 1, within: 1m}",
        ),
        policy(
            Lint::SourceAsked,
            "commands:\n",
            "end_session_when: {context_changes: [source_address]}\naudit:\n  source: proxy\ncommands:\n",
            "source: proxy",
        ),
        (
            Lint::KeysRefreshLong,
            fetching(),
            "path: /jwks.json}",
            "path: /jwks.json, refresh: 61m}",
            "keys: {endpoint: {cluster: broker, authority: broker.example, path: /jwks.json, refresh: 61m}}",
        ),
        (
            Lint::StatusOptional,
            fetching(),
            "status: {",
            "status: {required: false, ",
            "status: {required: false, cluster: broker, uris: [\"https://broker.example/status/1\"]}",
        ),
        policy(Lint::ForwardToken, "upstream:\n", "upstream:\n  forward_token: true\n", "forward_token: true"),
        policy(
            Lint::UnmediatedWrites,
            "health: {http: {methods: [GET]",
            "health: {http: {methods: [POST, GET]",
            "unmediated: [health]",
        ),
        policy(Lint::AllowEverything, "allow: [orders.list, orders.read]", "allow: [\"*\"]", "allow: [\"*\"]"),
        policy(Lint::AllowPattern, "allow: [orders.list, orders.read]", "allow: [\"orders.*\"]", "allow: [\"orders.*\"]"),
        policy(Lint::WhenWide, "{subject: \"agent-*\"}", "{subject: \"a*\"}", "when: {subject: \"a*\"}"),
        policy(Lint::PatternUnmatched, "\"agent-*\"", "\"repo:acme/ledger:*\"", "when: {subject: \"repo:acme/ledger:*\"}"),
        policy(
            Lint::CommandUnused,
            "unmediated: [health]\n",
            "  idle: {http: {methods: [GET], path: /x}}\nunmediated: [health]\n",
            "idle: {http: {methods: [GET], path: /x}}",
        ),
        policy(
            Lint::CommandShadowed,
            "  files.any: {http: {methods: [GET, PUT], path: \"/files/{*rest}\"}}\n",
            "  files.deep: {http: {methods: [GET], path: \"/files/{name}/{*rest}\"}}\n  files.any: {http: {methods: [GET], path: \"/files/{*rest}\"}}\n",
            "files.any: {http: {methods: [GET], path: \"/files/{*rest}\"}}",
        ),
        policy(
            Lint::MatcherRepeated,
            "  health: {http: {methods: [GET], path: /healthz}}\n",
            "  health:\n  - {http: {methods: [GET], path: /healthz}}\n  - {http: {methods: [GET], path: /healthz, hosts: [a.example]}}\n",
            "- {http: {methods: [GET], path: /healthz, hosts: [a.example]}}",
        ),
        policy(
            Lint::GrantRepeated,
            "revoked:\n",
            "  - {name: again, when: {claims: {role: support, level: \"2\"}}, allow: [files.one]}\nrevoked:\n",
            "- {name: again, when: {claims: {role: support, level: \"2\"}}, allow: [files.one]}",
        ),
        policy(
            Lint::GrantUnmediated,
            "revoked:\n",
            "  - {name: probe, when: {subject: prober}, allow: [health]}\nrevoked:\n",
            "- {name: probe, when: {subject: prober}, allow: [health]}",
        ),
        policy(Lint::LifetimeNotTightened, "max_lifetime: 15m", "max_lifetime: 60m", "max_lifetime: 60m"),
        policy(
            Lint::LifetimeMoot,
            "revoked:\n",
            "  - {name: more, when: {subject: \"agent-*\"}, allow: [orders.list, orders.read]}\nrevoked:\n",
            "max_lifetime: 15m",
        ),
        policy(
            Lint::TransfersMoot,
            "    allow: [\"files.*\"]\n",
            "    allow: [\"files.*\"]\n    transfers: {uploads: deny}\n  - {name: more, when: {claims: {role: support}}, allow: [\"files.*\"]}\n",
            "transfers: {uploads: deny}",
        ),
        policy(
            Lint::UpgradeNotCarried,
            "unmediated: [health]\ngrants:\n",
            "  chat: {http: {methods: [GET], path: /chat, upgrade: true}}\nunmediated: [health]\ngrants:\n  - {name: bob, when: {subject: bob}, allow: [chat], transfers: {downloads: deny}}\n",
            "- {name: bob, when: {subject: bob}, allow: [chat], transfers: {downloads: deny}}",
        ),
        policy(
            Lint::RevokedIssuerUnknown,
            "revoked:\n",
            "revoked:\n  - {issuer: https://old.example, because: \"INC-3\"}\n",
            "- {issuer: https://old.example, because: \"INC-3\"}",
        ),
        policy(
            Lint::RevokedExpired,
            "2026-11-23T10:00:00Z",
            "2026-11-23T09:29:00Z",
            "- {subject: agent-7, issued_before: \"2026-11-23T09:29:00Z\", because: \"INC-2\"}",
        ),
        policy(
            Lint::RevokedFuture,
            "2026-11-23T10:00:00Z",
            "2026-11-23T10:31:00Z",
            "- {subject: agent-7, issued_before: \"2026-11-23T10:31:00Z\", because: \"INC-2\"}",
        ),
        policy(
            Lint::RevokedRepeated,
            "upstream:\n",
            "  - {subject: agent-7, issued_before: \"2026-11-23T09:59:00Z\", because: \"INC-4\"}\nupstream:\n",
            "- {subject: agent-7, issued_before: \"2026-11-23T09:59:00Z\", because: \"INC-4\"}",
        ),
        policy(Lint::RevokedWithoutBecause, ", because: \"INC-1\"", "", "- {session: s-1}"),
        policy(
            Lint::AllowUnknown,
            "  orders.purge: ",
            "  # check: allow command_unusd\n  orders.purge: ",
            "# check: allow command_unusd",
        ),
        istio(Lint::FailOpen, "failStrategy: FAIL_RELOAD", "failStrategy: FAIL_OPEN", "failStrategy: FAIL_OPEN"),
        istio(
            Lint::ImageNotPinned,
            "  sha256: 1ef0c9a92b0420cf25f7fe5d481b231464bc88f486ca3b9c83ed5cc21d2f6210\n",
            "",
            "url: oci://registry.example/chaperone:1",
        ),
        istio(
            Lint::CredentialEnvironment,
            "name: ORDERS_TOKEN, valueFrom",
            "name: OTHER, valueFrom",
            "credential: {header: authorization, value: \"Bearer ${env:ORDERS_TOKEN}\"}",
        ),
        istio(
            Lint::CredentialInline,
            "valueFrom: HOST",
            "valueFrom: INLINE, value: hunter2",
            "- {name: ORDERS_TOKEN, valueFrom: INLINE, value: hunter2}",
        ),
        istio(Lint::YamlAmbiguous, "{role: support}", "{role: on}", "when: {claims: {role: on}}"),
    ];
    for (lint, good, from, to, line) in &cases {
        assert_eq!(raised(good, from, to), [(Some(lint.code()), (*line).to_owned())], "{lint:?}");
    }
    // Beside what raises them.
    let elsewhere = [
        Lint::ObjectSize,
        Lint::BodyUnavailable,
        // Of commands in bodies.
        Lint::AnyTool,
        Lint::ItemRepeated,
        Lint::PathLookAlike,
        Lint::MethodMissing,
        Lint::FormNotPassed,
        Lint::SourceAddressClaimed,
        // Of the wiring, and of two files.
        Lint::CircuitBreakersMissing,
        Lint::TimeoutMissing,
        Lint::StreamsOrphaned,
        Lint::EndingsLost,
        Lint::RevocationsLost,
        Lint::GenerationNotRaised,
        Lint::VmShared,
    ];
    let missing: Vec<_> =
        Lint::ALL.into_iter().filter(|lint| !elsewhere.contains(lint) && !cases.iter().any(|case| case.0 == *lint)).collect();
    assert_eq!(missing, [], "every lint has its case");
}

#[test]
fn what_ends_a_session_in_good_time_raises_nothing() {
    for to in ["{max_lifetime: 1h, idle_timeout: 59m}", "{max_lifetime: 1h}\nend_session_when: {denials: {count: 2, within: 1m}}"]
    {
        assert_eq!(raised(POLICY, "{max_lifetime: 1h, clock_skew: 30s}", to), [], "{to}");
    }
    assert_eq!(raised(&fetching(), "path: /jwks.json}", "path: /jwks.json, refresh: 1h}"), []);
    assert_eq!(raised(&fetching(), "status: {", "status: {required: true, "), []);
}

#[test]
fn envoys_own_file_is_looked_at_too() {
    assert_eq!(messages(&check(&ecds())), NOTHING);
    let codes = |from: &str, to: &str| raised(&ecds(), from, to).into_iter().filter_map(|(code, _)| code).collect::<Vec<_>>();
    assert_eq!(codes("FAIL_RELOAD", "FAIL_OPEN"), ["fail_open"]);
    assert_eq!(codes("failure_policy: FAIL_RELOAD", "fail_open: true"), ["fail_open"]);
    assert_eq!(codes("host_env_keys: [ORDERS_TOKEN]", "host_env_keys: []"), ["credential_environment"]);
    assert_eq!(codes("host_env_keys: [ORDERS_TOKEN]", "key_values: {ORDERS_TOKEN: x}"), ["credential_inline"]);
}

#[test]
fn what_a_webassembly_plugin_of_a_mesh_cannot_do_is_said() {
    let body = "commands: {search: {mcp: {path: /mcp, tools: [search]}}}\n";
    let document = PolicyDocument::find(Document::parse("p.yaml", body.to_owned()).unwrap()).unwrap();
    let codes = |target| {
        let found = document.warnings(Some(target), now());
        found.iter().filter_map(|finding| finding.severity.code()).collect::<Vec<_>>()
    };
    assert_eq!(codes(Target::Istio), ["command_unused", "body_unavailable"]);
    assert_eq!(codes(Target::EnvoyGateway), ["command_unused", "body_unavailable"]);
    assert_eq!(codes(Target::Envoy), ["command_unused"]);
}

#[test]
fn an_address_that_clients_write_themselves_in_istio_is_asked_about_there() {
    let codes = |context: &str, target| {
        let text = POLICY.replacen("revoked:\n", &format!("end_session_when: {{context_changes: [{context}]}}\nrevoked:\n"), 1);
        let document = PolicyDocument::find(Document::parse("p.yaml", text).unwrap()).unwrap();
        let found = document.warnings(Some(target), now());
        found.iter().filter_map(|finding| finding.severity.code()).collect::<Vec<_>>()
    };
    assert_eq!(codes("source_address", Target::Istio), ["source_address_claimed"]);
    assert_eq!(codes("source_address", Target::Envoy), [""; 0]);
    assert_eq!(codes("client_certificate", Target::Istio), [""; 0]);
}

#[test]
fn an_address_that_every_request_needs_is_not_saved() {
    let codes = |audit: &str, end: &str, session: &str| {
        let text = POLICY.replacen("revoked:\n", &format!("{end}{audit}revoked:\n"), 1).replacen(
            "session: {max_lifetime",
            &format!("session: {{{session}max_lifetime"),
            1,
        );
        let document = PolicyDocument::find(Document::parse("p.yaml", text).unwrap()).unwrap();
        let found = document.warnings(Some(Target::Envoy), now());
        found.iter().filter_map(|finding| finding.severity.code()).collect::<Vec<_>>()
    };
    const PROXY: &str = "audit: {source: proxy}\n";
    const ADDRESS: &str = "end_session_when: {context_changes: [source_address]}\n";
    const DPOP: &str = "bind: [dpop], dpop: {origins: [\"https://orders.example\"]}, ";
    assert_eq!(codes(PROXY, ADDRESS, ""), ["source_asked"]);
    assert_eq!(codes(PROXY, "", DPOP), ["source_asked"]);
    assert_eq!(codes(PROXY, "", ""), [""; 0]);
    assert_eq!(codes(PROXY, "end_session_when: {context_changes: [client_certificate]}\n", ""), [""; 0]);
    assert_eq!(codes("audit: {source: filter}\n", ADDRESS, DPOP), [""; 0]);
}

#[test]
fn an_object_near_its_greatest_size_is_asked_about_in_istio() {
    let with = |entries: usize| {
        let more: String =
            (0..entries).map(|number| format!("  - {{session: s-{number:08}, because: \"INC-{number:08}\"}}\n")).collect();
        let text = POLICY.replacen("revoked:\n", &format!("revoked:\n{more}"), 1);
        let document = PolicyDocument::find(Document::parse("p.yaml", text).unwrap()).unwrap();
        document.check(Some(Target::Istio), now()).1.map(|found| found.list().to_vec()).unwrap_or_default()
    };
    assert_eq!(messages(&with(1_000)), NOTHING);
    let found = with(22_000);
    assert_eq!(found.iter().map(|finding| finding.severity.code()).collect::<Vec<_>>(), [Some("object_size")]);
    assert_eq!(found[0].line_column(), Some((28, 1)));
}

#[test]
fn an_ungranted_exception_to_a_granted_command_is_used_to_deny() {
    // `orders.purge` in the good text: nobody may use it, and it keeps `/v1/orders/purge` from being `orders.read`.
    assert_eq!(messages(&check(POLICY)), NOTHING);
    let seen = raised(POLICY, "path: /v1/orders/purge", "path: /v2/orders/purge");
    assert_eq!(seen.iter().map(|(code, _)| *code).collect::<Vec<_>>(), [Some("command_unused")]);
}

#[test]
fn a_comment_allows_what_is_meant_beside_it_or_above_it_and_no_other() {
    let with = |comment: &str, above: &str| {
        let to = format!("{above}  idle: {{http: {{methods: [GET], path: /x}}}}{comment}\nunmediated: [health]\n");
        check(&POLICY.replacen("unmediated: [health]\n", &to, 1)).len()
    };
    assert_eq!(with("", ""), 1);
    assert_eq!(with("  # check: allow command_unused, when_wide: for the record", ""), 0);
    assert_eq!(with("", "  # check: allow command_unused\n  # for the record\n"), 0);
    assert_eq!(with("  # check: allow when_wide", ""), 1);
    assert_eq!(with("", "  # check: allow command_unused\n\n"), 1, "the comment stands elsewhere");
}

#[test]
fn the_ways_round_a_session_are_noted() {
    let noted = |from: &str, to: &str| {
        let raised = raised(POLICY, from, to);
        assert!(raised.iter().all(|(code, _)| *code == Some("way_round")), "{raised:?}");
        raised.into_iter().map(|(_, line)| line).collect::<Vec<_>>()
    };
    let credential = "credential: {header: authorization, value: \"Bearer ${env:ORDERS_TOKEN}\"}";
    assert_eq!(noted("  strip: [cookie]\n", ""), [credential]);
    assert_eq!(noted("[cookie]", "[Cookie]"), NOTHING);
    // Where the credential takes its place, with what needs no session alone.
    assert_eq!(noted("[basic, opaque_bearer]", "[basic]"), [credential]);
    let all_granted =
        POLICY.replace("unmediated: [health]\n", "").replace("allow: [orders.list,", "allow: [health, orders.list,");
    assert_eq!(raised(&all_granted, "[basic, opaque_bearer]", "[basic]"), []);
    assert_eq!(noted("[cookie]", "[cookie, authorization]"), NOTHING);
    let in_query = "credential: {query: key, value: \"${env:ORDERS_TOKEN}\"}";
    assert_eq!(noted(credential, in_query), [in_query]);
    assert_eq!(noted(credential, "credential: {basic: {user: u, password: \"${env:ORDERS_TOKEN}\"}}"), NOTHING);
}

#[test]
fn many_of_a_kind_are_counted() {
    let more: String = (0..50).map(|number| format!("  - {{session: x-{number}}}\n")).collect();
    let found = check(&POLICY.replacen("revoked:\n", &format!("revoked:\n{more}"), 1));
    assert_eq!(found.len(), 10);
    assert!(found[9].message.ends_with("(and 40 more like this)"), "{}", found[9].message);
}

#[test]
fn what_follows_from_an_error_is_not_a_second_mistake() {
    let found = check(&POLICY.replace("orders.read]", "orders.raed]").replace("1h", "8h"));
    let codes: Vec<_> = found.iter().map(|finding| finding.severity.code()).collect();
    assert_eq!(codes, [Some("lifetime_long"), None], "{}", messages(&found).join("\n"));
}

#[test]
fn a_pattern_is_asked_about_for_all_that_it_names() {
    let text = "commands:\n  a.read: {http: {methods: [GET], path: /a}}\n  a.write: {http: {methods: [PUT, POST], path: /a}}\n  b.Hook: {grpc: {service: a, methods: [B]}}\n  b.Look: {grpc: {service: a, methods: [C], forms: [connect_get]}}\nunmediated: [\"a.*\", b.Hook, b.Look]\n";
    let policy = PolicyDocument::find(Document::parse("p.yaml", text.into()).unwrap()).unwrap();
    let found = policy.warnings(None, now());
    let messages: Vec<&str> = found.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(
        messages,
        ["`a.*` lets anybody send POST, PUT without a session", "`b.Hook` lets anybody send gRPC calls without a session"]
    );
}
