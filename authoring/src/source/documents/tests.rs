//! Policies among other documents and inside of them: found, told apart, and wrong at their lines in the whole file.

use super::*;
use crate::source::{Lint, MAX_DOCUMENTS as MAX, Severity};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::json;

/// Enough of a policy to be known for one.
const POLICY: &str = "version: 1\nname: orders\ntokens: {issuers: []}\nsession: {max_lifetime: 15}\n";
const CORAZA: &str = "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: waf, namespace: mesh}
spec:
  url: oci://registry.example/waf:1
  failStrategy: FAIL_OPEN
  pluginConfig:
    default_directives: default
    directives_map: {default: [\"SecRuleEngine On\"]}
";

fn indent(text: &str, by: usize) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{}{line}\n", " ".repeat(by)) }).collect()
}

/// A WasmPlugin of this name with this policy.
fn plugin(name: &str, policy: &str) -> String {
    format!(
        "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {{name: {name}, namespace: mesh}}
spec:
  url: oci://registry.example/filter:1
  pluginConfig:
{}",
        indent(policy, 4)
    )
}

fn config_map(key: &str, text: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: files}}\ndata:\n  other.conf: |\n    x\n  {key}: |\n{}",
        indent(text, 4)
    )
}

fn read(text: &str, name: Option<&str>) -> Result<PolicyDocument, String> {
    PolicyDocument::read("s.yaml", text.to_owned(), name).map_err(|findings| findings.to_string())
}

/// The policy's name, and its wrong lifetime with what stands there in the file.
fn found(text: &str) -> (Value, String) {
    let policy = read(text, None).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let wrong = policy.finding("/session/max_lifetime", "wrong", None);
    let range = wrong.range.clone().unwrap();
    assert_eq!(wrong.source.text, text, "the place is one in the whole file");
    (policy.value()["name"].clone(), text.get(range).unwrap().to_owned())
}

#[test]
fn a_policy_is_found_among_documents_and_its_mistakes_have_their_lines_in_the_whole_file() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nspec: {defaultMode: 0644, tag: !x 1, 8080: a}\n";
    let ours = plugin("ours", POLICY);
    for text in [
        format!("---\n# Source: a\n{deployment}---\n{CORAZA}---\n# Source: b\n{ours}---\n"),
        format!("{ours}---\n{CORAZA}"),
        format!("---\n{deployment}---\n---\n# nothing\n---\n{POLICY}"),
        format!("{deployment}...\n---\n{ours}...\n# end\n"),
        format!("%YAML 1.2\n---\n{deployment}...\n%YAML 1.2\n---\n{ours}"),
        format!("\u{feff}{deployment}---\n{ours}"),
        format!("{deployment}---\n{ours}").replace('\n', "\r\n"),
        format!("kind: Values\nreplicas: 3\n---\n{POLICY}"),
        format!("{POLICY}---\n"),
        format!("---\n{POLICY}---\n"),
        format!("apiVersion: v1\nkind: List\nitems:\n- {}- {}", indent(CORAZA, 2).trim_start(), indent(&ours, 2).trim_start()),
        format!("apiVersion: v1\nkind: WasmPluginList\nitems:\n- {}", indent(&ours, 2).trim_start()),
    ] {
        assert_eq!(found(&text), (json!("orders"), "15".to_owned()), "{text}");
    }
    let second = format!("{CORAZA}---\n{ours}");
    let line = second.lines().position(|line| line.contains("max_lifetime")).unwrap() + 1;
    assert_eq!(read(&second, None).unwrap().finding("/session/max_lifetime", "m", None).place(), format!("s.yaml:{line}:29"));
}

