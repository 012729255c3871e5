//! What is lost when one file takes another's place, and the change beside it that loses nothing.

use super::*;
use crate::source::Document;
use serde_json::json;

fn policy(members: &Value) -> Value {
    let mut policy = json!({
        "version": 1, "name": "orders", "generation": 2,
        "tokens": {"issuers": [{"issuer": "https://b", "audiences": ["o"], "algorithms": ["ES256"], "keys": {"endpoint": {"cluster": "b", "authority": "b", "path": "/"}}}]},
        "session": {"max_lifetime": "15m"}, "commands": {}, "grants": [],
    });
    for (name, member) in members.as_object().unwrap() {
        policy[name] = member.clone();
    }
    policy
}

fn document(text: String) -> PolicyDocument {
    PolicyDocument::find(Document::parse("n.yaml", text).unwrap()).unwrap_or_else(|findings| panic!("{findings}"))
}

fn ecds(vm_id: &str, plugin: &str, members: &Value) -> PolicyDocument {
    let configuration = json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": policy(members).to_string()});
    let config = json!({"name": plugin, "vm_config": {"vm_id": vm_id}, "configuration": configuration});
    document(json!({"resources": [{"name": "chaperone", "typed_config": {"config": config}}]}).to_string())
}

fn now() -> Timestamp {
    "2026-11-23T10:30:00Z".parse().unwrap()
}

/// The codes, each with a word of its message.
fn said(new: &PolicyDocument, old: &PolicyDocument) -> Vec<(&'static str, String)> {
    let found = new.against(old, now());
    let list = found.iter().flat_map(|found| found.list());
    list.map(|finding| {
        assert!(finding.help.is_some() && finding.range.is_some(), "{finding:?}");
        (finding.severity.code().unwrap(), finding.message.clone())
    })
    .collect()
}

fn codes(new: &PolicyDocument, old: &PolicyDocument) -> Vec<&'static str> {
    said(new, old).into_iter().map(|(code, _)| code).collect()
}

#[test]
fn what_finds_open_streams_again_is_compared() {
    let old = ecds("v", "p", &json!({}));
    let next = json!({"generation": 3});
    assert_eq!(said(&ecds("v", "p", &next), &old), [], "another generation");
    assert_eq!(said(&ecds("v", "q", &next), &old), [], "another plugin name alone");
    assert_eq!(codes(&ecds("w", "p", &next), &old), ["streams_orphaned"]);
    let renamed = json!({"generation": 3, "name": "other"});
    assert_eq!(codes(&ecds("v", "p", &renamed), &old), ["streams_orphaned"]);
    assert!(said(&ecds("v", "p", &renamed), &old)[0].1.contains("end within 10s"));
    assert!(
        said(&ecds("v", "p", &renamed), &ecds("v", "p", &json!({"session": {"max_lifetime": "15m", "orphaned_streams": "3s"}})))
            [0]
        .1
        .contains("end within 3s"),
        "the old policy says how long"
    );
    for (vm_id, members) in [("w", &next), ("v", &renamed)] {
        let both = said(&ecds(vm_id, "q", members), &old);
        assert!(both.len() == 1 && both[0].1.contains("end within 10s"), "{both:?}");
    }
    // Bare policies have nothing but their name.
    let bare = |members: &Value| document(policy(members).to_string());
    assert_eq!(codes(&bare(&renamed), &bare(&json!({}))), ["streams_orphaned"]);
    assert_eq!(said(&bare(&next), &old), []);
    assert_eq!(said(&ecds("v", "p", &next), &bare(&json!({}))), []);
}

#[test]
fn what_was_ended_by_behaviour_is_lost_with_the_vm_and_not_with_a_name() {
    let ways = json!({"end_session_when": {"denials": {"count": 5, "within": "1m"}}, "session": {"max_lifetime": "15m", "idle_timeout": "5m"}});
    let mut next = ways.clone();
    next["generation"] = json!(3);
    let old = ecds("v", "p", &ways);
    assert_eq!(codes(&ecds("w", "p", &next), &old), ["streams_orphaned", "endings_lost"]);
    next["name"] = json!("other");
    assert_eq!(codes(&ecds("v", "p", &next), &old), ["streams_orphaned"]);
    assert_eq!(
        codes(&ecds("w", "p", &json!({"generation": 3})), &ecds("v", "p", &json!({}))),
        ["streams_orphaned"],
        "nothing ends by itself there"
    );
}

