//! Policies among other documents and in ConfigMaps: what is changed is the policy, and every other byte stays.

use super::*;
use crate::{revoke::patch, source::quoted};

/// Documents that nobody but their authors should have to like.
const BEFORE: &str = "# Source: chart/é.yaml   \napiVersion: v1\nkind: Service\nmetadata: {name: &n s, labels: {app: *n}}  # kept\nport:   0644\n...\n%YAML 1.2\n---\n# nothing here\n---\n";
const AFTER: &str = "---\napiVersion: v1\nkind: Secret\ndata: {a: !!binary \"eA==\"}   \n\n# the end\n---\n";

fn indent(text: &str, by: usize) -> String {
    let line = |line: &str| if line.trim().is_empty() { line.to_owned() } else { format!("{}{line}", " ".repeat(by)) };
    text.split_inclusive('\n').map(line).collect()
}

fn plugin(policy: &str) -> String {
    format!(
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: p, namespace: n}}\nspec:\n  pluginConfig:\n{}",
        indent(policy, 4)
    )
}

fn config_map(header: &str, file: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\ndata:\n  a: |\n    x\n  file: {header}\n{}", indent(file, 4))
}

fn ecds(value: &str) -> String {
    format!(
        "resources: # r\n- '@type': x\n  typed_config:\n    config:\n      configuration:\n        '@type': type.googleapis.com/google.protobuf.StringValue\n        value: {value}\n      # after\n      fail: closed # c\n"
    )
}

/// Changes the policy where it is carried, and compares every byte with the policy changed alone.
fn carried(policy: &str, carrier: &dyn Fn(&str) -> String) {
    for ends in ["\n", "\r\n"] {
        let changes = [add("s-1"), add("it's \"odd\" #\u{85}"), Change::Undo(session("s-1")), Change::Undo(session("s-0"))];
        let carrier = |policy: &str| carrier(policy).replace('\n', ends);
        let (mut alone, mut text) = (policy.to_owned(), carrier(policy));
        for (number, wanted) in changes.iter().enumerate() {
            let read =
                |text: &str| PolicyDocument::read("p.yaml", text.to_owned(), None).unwrap_or_else(|e| panic!("{e}\n{text}"));
            let at = Timestamp::from_second(now().as_second() + i64::try_from(number).unwrap()).unwrap();
            let new = |text: &str| revise(&read(text), wanted, at).unwrap_or_else(|e| panic!("{e}\n{text}")).unwrap().text;
            (alone, text) = (new(&alone), new(&text));
            assert_eq!(text, carrier(&alone));
        }
    }
}

fn among(document: String) -> String {
    format!("{BEFORE}{document}{AFTER}")
}

#[test]
fn other_documents_and_the_rest_of_a_config_map_stay_to_the_byte() {
    let mut policies = Vec::new();
    for tail in [
        "revoked: [{session: s-0}]   # none\n# end\n",
        "\n# why\n\nrevoked:\n  # first\n  - {session: s-0} # c\n\n  - {token: t}\n\n# end\n\n",
        "revoked:\n- token: t\n  because: |\n    a\n\n    b\n- {session: s-0}\n",
        "revoked:\n  [\n    {session: s-0}, # c\n\n    {token: t} # d\n  ]\nmode: enforce\n",
    ] {
        policies.push(head() + tail);
        policies.push((head() + tail).replace("name: orders ", "name: orders\ngeneration: 7 "));
    }
    for policy in &policies {
        carried(policy, &|policy| among(policy.to_owned()));
        carried(policy, &|policy| among(plugin(policy)));
        carried(policy, &|policy| {
            format!("apiVersion: v1\nkind: List\nitems:\n-   {}- kind: Service\n", indent(&plugin(policy), 4).trim_start())
        });
        for header in ["|", "|  # the file", "|+"] {
            carried(policy, &|policy| config_map(header, policy) + "more: 1\n");
            carried(policy, &|policy| among(config_map(header, policy)));
        }
        // A first line that is further from the margin than the others.
        carried(&format!("  # a remark\n{policy}"), &|policy| config_map("|2", policy) + "more: 1\n");
    }
    // The block's last line is the file's.
    let policy = policies[0].trim_end().to_owned();
    carried(&policy, &|policy| config_map("|-", policy));
    carried(&policy, &|policy| config_map("|-", policy) + "\nmore: 1\n");
}