#[test]
fn files_in_config_maps_are_looked_into_and_places_lead_through_them() {
    let json = json!({"version": 1, "name": "orders", "tokens": {}, "session": {"max_lifetime": 15}});
    let ecds = |value: &str| {
        format!(
            "resources:\n- '@type': type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig\n  name: chaperone\n  typed_config:\n    config:\n      name: p\n      configuration:\n        '@type': type.googleapis.com/google.protobuf.StringValue\n        value: {value}\n"
        )
    };
    let pretty = serde_json::to_string_pretty(&json).unwrap();
    let in_block = ecds(&format!("|\n{}", indent(&pretty, 10)));
    for (key, file) in [
        ("policy.yaml", format!("\n# first\n\n{POLICY}\n# last\n")),
        ("policy.json", pretty.clone()),
        ("config", POLICY.to_owned()),
        ("ecds.yaml", ecds(&format!("'{json}'"))),
        ("ecds.yaml", in_block.clone()),
        ("envoy.yaml", format!("static_resources:\n  listeners:\n{}", indent(&ecds(&format!("'{json}'")), 2))),
    ] {
        for (text, ends) in [
            (config_map(key, &file), "\n"),
            (format!("{CORAZA}---\n{}more: 1\n", config_map(key, &file)), "\n"),
            (config_map(key, &file), "\r\n"),
            (config_map(key, &file).replace(&format!("{key}: |"), &format!("{key}: |- # the file")), "\n"),
            (format!("apiVersion: v1\nkind: List\nitems:\n- {}", indent(&config_map(key, &file), 2).trim_start()), "\n"),
        ] {
            assert_eq!(found(&text.replace('\n', ends)), (json!("orders"), "15".to_owned()), "{text}");
        }
    }
    let broken = config_map("ecds.yaml", &ecds("'{\"tokens\": {}, \"session\": tru}'"));
    assert!(read(&broken, None).unwrap_err().starts_with("s.yaml:16:47: not a JSON value"), "{:?}", read(&broken, None).err());
    // A copy elsewhere is not the policy because that one cannot be read.
    let twice = ecds("'{\"tokens\": {}, \"session\": {}, \"session\": {}}'");
    let said = read(&format!("{twice}---\n{}", config_map("policy.yaml", POLICY)), None).unwrap_err();
    assert!(said.contains("a second policy: 2 are in this file"), "{said}");
    let carried = read(&config_map("ecds.yaml", &in_block), None).unwrap();
    assert_eq!(carried.identity().plugin.unwrap().name, "p", "what is around the policy is in the ConfigMap's file");
    // What only seems to be one is not looked at where there is a policy, and shown where there is none.
    let prose = config_map("notes.txt", "tokens: and session: are explained here\n\t: [");
    assert_eq!(found(&format!("{prose}---\n{POLICY}")).0, json!("orders"));
    assert!(read(&prose, None).unwrap_err().starts_with("s.yaml:8:"), "{}", read(&prose, None).unwrap_err());
    let quoted = "apiVersion: v1\nkind: ConfigMap\ndata: {p: \"version: 1\\nname: q\\ntokens: {}\\ngrants: 1\"}\n";
    assert_eq!(read(quoted, None).unwrap().finding("/grants", "m", None).place(), "s.yaml:3:11", "escapes move things about");
}

#[test]
fn what_another_plugin_has_is_none_of_ours() {
    let said = read(CORAZA, None).unwrap_err();
    assert!(said.starts_with("s.yaml:7:3: a manifest without a policy in it: this configuration is another plugin's"), "{said}");
    let said = read(&format!("{CORAZA}---\napiVersion: v1\nkind: Service\n"), None).unwrap_err();
    assert!(said.starts_with("s.yaml:7:3: 2 documents without a policy"), "{said}");
    let said = read("apiVersion: v1\nkind: Service\n---\napiVersion: v1\nkind: Secret\n", None).unwrap_err();
    assert!(said.starts_with("s.yaml:1:1: 2 documents without a policy in them"), "{said}");
    // By the image it is ours, whatever is in it.
    let ours = CORAZA.replace("/waf:1", "/chaperone:1");
    let policy = read(&format!("{CORAZA}---\n{ours}"), None).unwrap();
    assert!(policy.compile().unwrap_err().to_string().contains("default_directives"));

    let open = |text: &str| {
        let (_, found) = read(text, Some("orders")).unwrap().check(None, "2026-11-23T10:00:00Z".parse().unwrap());
        let found = found.unwrap();
        let open = found.list().iter().filter(|finding| finding.severity == Severity::Warning(Lint::FailOpen));
        open.map(|finding| finding.line_column().unwrap().0).collect::<Vec<_>>()
    };
    let list = |ours: &str| {
        format!("apiVersion: v1\nkind: List\nitems:\n- {}- {}", indent(CORAZA, 2).trim_start(), indent(ours, 2).trim_start())
    };
    let ours = plugin("ours", POLICY);
    assert_eq!(open(&list(&ours)), [0_usize; 0], "that the other fails open is its own business");
    assert_eq!(open(&list(&ours.replace("spec:\n", "spec:\n  failStrategy: FAIL_OPEN\n"))), [17]);
}

#[test]
fn the_set_of_members_is_that_of_the_document() {
    let schema = crate::schema::policy();
    let mut members: Vec<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    let mut known = found::MEMBERS.to_vec();
    members.sort_unstable();
    known.sort_unstable();
    assert_eq!(known, members);
}

