//! The text edit against the model, on documents and selectors of all shapes.

use super::{Change, Entry, Nothing, Revision, Selectors, revise};
use crate::source::{Document, PolicyDocument};
use jiff::Timestamp;
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};

const KEY: &str = "{kty: EC, crv: P-256, kid: k, x: f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU, y: x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0}";

fn now() -> Timestamp {
    "2026-11-24T08:00:00Z".parse().unwrap()
}

fn head() -> String {
    format!(
        "version: 1 # the first\nname: orders   # its name\ntokens:\n  issuers:\n    - issuer: https://broker.example\n      audiences: [orders]\n      algorithms: [ES256]\n      keys: {{jwks: {{keys: [{KEY}]}}}}\n# how long\nsession: {{max_lifetime: 15m}}\ncommands:\n  list: {{http: {{methods: [GET], path: /list}}}}\ngrants: []\n"
    )
}

fn document(text: &str) -> PolicyDocument {
    PolicyDocument::find(Document::parse("p.yaml", text.to_owned()).unwrap_or_else(|error| panic!("{error}\n{text}"))).unwrap()
}

fn change(text: &str, change: &Change) -> Result<Revision, Nothing> {
    revise(&document(text), change, now()).unwrap_or_else(|findings| panic!("{findings}\n{text}"))
}

fn session(id: &str) -> Selectors {
    Selectors { session: Some(id.to_owned()), ..Selectors::default() }
}

fn add(id: &str) -> Change {
    Change::Add(Entry { selectors: session(id), because: Some("why # not: \"so\"".to_owned()) })
}

/// What stands after `grants: []` when a session is revoked, and when that is undone.
fn round(tail: &str) -> (String, String) {
    let before = head() + tail;
    let added = change(&before, &add("s-1")).unwrap();
    let undone = change(&added.text, &Change::Undo(session("s-1"))).unwrap();
    let tail = |text: &str| text.split_once("grants: []\n").unwrap().1.to_owned();
    (tail(&added.text), tail(&undone.text))
}

#[test]
fn an_entry_is_written_where_the_others_are() {
    const NEW: &str = r#"{session: "s-1", because: "why # not: \"so\""}"#;
    let (added, undone) = round("");
    assert_eq!((added.as_str(), undone.as_str()), (&*format!("revoked:\n  - {NEW}\n"), "revoked: []\n"));
    for (tail, expected) in [
        ("revoked: []   # none\n# end\n", format!("revoked: [{NEW}]   # none\n# end\n")),
        ("revoked: [ # none\n  ]\n", format!("revoked: [{NEW} # none\n  ]\n")),
        ("revoked: [{token: t}]\n", format!("revoked: [{{token: t}}, {NEW}]\n")),
        ("revoked: [{token: t}, {token: u} ] # c", format!("revoked: [{{token: t}}, {{token: u}}, {NEW} ] # c")),
        ("revoked:\n  [\n    {token: t}, # c\n  ]\n", format!("revoked:\n  [\n    {{token: t}}, # c\n    {NEW}\n  ]\n")),
        ("revoked:\n  [\n    {token: t}  # c\n  ]\n", format!("revoked:\n  [\n    {{token: t}},  # c\n    {NEW}\n  ]\n")),
        ("revoked:\n- {token: t}", format!("revoked:\n- {{token: t}}\n- {NEW}")),
        (
            "revoked:   # who\n    # first\n    - token: t   # c\n      because: |\n        a\n        b\n\n    # after\nmode: enforce\n",
            format!(
                "revoked:   # who\n    # first\n    - token: t   # c\n      because: |\n        a\n        b\n    - {NEW}\n\n    # after\nmode: enforce\n"
            ),
        ),
        ("revoked:\n  -\n    token: t\n", format!("revoked:\n  -\n    token: t\n  - {NEW}\n")),
        ("\"revoked\": [{token: t}]\n", format!("\"revoked\": [{{token: t}}, {NEW}]\n")),
    ] {
        let (added, undone) = round(tail);
        assert_eq!(added, expected);
        // A comma at the end is no other list.
        assert!(
            undone == tail || undone.replace(" ]", "]").replacen(',', "", 1) == tail.replace(" ]", "]").replacen(',', "", 1),
            "{undone}\n{tail}"
        );
        let windows = round(&tail.replace('\n', "\r\n"));
        assert_eq!(windows.0.matches("\r\n").count() + 1, expected.matches('\n').count() + 1, "{:?}", windows.0);
        assert_eq!(windows.0.replace("\r\n", "\n"), expected);
    }
}

