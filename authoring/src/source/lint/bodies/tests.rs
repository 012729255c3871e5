//! What is asked about commands in bodies, each with its twin that raises nothing.

use crate::source::lint::tests::raised;

const POLICY: &str = r#"version: 1
name: tickets
tokens:
  issuers:
    - issuer: https://broker.example
      audiences: [tickets]
      algorithms: [ES256]
      types: [session+jwt]
      keys: {jwks: {keys: [{kty: EC, crv: P-256, kid: k, x: f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU, "y": x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0}]}}
session: {max_lifetime: 1h}
commands:
  base: {mcp: {path: /mcp, methods: [initialize, tools/list, resources/list]}}
  read: {mcp: {path: /mcp, tools: ["read_*"], resources: ["docs://handbook/**"]}}
  secret: {mcp: {path: /mcp, tools: [read_secret]}}
  delete: {mcp: {path: /mcp, tools: [delete]}}
  users: {grpc: {service: users.v1.Users, methods: [Get], forms: [grpc, grpc_web]}}
  upload: {http: {methods: [POST], path: /upload}}
grants:
  - name: agents
    when: {subject: "agent-*"}
    allow: [base, read, users, upload]
  - name: triage
    when: {subject: "agent-*", claims: {role: triage}}
    allow: [delete]
upstream:
  credential: {header: authorization, value: "Bearer ${env:ORDERS_TOKEN}"}
  direct_credentials: {refuse: [basic, opaque_bearer]}
  strip: [cookie]
  echoed_credential: cut
"#;

/// The codes that this change raises.
fn codes(from: &str, to: &str) -> Vec<&'static str> {
    raised(POLICY, from, to).into_iter().filter_map(|(code, _)| code).collect()
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_command_of_every_tool_is_asked_about_where_it_is_granted() {
    let seen = raised(POLICY, "[\"read_*\"]", "[\"*\"]");
    assert_eq!(
        seen,
        [(Some("any_tool"), "read: {mcp: {path: /mcp, tools: [\"*\"], resources: [\"docs://handbook/**\"]}}".to_owned())]
    );
    assert_eq!(codes("[\"read_*\"]", "[\"*\"], arguments: {type: object, maxProperties: 1}"), ["any_tool"]);
    // What is taken away from it is a part of the server's today.
    assert_eq!(codes("[delete]}}", "[\"*\"]}}\n  remove: {mcp: {path: /mcp, tools: [delete]}}"), ["any_tool"]);
    assert_eq!(codes("[delete]}}", "[\"delete*\"]}}\n  others: {mcp: {path: /mcp, tools: [\"*\"]}}"), ["command_unused"]);
}

#[test]
fn a_command_that_excepts_tools_from_another_is_used_to_deny() {
    // `secret` in the good text: nobody may use it, and it keeps `read_secret` from being `read`.
    assert_eq!(codes("[read_secret]", "[write_secret]"), ["command_unused"]);
    assert_eq!(codes("/mcp, tools: [read_secret]", "/other, tools: [read_secret]"), ["command_unused"]);
}

#[test]
fn what_clients_do_first_must_be_allowed_to_the_same_sessions() {
    for (methods, lost) in
        [("[initialize, resources/list]", 2), ("[initialize, tools/list]", 1), ("[tools/list, resources/list]", 2), ("[ping]", 2)]
    {
        // `triage` has the first grant as well, and needs what that one does.
        let expected = vec!["method_missing"; lost];
        assert_eq!(codes("[initialize, tools/list, resources/list]", methods), expected, "{methods}");
    }
    assert_eq!(codes("allow: [base, read, users", "allow: [read, users"), ["command_unused", "method_missing", "method_missing"]);
    // Sessions of another claim do not have the first grant.
    assert_eq!(codes("{subject: \"agent-*\", claims: {role: triage}}", "{claims: {role: triage}}"), ["method_missing"]);
    for methods in ["[initialize, \"tools/*\", \"resources/*\"]", "[initialize, tools/list, resources/templates/list]"] {
        assert_eq!(codes("[initialize, tools/list, resources/list]", methods), NOTHING, "{methods}");
    }
    let versions = |version: &str| {
        let narrowed = POLICY.replace("mcp: {path: /mcp,", &format!("mcp: {{path: /mcp, versions: [\"{version}\"],"));
        raised(&narrowed, "[initialize, tools/list", "[tools/list").len()
    };
    assert_eq!((versions("2026-07-28"), versions("2025-11-25")), (0, 2));
}