#[test]
fn anchors_and_aliases_are_read_around_a_policy_and_refused_within() {
    let ours = plugin("ours", POLICY);
    let around = ours.replace("{name: ours, namespace: mesh}", "{name: &n ours, namespace: *n, labels: {<<: &l {a: *n}, b: *n}}");
    assert_eq!(found(&around).0, json!("orders"));
    assert!(read(&around, Some("ours/ours")).is_ok(), "an alias is what it repeats");
    let merged =
        ours.replace("metadata:", "x: &open {failStrategy: FAIL_OPEN}\nmetadata:").replace("spec:\n", "spec:\n  <<: *open\n");
    let (_, warned) = read(&merged, None).unwrap().check(None, "2026-11-23T10:00:00Z".parse().unwrap());
    assert!(warned.unwrap().to_string().contains("every request goes through"), "what a merge key brings is seen");

    for (from, to, said) in [
        ("name: orders", "name: &a orders", "s.yaml:8:11: an anchor"),
        ("metadata: {name: ours", "metadata: {name: &a ours", "s.yaml:8:11: an alias"),
        ("pluginConfig:", "pluginConfig: &all", "s.yaml:6:17: an anchor"),
        ("{max_lifetime: 15}", "{<<: {max_lifetime: 15}}", "s.yaml:10:15: a merge key"),
        ("name: orders", "name: !!str orders", "s.yaml:8:11: a tag"),
        ("max_lifetime: 15", "max_lifetime: 015", "s.yaml:10:29: `015` is one number"),
        ("version: 1", "404: 1", "s.yaml:7:5: a key that is not a string"),
    ] {
        let mut text = ours.replacen(from, to, 1);
        if said.contains("alias") {
            text = text.replace("name: orders", "name: *a");
        }
        let error = read(&text, None).unwrap_err();
        assert!(error.starts_with(said), "{error}\n{text}");
    }
    let in_a_file = config_map("p.yaml", &POLICY.replace("name: orders", "name: &a orders"));
    assert!(read(&in_a_file, None).unwrap_err().starts_with("s.yaml:9:11: an anchor"), "{:?}", read(&in_a_file, None).err());
    // A policy that is written elsewhere is nothing that `revoke` could change, or a line could be shown of.
    for text in [
        format!("apiVersion: v1\nkind: WasmPlugin\nbase: &p\n{}spec: {{pluginConfig: *p}}\n", indent(POLICY, 2)),
        format!("apiVersion: v1\nkind: WasmPlugin\nbase: &p\n  pluginConfig:\n{}spec: *p\n", indent(POLICY, 4)),
        format!("apiVersion: v1\nkind: WasmPlugin\nbase: &p\n  pluginConfig:\n{}spec: {{<<: *p}}\n", indent(POLICY, 4)),
        format!("apiVersion: v1\nkind: ConfigMap\nbase: &p |\n{}data: {{p: *p}}\n", indent(POLICY, 2)),
    ] {
        let error = read(&text, None).unwrap_err();
        assert!(error.contains("alias"), "{error}\n{text}");
    }
    // Two of a name are two readings, wherever they stand.
    assert!(read(&ours.replace("spec:", "spec: {}\nspec:"), None).unwrap_err().contains("`spec` is here twice"));
}

#[test]
fn several_policies_are_told_apart_by_name_or_by_their_objects() {
    let other = POLICY.replace("name: orders", "name: ledger");
    let two = format!("{}---\n{}", plugin("a", POLICY), plugin("b", &other));
    let said = read(&two, None).unwrap_err();
    assert_eq!(
        said,
        "s.yaml:19:11: a second policy: 2 are in this file (say which one is meant by `--policy-name NAME`: `orders` in WasmPlugin mesh/a (line 8), `ledger` in WasmPlugin mesh/b (line 19))"
    );
    for (name, expected) in [("orders", "orders"), ("ledger", "ledger"), ("a", "orders"), ("b", "ledger"), ("mesh/b", "ledger")] {
        assert_eq!(read(&two, Some(name)).unwrap().value()["name"], expected, "{name}");
    }
    for name in ["", "order", "orders*", "c", "other/a", "mesh"] {
        let said = read(&two, Some(name)).unwrap_err();
        let list = "(it has `orders` in WasmPlugin mesh/a (line 8), `ledger` in WasmPlugin mesh/b (line 19))";
        assert_eq!(said, format!("s.yaml:1:1: has no policy `{name}` {list}"));
    }
    // A name that both could mean means neither.
    let crossed = format!("{}---\n{}", plugin("ledger", POLICY), plugin("b", &other));
    assert!(read(&crossed, Some("ledger")).unwrap_err().contains("a second policy `ledger`: 2 are called so"));
    let same = format!("{POLICY}---\n{POLICY}");
    assert!(read(&same, Some("orders")).unwrap_err().contains("give each a name of its own"));
    assert!(read(&same, None).unwrap_err().contains("give each a name of its own, and say"));
    // One alone needs no name, and is not taken for another.
    assert!(read(POLICY, Some("orders")).is_ok());
    assert_eq!(read(POLICY, Some("ledger")).unwrap_err(), "s.yaml:1:1: has no policy `ledger` (it has `orders` (line 2))");
    let many: String = (0..30).map(|index| format!("---\n{}", POLICY.replace("orders", &format!("p-{index}")))).collect();
    let said = read(&many, None).unwrap_err();
    assert!(said.contains("30 are in this file") && said.contains("`p-9` (line 48), and 20 more"), "{said}");
    assert_eq!(read(&many, Some("p-29")).unwrap().value()["name"], "p-29");
}