#[test]
fn every_revocation_is_still_there_or_a_wider_one_or_too_old_to_matter() {
    let with = |entries: Value, generation: u64| ecds("v", "p", &json!({"generation": generation, "revoked": entries}));
    let lost = |old: Value, new: Value| said(&with(new, 3), &with(old, 2));
    let entry = json!({"session": "s-1", "issuer": "https://b", "because": "INC-1"});
    assert_eq!(lost(json!([entry]), json!([{"session": "s-1", "issuer": "https://b"}])), [], "whatever the reason");
    assert_eq!(lost(json!([entry]), json!([{"session": "s-1"}])), [], "a wider one");
    assert_eq!(lost(json!([{"session": "s-1"}]), json!([entry])).len(), 1, "a narrower one");
    let gone = lost(json!([entry, {"agent": "crawler"}]), json!([{"agent": "crawler"}]));
    assert!(gone.len() == 1 && gone[0].0 == "revocations_lost" && gone[0].1.contains("s-1"), "{gone:?}");
    let dated = |at: &str| json!([{"subject": "m", "issued_before": at}]);
    assert_eq!(lost(dated("2026-11-23T10:20:00Z"), dated("2026-11-23T10:25:00Z")), [], "a later one");
    assert_eq!(lost(dated("2026-11-23T10:25:00Z"), dated("2026-11-23T10:20:00Z")).len(), 1, "an earlier one");
    assert_eq!(lost(dated("2026-11-23T10:00:00Z"), json!([])), [], "no session from before it is live");
    let many = |from: u32| (from..from + 50_000).map(|number| json!({"session": format!("s-{number}")})).collect::<Value>();
    assert_eq!(lost(many(0), many(0)), []);
    assert_eq!(lost(many(0), many(49_000)).len(), 10, "ten of a kind, and a number");
}

#[test]
fn a_generation_that_envoy_may_have_seen_is_asked_about() {
    let with = |generation: u64, mode: &str| ecds("v", "p", &json!({"generation": generation, "mode": mode}));
    assert_eq!(codes(&with(2, "observe"), &with(2, "enforce")), ["generation_not_raised"]);
    assert_eq!(codes(&with(1, "observe"), &with(2, "enforce")), ["generation_not_raised"]);
    assert_eq!(said(&with(3, "observe"), &with(2, "enforce")), []);
    assert_eq!(said(&with(2, "enforce"), &with(2, "enforce")), [], "the same bytes: nothing to tell");
    let mut bare = policy(&json!({"mode": "observe"}));
    bare.as_object_mut().unwrap().remove("generation");
    assert_eq!(said(&document(bare.to_string()), &with(2, "enforce")), [], "`render` writes it");
}

#[test]
fn the_objects_of_a_mesh_are_known_by_their_own_names() {
    let istio = |name: &str, members: &Value| {
        document(json!({"apiVersion": "e", "kind": "WasmPlugin", "metadata": {"name": name, "namespace": "n"}, "spec": {"pluginConfig": policy(members)}}).to_string())
    };
    let renamed = json!({"generation": 3, "name": "other"});
    assert_eq!(said(&istio("b", &json!({"generation": 3})), &istio("a", &json!({}))), []);
    assert!(said(&istio("b", &renamed), &istio("a", &json!({})))[0].1.contains("end within 10s"));
    assert!(said(&istio("a", &renamed), &istio("a", &json!({})))[0].1.contains("end within 10s"));
    let gateway = |name: &str| {
        let wasm = json!([{"name": "w", "config": policy(&json!({"generation": 3}))}]);
        document(
            json!({"apiVersion": "g", "kind": "EnvoyExtensionPolicy", "metadata": {"name": name}, "spec": {"wasm": wasm}})
                .to_string(),
        )
    };
    assert_eq!(said(&gateway("a"), &gateway("a")), []);
    assert_eq!(codes(&gateway("b"), &gateway("a")), ["streams_orphaned"], "Envoy Gateway's vm_id is made of it");
}

#[test]
fn a_comment_allows_what_is_meant() {
    let text = serde_json::to_string(&policy(&json!({"generation": 3, "name": "other"}))).unwrap();
    let meant = text.replace("\"name\":\"other\"", "name: other  # check: allow streams_orphaned\n").replace(",name", "\n ,name");
    let old = ecds("v", "p", &json!({}));
    assert_eq!(said(&document(meant), &old), []);
}