#[test]
fn a_policy_is_changed_through_the_envoy_file_that_a_config_map_holds() {
    let mut value = document(&head()).value().clone();
    value["revoked"] = json!([{"session": "s-0"}, {"token": "t"}]);
    let (line, pretty) = (value.to_string(), format!("{value:#}"));
    let single = |policy: &str| ecds(&format!("'{}'", policy.replace('\'', "''")));
    let block = |policy: &str| ecds(&format!("|\n{}", indent(policy, 10))).replace("\n      # after", "\n\n      # after");
    carried(&line, &|policy| among(config_map("|", &single(policy))));
    carried(&line, &|policy| among(config_map("|", &ecds(&quoted(policy)))));
    carried(&pretty, &|policy| among(config_map("|", &block(policy))));
    carried(&pretty, &|policy| among(block(policy)));
}

#[test]
fn what_is_written_otherwise_is_re_encoded_or_refused_and_never_half_changed() {
    let policy = head() + "revoked: [{session: s-0}]\n";
    let json = format!("{:#}", document(&policy).value()).replace('\n', "\n    ");
    for (written, begins) in
        [(Value::from(policy.as_str()).to_string(), "\"version: 1 # the first\\n"), (format!("'{json}'"), "'{ \"commands\"")]
    {
        let text = among(format!("apiVersion: v1\nkind: ConfigMap\ndata: {{file: {written}, z: 1}}\n"));
        let document = PolicyDocument::read("p.yaml", text.clone(), None).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let new = revise(&document, &add("s-1"), now()).unwrap().unwrap().text;
        assert!(new.starts_with(&format!("{BEFORE}apiVersion: v1\nkind: ConfigMap\ndata: {{file: {begins}")), "{new}");
        assert!(new.ends_with(&format!(", z: 1}}\n{AFTER}")), "{new}");
    }
    let folded = format!("apiVersion: v1\nkind: ConfigMap\ndata:\n  file: >\n{}", indent(&policy.replace('\n', "\n\n"), 4));
    let document = PolicyDocument::read("p.yaml", folded, None).unwrap();
    let refused = revise(&document, &add("s-1"), now()).unwrap_err().to_string();
    assert!(refused.contains("stands in a form that cannot be changed safely"), "{refused}");
}

#[test]
fn of_two_policies_the_one_that_is_named_is_changed() {
    let (first, second) = (head(), head().replace("name: orders", "name: ledger"));
    let two =
        |first: &str, second: &str| format!("{BEFORE}{}---\n{}---\n{first}{AFTER}", plugin(second), config_map("|", "x: 1\n"));
    let text = two(&first, &second);
    for (name, expected) in [
        ("orders", two(&change(&first, &add("s-1")).unwrap().text, &second)),
        ("ledger", two(&first, &change(&second, &add("s-1")).unwrap().text)),
        ("n/p", two(&first, &change(&second, &add("s-1")).unwrap().text)),
    ] {
        let document = PolicyDocument::read("p.yaml", text.clone(), Some(name)).unwrap();
        let revision = revise(&document, &add("s-1"), now()).unwrap().unwrap();
        assert_eq!(revision.text, expected);
        assert_eq!(patch(&document, &revision).is_ok(), name != "orders", "a patch is for the object alone");
        if name != "orders" {
            let patch = patch(&document, &revision).unwrap();
            assert_eq!(patch["metadata"], json!({"name": "p", "namespace": "n"}));
        }
    }
    assert!(PolicyDocument::read("p.yaml", text, None).is_err());

    let plain = |second: &str| format!("{BEFORE}{first}---\n{second}{AFTER}");
    let document = PolicyDocument::read("p.yaml", plain(&second), Some("ledger")).unwrap();
    let revision = revise(&document, &add("s-1"), now()).unwrap().unwrap();
    assert_eq!(revision.text, plain(&change(&second, &add("s-1")).unwrap().text));
}

#[test]
fn what_would_change_somewhere_else_by_an_alias_is_refused() {
    let text = plugin(&head()).replace("spec:\n", "spec: &all\n") + "copy: *all\n";
    let document = PolicyDocument::read("p.yaml", text.clone(), None).unwrap();
    let refused = revise(&document, &add("s-1"), now()).unwrap_err().to_string();
    assert!(refused.contains("stands in a form that cannot be changed safely"), "{refused}");
    let alone = text.replace("copy: *all\n", "");
    let document = PolicyDocument::read("p.yaml", alone, None).unwrap();
    assert!(revise(&document, &add("s-1"), now()).unwrap().is_ok());
}