#[test]
fn a_template_is_to_be_rendered_first() {
    let ours = plugin("ours", POLICY);
    for (from, to, place) in [
        ("namespace: mesh", "namespace: {{ .Release.Namespace }}", "3:35: is a template (`{{ .Release.Namespace }}`)"),
        ("spec:\n", "spec:\n{{- if .Values.on }}\n{{- end }}\n", "5:1: is a template (`{{- if .Values.on }}`)"),
        ("name: ours", "name: {{ include \"chart.name\" . | quote }}", "3:18: is a template"),
        ("  pluginConfig:\n", "  pluginConfig: {{ toYaml .Values.policy | nindent 4 }}\n", "6:17: is a template"),
    ] {
        let said = read(&ours.replacen(from, to, 1), None).unwrap_err();
        assert!(said.starts_with(&format!("s.yaml:{place}")), "{said}");
        assert!(said.ends_with("(render it first: `helm template CHART | policy-host check -`)"), "{said}");
    }
    let text = config_map("policy.yaml", "{{- toYaml .Values.policy | nindent 4 }}");
    let said = read(&text, None).unwrap_err();
    assert!(
        said.contains("a manifest without a policy in it") && said.contains("; if this is a template, render it first"),
        "{said}"
    );
    // What only looks like one hides no mistake, and is none.
    let meant = POLICY.replace("name: orders", "name: orders # {{ .Values.name }}\nmode: \"{{ .x }}\"");
    assert_eq!(found(&meant).0, json!("orders"));
    assert!(read(&format!("{meant}name: x\n"), None).unwrap_err().contains("`name` is here twice"));
    let elsewhere = format!("{text}---\n{POLICY}");
    assert_eq!(found(&elsewhere).0, json!("orders"), "a template for somebody else");
    assert!(read(&format!("{elsewhere}mode: a\nmode: b\n"), None).unwrap_err().contains("`mode` is here twice"));
    assert!(read("a: {{endpoint: c}: d}\n", None).unwrap_err().contains("a key that is a list or an object"));
    assert!(read("a: {{b: c}: d}\n", None).unwrap_err().contains("a key that is a list or an object"));
}

#[test]
fn a_path_that_wants_quotes_is_told_so_and_shown_with_them() {
    for (line, place, help) in [
        ("  r: {http: {methods: [GET], path: /v1/{id}}}", "2:36", "write `path: \"/v1/{id}\"`"),
        ("  r: {http: {path: /v1/{id}, methods: [GET]}}", "2:20", "write `path: \"/v1/{id}\"`"),
        ("  r: {http: {path: /v1/{id}/items/{item}:cancel}}", "2:20", "write `path: \"/v1/{id}/items/{item}:cancel\"`"),
        ("  r: {path: /files/{*rest}}", "2:13", "write `path: \"/files/{*rest}\"`"),
        ("  r: {path: /{id}", "2:13", "write `path: \"/{id}\"`"),
        ("  r: [/v1/{id}, /v2]", "2:7", "write `\"/v1/{id}\"`"),
        ("  é: {path: /é/{id}}", "2:13", "write `path: \"/é/{id}\"`"),
    ] {
        let said = read(&format!("commands:\n{line}\n  last: 1\n"), None).unwrap_err();
        assert!(said.starts_with(&format!("s.yaml:{place}: `/")), "{said}");
        assert!(said.contains("wants quotes") && said.ends_with(&format!("({help})")), "{said}");
    }
    assert!(read("c: {a: b{c}}\n", None).unwrap_err().contains("not YAML"), "no path");
    assert_eq!(read("path: /v1/{id}\n", None).unwrap().value()["path"], "/v1/{id}", "outside of braces it needs none");
}