#[test]
fn a_beginning_that_no_uri_goes_on_from_is_asked_about() {
    for dead in [
        "docs://handbook/../**",
        "docs://handbook//*",
        "docs://handbook/%2e%2e/**",
        "docs://handbook/a b*",
        "docs://x#*",
        "docs://caf\u{e9}/**",
    ] {
        assert_eq!(codes("docs://handbook/**", dead), ["pattern_unmatched"], "{dead}");
    }
    for live in [
        "docs://**",
        "file:///srv/**",
        "mem:*",
        "docs://handbook/..*",
        "docs://caf%C3*",
        "docs://a/%*",
        "docs://a/../b",
        "docs://x?a=*",
    ] {
        assert_eq!(codes("docs://handbook/**", live), NOTHING, "{live}");
    }
}

#[test]
fn what_looks_like_an_endpoint_is_asked_about() {
    let slash = "  other: {mcp: {path: /mcp/, methods: [initialize, tools/list], tools: [x]}}\n  upload:";
    let granted =
        POLICY.replace("users, upload]", "users, upload, other]").replace("  upload:", &slash.replace("/mcp/", "/mcp2"));
    let seen = |to: &str| raised(&granted, "/mcp2", to).into_iter().filter_map(|(code, _)| code).collect::<Vec<_>>();
    assert_eq!(seen("/mcp/"), ["path_look_alike"]);
    assert_eq!(seen("/mcp/x"), NOTHING);
    assert_eq!(seen("/mcp/, hosts: [a.example]"), ["path_look_alike"]);
    // What judges nothing is worse.
    assert_eq!(codes("path: /upload", "path: /mcp/"), ["path_look_alike"]);
    assert_eq!(codes("path: /upload", "path: \"/{*rest}\""), ["path_look_alike"]);
    assert_eq!(codes("path: /upload", "path: \"/mcp/{*rest}\""), NOTHING);
    let open = "  hook: {http: {methods: [POST], path: \"/{*rest}\", body: true}}\nunmediated: [hook]\ngrants:\n";
    assert_eq!(codes("grants:\n", open), ["path_look_alike", "unmediated_writes"]);
    assert_eq!(codes("{methods: [POST], path: /upload}", "{methods: [PUT], path: \"/{*rest}\"}"), NOTHING);
    let kept = "path: \"/{*rest}\"}}\n  odd: {http: {methods: [POST], path: /mcp/";
    assert_eq!(codes("path: /upload", kept), NOTHING, "a command that nobody is granted takes them");
}

#[test]
fn a_form_in_which_no_answer_passes_is_asked_about() {
    assert_eq!(codes("[grpc, grpc_web]", "[grpc, grpc_web_text]"), ["form_not_passed"]);
    let removing = POLICY.replace("echoed_credential: cut", "echoed_credential: remove");
    assert_eq!(raised(&removing, "[grpc, grpc_web]", "[grpc, grpc_web_text]"), []);
}

#[test]
fn what_stands_twice_is_asked_about_and_not_where_it_means_something() {
    for (from, to) in [
        ("[grpc, grpc_web]", "[grpc, grpc_web, grpc]"),
        ("methods: [POST]", "methods: [POST, POST]"),
        ("allow: [delete]", "allow: [delete, delete]"),
        ("audiences: [tickets]", "audiences: [tickets, tickets]"),
        ("path: /mcp, tools: [delete]", "path: /mcp, versions: [\"2025-11-25\", \"2025-11-25\"], tools: [delete]"),
    ] {
        assert_eq!(codes(from, to), ["item_repeated"], "{to}");
    }
    let path = "types: [session+jwt]\n      claims: {agent: [act, act]}";
    assert_eq!(codes("types: [session+jwt]", path), NOTHING);
    let schema = "tools: [delete], arguments: {properties: {a: {const: [x, x]}}}";
    assert_eq!(codes("tools: [delete]", schema), NOTHING);
}