#[test]
fn what_is_removed_takes_its_lines_and_no_others() {
    let tail = "revoked:\n  # night\n  - {session: s-0}   # one\n  - session: s-1     # two\n    because: |\n      a\n\n      b\n  # day\n  - {session: s-2}\nmode: enforce\n";
    let (first, middle) = ("  - {session: s-0}   # one\n", "  - session: s-1     # two\n    because: |\n      a\n\n      b\n");
    for (id, gone) in [("s-0", first), ("s-1", middle), ("s-2", "  - {session: s-2}\n")] {
        let text = change(&(head() + tail), &Change::Undo(session(id))).unwrap().text;
        assert!(text.ends_with(&tail.replace(gone, "")), "{text}");
    }
    let flow = |list: &str, id: &str| {
        let text = change(&format!("{}revoked: {list}\n", head()), &Change::Undo(session(id))).unwrap().text;
        text.split_once("revoked: ").unwrap().1.trim_end().to_owned()
    };
    assert_eq!(flow("[{session: a}, {session: b}, {session: c}]", "a"), "[{session: b}, {session: c}]");
    assert_eq!(flow("[{session: a}, {session: b}, {session: c}]", "b"), "[{session: a}, {session: c}]");
    assert_eq!(flow("[{session: a}, {session: b}]", "b").replace(' ', ""), "[{session:a}]");
    assert_eq!(flow("[{session: a}, {session: a}]", "a").replace(' ', ""), "[]");
    assert_eq!(flow("[\n  {session: a}, # x\n  {session: b}  # y\n  ]", "b"), "[\n  {session: a} # x\n  ]");
}

#[test]
fn generation_is_moved_on_wherever_it_stands() {
    let seconds = now().as_second();
    for (text, expected) in [
        (head(), format!("name: orders   # its name\ngeneration: {seconds}\n")),
        (head().replace("tokens:", "generation: 7   # 7th\ntokens:"), format!("generation: {seconds}   # 7th\n")),
        (head() + "generation: 9007199254740000\n", "generation: 9007199254740001\n".to_owned()),
    ] {
        let revision = change(&text, &add("s-1")).unwrap();
        assert!(revision.text.contains(&expected), "{}", revision.text);
        assert!(change(&revision.text, &add("s-2")).unwrap().generation > revision.generation);
    }
    let last = document(&(head() + "generation: 9007199254740992\n"));
    let refused = revise(&last, &add("s-1"), now()).unwrap_err();
    assert_eq!(refused.list()[0].place(), "p.yaml:14:13");
}

#[test]
fn what_is_covered_is_left_alone_and_what_is_wider_is_not() {
    let at = |instant: &str, id: Option<&str>| Selectors {
        subject: id.map(str::to_owned),
        issued_before: Some(instant.parse().unwrap()),
        ..Selectors::default()
    };
    let text = head() + "revoked: [{subject: m, issued_before: \"2026-11-23T10:00:00Z\"}, {agent: crawler}]\n";
    let add = |selectors: Selectors| change(&text, &Change::Add(Entry { selectors, because: None }));
    assert!(matches!(add(at("2026-11-23T09:00:00Z", Some("m"))), Err(Nothing::Covered(_))));
    assert!(matches!(add(at("2026-11-23T12:00:00+02:00", Some("m"))), Err(Nothing::Covered(_))), "the same instant");
    assert!(add(at("2026-11-23T11:00:00Z", Some("m"))).is_ok());
    assert!(add(at("2026-11-23T09:00:00Z", None)).is_ok());
    assert!(add(Selectors { subject: Some("m".into()), ..Selectors::default() }).is_ok());
    let both = Selectors { agent: Some("crawler".into()), session: Some("s".into()), ..Selectors::default() };
    assert!(matches!(add(both.clone()), Err(Nothing::Covered(_))));
    assert!(
        matches!(change(&text, &Change::Undo(both)), Err(Nothing::NotThere(others)) if others == [json!({"agent": "crawler"})])
    );
    let same_instant = change(&text, &Change::Undo(at("2026-11-23T12:00:00+02:00", Some("m"))));
    assert_eq!(same_instant.unwrap().removed.len(), 1);
}

#[test]
fn pruning_waits_for_the_longest_session_and_never_takes_an_entry_without_a_date() {
    let tail = |seconds: i64| {
        let before = Timestamp::from_second(now().as_second() - seconds).unwrap();
        format!("revoked:\n  - {{session: s}}\n  - {{subject: m, issued_before: \"{before}\"}}\n")
    };
    let skewed = head().replace("max_lifetime: 15m", "max_lifetime: 15m, clock_skew: 30s");
    assert_eq!(change(&(skewed.clone() + &tail(930)), &Change::Prune).unwrap_err(), Nothing::NothingPast);
    let pruned = change(&(skewed + &tail(931)), &Change::Prune).unwrap();
    assert!(pruned.text.ends_with("revoked:\n  - {session: s}\n"), "{}", pruned.text);
}