#[test]
fn documents_are_bounded_and_what_is_wrong_in_one_has_its_place() {
    for text in ["", "\n", "# only\n", "---\n", "---\n# a\n---\n...\n", "\u{feff}"] {
        assert!(read(text, None).unwrap_err().ends_with("is empty"), "{text:?}");
    }
    let service = "kind: Service\napiVersion: v1\n";
    for (wrong, place) in [
        (format!("{POLICY}---\n{service}x: [1\n---\n{service}"), "s.yaml:9:1: not YAML"),
        (format!("{POLICY}%YAML 1.2\n---\n{service}"), "s.yaml:5:1: not YAML"),
        (format!("{POLICY}---\n\u{feff}{service}"), "s.yaml:6:1: not YAML"),
        (format!("{POLICY}---\na: *nowhere\n"), "s.yaml:6:"),
        (format!("{POLICY}---\na: &a [*a]\n"), "s.yaml:6:8: an alias (`*name`) of nothing"),
        (format!("{POLICY}---\na: 1\na: 2\n"), "s.yaml:7:1: `a` is here twice"),
        (format!("{POLICY}---\n? [a]\n: b\n"), "s.yaml:6:3: a key that is a list"),
    ] {
        let said = read(&wrong, None).unwrap_err();
        assert!(said.starts_with(place), "{said}\n{wrong}");
    }
    let full = format!("{}{POLICY}", format!("{service}---\n").repeat(MAX - 1));
    assert_eq!(found(&full).0, json!("orders"));
    let said = read(&format!("{service}---\n{full}"), None).unwrap_err();
    assert!(said.starts_with(&format!("s.yaml:{}:1: more than 10000 documents in one file", MAX * 3)), "{said}");
}

proptest! {
    /// Whatever stands beside what, nothing panics, and each place is one of the text.
    #[test]
    fn places_are_in_the_text_whatever_it_is(parts in vec(select(PARTS.to_vec()), 0..14), ends in select(vec!["\n", "\r\n"])) {
        let text = parts.concat().replace('\n', ends);
        let mut findings = match PolicyDocument::read("s.yaml", text.clone(), None) {
            Ok(policy) => {
                let mut list = vec![policy.finding("/session/max_lifetime", "m", None)];
                let (_, found) = policy.check(None, "2026-11-23T10:00:00Z".parse().unwrap());
                list.extend(found.iter().flat_map(|found| found.list()).cloned());
                list
            }
            Err(findings) => findings.list().to_vec(),
        };
        findings.retain(|finding| finding.range.as_ref().is_none_or(|range| finding.source.text.get(range.clone()).is_none()));
        prop_assert!(findings.is_empty(), "{findings:?}\n{text}");
    }
}

/// Pieces that together may be documents, or nearly.
const PARTS: [&str; 26] = [
    POLICY,
    CORAZA,
    "---\n",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "kind: ConfigMap\napiVersion: v1\ndata:\n",
    "  é.yaml: |\n",
    "  a: >-\n",
    "  b: |2\n",
    "    version: 1\n    name: é\n    tokens: {}\n    session: {max_lifetime: é}\n",
    "    grants: é\n",
    "\n",
    "    \n",
    "# é\n",
    "é: é\n",
    "&a ",
    "*a ",
    "<<: *a\n",
    "? [a]\n",
    "{{ .x }}\n",
    "  p: {path: /é/{id}}\n",
    "\u{feff}",
    "- ",
    "\"",
    "\t",
];

#[test]
fn a_few_lines_do_not_become_many_by_aliases() {
    let laughs: String =
        (1..12).map(|level| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", "))).collect();
    let said = read(&format!("a0: &a0 ha\n{laughs}"), None).unwrap_err();
    assert!(said.contains("repeats too much"), "{said}");
    let deep: String = (1..100).map(|level| format!("a{level}: &a{level} [*a{}]\n", level - 1)).collect();
    let said = read(&format!("a0: &a0 ha\n{deep}"), None).unwrap_err();
    assert!(said.contains("nests too deeply"), "{said}");
    let said = read(&format!("{POLICY}---\nx: [{}]\n", "&a 1, ".repeat(100_001)), None).unwrap_err();
    assert!(said.contains("more anchors, tags and the like"), "{said}");
}