#[test]
fn a_policy_in_other_files_is_edited_in_place() {
    let policy = document(&head()).value().to_string();
    let pretty = format!("{:#}", document(&head()).value());
    let ecds = |value: &str| {
        format!(
            "resources: # r\n- '@type': x\n  typed_config:\n    config:\n      configuration:\n        '@type': type.googleapis.com/google.protobuf.StringValue\n        value: {value}\n      # after\n      fail: closed # c\n"
        )
    };
    let block = |text: &str| format!("|  # the policy\n          {}\n", text.replace('\n', "\n          "));
    let quoted = |text: &str| Value::from(text).to_string();
    let manifest = format!(
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: n}}\nspec:\n  pluginConfig:\n    {}  url: u # c\n",
        head().replace('\n', "\n    ").trim_end_matches(' ')
    );
    for (text, kept) in [
        (ecds(&block(&policy)), "|  # the policy\n          {"),
        (ecds(&block(&pretty)), "|  # the policy\n          {\n            \"commands\""),
        (ecds(&format!(">-\n          {policy}")), ">-\n          {"),
        (ecds(&format!("'{policy}'")), "value: '{"),
        (ecds(&quoted(&policy)), "value: \"{\\\""),
        (ecds(&quoted(&pretty)), "value: \"{\\n"),
        (serde_json::to_string_pretty(document(&ecds(&quoted(&policy))).file().value()).unwrap(), "\"fail\": \"closed\""),
        (manifest, "    grants: []\n    revoked:\n      - {session"),
    ] {
        let mut text = text;
        for id in ["s-1", "it's \"odd\"\n\u{85}\u{2028}: #"] {
            let revision = change(&text, &add(id)).unwrap();
            assert!(revision.text.contains(kept), "{}", revision.text);
            assert!(revision.text.matches('#').count() >= text.matches('#').count());
            text = revision.text;
        }
        assert_eq!(document(&text).value()["revoked"].as_array().unwrap().len(), 2, "{text}");
        let undone = change(&text, &Change::Undo(session("s-1"))).unwrap();
        assert_eq!(document(&undone.text).value()["revoked"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn what_cannot_be_edited_safely_is_refused_with_its_place() {
    let explicit = head().replace("version: 1 # the first", "? version\n: 1");
    let refused = revise(&document(&explicit), &add("s-1"), now()).unwrap_err();
    assert_eq!(refused.list()[0].message, "stands in a form that cannot be changed safely");
    assert!(Document::parse("p.yaml", format!("{}---\n{}", head(), head())).is_err(), "two documents");
    assert!(change(&format!("%YAML 1.2\n---\n{}...\n", head()), &add("s-1")).is_ok(), "one document, whatever is around it");
}

/// Ids as somebody may write them.
fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9-]{1,8}",
        "[ -~]{1,12}",
        any::<String>().prop_filter("not empty", |text| !text.is_empty()),
        select(vec![
            "0123", "null", "~", "- a", "# c", "a: b", "'", "\"", "a\nb", "{x}", "[", "&a", "*a", "!t", "%", "@", "yes", "1e3"
        ])
        .prop_map(str::to_owned),
    ]
}

fn selectors() -> impl Strategy<Value = Selectors> {
    let maybe = || proptest::option::weighted(0.3, id());
    let instant =
        proptest::option::weighted(0.3, (1_795_000_000_i64..1_796_000_000).prop_map(|s| Timestamp::from_second(s).unwrap()));
    (maybe(), maybe(), maybe(), maybe(), maybe(), instant)
        .prop_map(|(session, subject, agent, token, issuer, issued_before)| Selectors {
            session,
            subject,
            agent,
            token,
            issuer,
            issued_before,
        })
        .prop_filter("names something", |selectors| !selectors.is_empty())
}

fn entry() -> impl Strategy<Value = Entry> {
    (selectors(), proptest::option::of(id())).prop_map(|(selectors, because)| Entry { selectors, because })
}

/// How a list is written.
#[derive(Debug, Clone, Copy)]
enum Layout {
    Absent,
    Flow,
    FlowLines,
    Block(usize),
    BlockMembers(usize),
    Json,
    JsonPretty,
}

fn written(entries: &[Entry], layout: Layout, comments: bool) -> String {
    let remark = |index: usize| if comments { format!("  # about {index}") } else { String::new() };
    let line = |index: usize| if comments { format!("# before {index}\n") } else { String::new() };
    match layout {
        _ if entries.is_empty() && !matches!(layout, Layout::Json | Layout::JsonPretty | Layout::Absent) => {
            format!("{}revoked: []{}\nmode: enforce{}\n", head(), remark(0), remark(1))
        }
        Layout::Absent => head() + &line(0),
        Layout::Flow => {
            let list: Vec<String> = entries.iter().map(Entry::to_string).collect();
            format!("{}revoked: [{}]{}\nmode: enforce\n", head(), list.join(", "), remark(0))
        }
        Layout::FlowLines => {
            let list = entries
                .iter()
                .enumerate()
                .map(|(i, entry)| format!("    {}{entry},{}\n", line(i).replace('\n', "\n    "), remark(i)));
            format!("{}revoked: [\n{}  ]\nmode: enforce{}\n", head(), list.collect::<String>(), remark(99))
        }
        Layout::Block(indent) => {
            let pad = " ".repeat(indent);
            let list = entries.iter().enumerate().map(|(i, entry)| format!("{pad}{}{pad}- {entry}{}\n", line(i), remark(i)));
            format!("{}revoked:{}\n{}\n# end\nmode: enforce\n", head(), remark(99), list.collect::<String>())
        }
        Layout::BlockMembers(indent) => {
            let pad = " ".repeat(indent);
            let one = |(i, entry): (usize, &Entry)| {
                let members = entry.members();
                let members =
                    members.iter().map(|(name, text)| format!("{name}: {}{}\n{pad}  ", crate::source::quoted(text), remark(i)));
                format!("{}{pad}- {}\n", line(i), members.collect::<String>().trim_end())
            };
            let list: String = entries.iter().enumerate().map(one).collect();
            format!("{}revoked:\n{list}", head())
        }
        Layout::Json | Layout::JsonPretty => {
            let mut value = document(&head()).value().clone();
            value["revoked"] = entries.iter().map(Entry::value).collect();
            if matches!(layout, Layout::Json) { value.to_string() } else { format!("{value:#}\n") }
        }
    }
}

fn layout() -> impl Strategy<Value = Layout> {
    prop_oneof![
        Just(Layout::Absent),
        Just(Layout::Flow),
        Just(Layout::FlowLines),
        (0_usize..5).prop_map(Layout::Block),
        (0_usize..5).prop_map(Layout::BlockMembers),
        Just(Layout::Json),
        Just(Layout::JsonPretty),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_edited_text_says_what_the_model_says(
        old in vec(entry(), 0..5), layout in layout(), comments: bool, windows: bool, cut: bool,
        new in entry(), many in vec(entry(), 0..4), undo in any::<prop::sample::Index>(), prune: bool,
    ) {
        let mut text = written(&old, layout, comments && !matches!(layout, Layout::Json | Layout::JsonPretty));
        if windows { text = text.replace('\n', "\r\n"); }
        if cut { text = text.trim_end().to_owned(); }
        let before = document(&text).value().clone();
        let list = |policy: &Value| policy.get("revoked").and_then(Value::as_array).cloned().unwrap_or_default();
        let undone = list(&before).get(undo.index(old.len().max(1))).map(Selectors::of);
        let changes = [Some(Change::Add(new)), Some(Change::AddAll(many)), undone.map(Change::Undo), prune.then_some(Change::Prune)];
        for each in changes.into_iter().flatten() {
            let Ok(revision) = change(&text, &each) else { continue };
            let after = document(&revision.text).value().clone();
            let mut expected = list(&before);
            match &each {
                Change::Add(entry) => expected.push(entry.value()),
                Change::AddAll(many) => for entry in many {
                    if !expected.iter().any(|old| Selectors::of(old).covers(&entry.selectors)) {
                        expected.push(entry.value());
                    }
                },
                Change::Undo(selectors) => expected.retain(|entry| Selectors::of(entry) != *selectors),
                Change::Prune => expected.retain(|entry| Selectors::of(entry).issued_before.is_none_or(|at| at.as_second() + 901 > now().as_second())),
            }
            prop_assert_eq!(list(&after), expected);
            for (name, value) in before.as_object().unwrap() {
                if name != "generation" && name != "revoked" {
                    prop_assert_eq!(&after[name], value);
                }
            }
            let remarks = |text: &str| text.lines().filter(|line| line.trim_start().starts_with("# ")).map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(remarks(&revision.text), remarks(&text), "{}", revision.text);
            if matches!(each, Change::Add(_) | Change::AddAll(_)) {
                for line in text.lines().filter(|line| line.contains("  # ")) {
                    let (_, remark) = line.rsplit_once("  # ").unwrap();
                    prop_assert!(revision.text.contains(remark), "{}\n{}", remark, revision.text);
                }
            }
            prop_assert!(!windows || !revision.text.replace("\r\n", "").contains('\n'));
        }
    }
}

mod documents;
