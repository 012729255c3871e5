//! The documentation is true: its policies compile, its tables are complete, its links lead somewhere, and what it names is there.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_authoring::source::{Document, Findings};
use chaperone_policy::Reason;
use chaperone_tests::{
    pages::{self, Page},
    root,
};
use policy_host::files;
use serde_json::Value;
use std::{collections::BTreeSet, fs};

/// Languages of fenced blocks; all others are mistakes. Commands (`sh`) are run by docs_commands.rs, policies and their members
/// (`yaml`) are compiled here, and JSON is read. Nobody looks at `text`, which is for pictures, but at the list of verbs: docs_commands.rs does.
const LANGUAGES: [&str; 4] = ["text", "yaml", "sh", "json"];

#[test]
fn the_readme_is_short() {
    let readme = Page::read("README.md");
    let lines: Vec<&str> = readme.text.lines().collect();
    assert!(lines.len() <= 150, "{} lines", lines.len());
    let long: Vec<&&str> = lines.iter().filter(|line| line.chars().count() > 120).collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn every_block_is_of_a_kind_that_a_test_knows() {
    for page in pages::documentation() {
        for block in page.blocks() {
            assert!(LANGUAGES.contains(&block.language), "{}: ```{}\n{}", page.path, block.language, block.text);
            let is_json = || serde_json::from_str::<Value>(&block.text).is_ok();
            assert!(block.language != "json" || is_json(), "{}: {}", page.path, block.text);
        }
    }
}

/// Compiles it as the command line would. With a member more it must not, so that the check can fail.
fn compile(policy: &Value, of: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.json");
    fs::write(&path, policy.to_string()).unwrap();
    let document = files::policy(&path).unwrap_or_else(|findings| panic!("{of}: {findings}"));
    document.compile().unwrap_or_else(|findings| panic!("{of}: {findings}"));
    let mut broken = policy.clone();
    broken["nonsense"] = true.into();
    fs::write(&path, broken.to_string()).unwrap();
    assert!(files::policy(&path).and_then(|document| document.compile().map(drop)).is_err(), "{of}");
}

/// The first policy that anybody sees is one that a reviewer would take, too.
#[test]
fn the_readmes_policy_has_nothing_to_warn_of() {
    let shown = Page::read("README.md").blocks_in("yaml").remove(0);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("policy.yaml"), shown).unwrap();
    let (policy, findings) = files::policy(&dir.path().join("policy.yaml")).unwrap().check(None, jiff::Timestamp::now());
    let findings = findings.and_then(Findings::without_notes);
    assert!(policy.is_some() && findings.is_none(), "{}", findings.map(|list| list.to_string()).unwrap_or_default());
}

/// A member as a page shows it, put into a whole policy: what it shows replaces what is there, one level down; an issuer is taken
/// for the first one.
fn with(whole: &Value, member: &Value) -> Value {
    let mut policy = whole.clone();
    for (name, shown) in member.as_object().expect("members") {
        let place = &mut policy[name];
        let mut shown = shown.clone();
        if let Some(issuer) = shown.pointer("/issuers/0").and_then(Value::as_object).cloned() {
            place["issuers"][0].as_object_mut().expect("an issuer").extend(issuer);
            shown.as_object_mut().expect("a member").remove("issuers");
        }
        match (place.as_object_mut(), shown) {
            (Some(place), Value::Object(shown)) => place.extend(shown),
            (_, shown) => *place = shown,
        }
    }
    policy
}

#[test]
fn policies_compile_and_so_do_their_members() {
    let mut whole = None;
    let mut members = 0;
    for page in [Page::read("docs/policy.md")].into_iter().chain(pages::documentation()) {
        for shown in page.blocks_in("yaml") {
            let document = Document::parse(&page.path, shown.clone()).unwrap_or_else(|findings| panic!("{findings}"));
            let value = document.value();
            let policy = match &whole {
                Some(whole) if value.get("version").is_none() => with(whole, value),
                _ => value.clone(),
            };
            members += usize::from(value.get("version").is_none());
            compile(&policy, &shown);
            whole.get_or_insert(policy);
        }
    }
    assert!(members >= 5, "{members}");
}

#[test]
fn the_table_of_reasons_has_each_with_its_status_in_order() {
    let page = Page::read("docs/audit.md");
    let rows = page.text.lines().skip_while(|line| *line != "## The reasons").take_while(|line| *line != "## The record");
    let rows: Vec<(String, String)> = rows
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            Some((cells.next()?.trim_end_matches('`').to_owned(), cells.next()?.to_owned()))
        })
        .collect();
    let reasons: Vec<(String, String)> =
        Reason::ALL.iter().map(|reason| (reason.code().to_owned(), reason.status().to_string())).collect();
    assert_eq!(rows, reasons);
}

#[test]
fn the_table_of_metrics_has_what_the_filter_defines() {
    let source = fs::read_to_string(root().join("filter/src/metrics.rs")).unwrap();
    let defined: BTreeSet<&str> = source.split("\"chaperone.").skip(1).filter_map(|rest| rest.split(['"', '{']).next()).collect();
    let page = Page::read("docs/audit.md");
    let listed = page.text.lines().filter_map(|line| line.strip_prefix("| `chaperone.")?.split(['`', '<']).next());
    assert_eq!(listed.collect::<BTreeSet<_>>(), defined);
}

#[test]
fn links_lead_to_files_and_headings() {
    let mut followed = 0;
    for page in pages::all() {
        let path = root().join(&page.path);
        for link in page.links().iter().filter(|link| !link.starts_with("https://")) {
            let (file, anchor) = link.split_once('#').map_or((link.as_str(), None), |(file, anchor)| (file, Some(anchor)));
            let target = if file.is_empty() { path.clone() } else { path.parent().expect("a folder").join(file) };
            assert!(target.exists(), "{}: {link}", page.path);
            if let Some(anchor) = anchor {
                let target = target.canonicalize().unwrap();
                let target = target.strip_prefix(root().canonicalize().unwrap()).expect("a file of the repository");
                let anchors = Page::read(target.to_str().unwrap()).anchors();
                assert!(anchors.iter().any(|there| there == anchor), "{}: {link} is none of {anchors:?}", page.path);
            }
            followed += 1;
        }
    }
    assert!(followed >= 30, "{followed}");
}

#[test]
fn the_readme_leads_to_every_page() {
    let links = Page::read("README.md").links();
    for page in pages::documentation().iter().filter(|page| page.path != "README.md" && !page.path.starts_with("docs/decisions/"))
    {
        assert!(links.contains(&page.path), "{}", page.path);
    }
}

#[test]
fn the_targets_of_make_are_in_the_makefile() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let mut named = BTreeSet::new();
    for page in pages::documentation() {
        let spans = page.code_spans();
        let commands = page.blocks_in("sh").join("");
        let all = spans.iter().map(String::as_str).chain(commands.lines());
        named.extend(all.filter_map(|text| Some(text.strip_prefix("make ")?.split([' ', ';']).next()?.to_owned())));
    }
    assert!(named.len() >= 8, "{named:?}");
    for target in named {
        assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
    }
}

/// Pages for whoever changes the code name it: each path, and each function, that they set in backticks is there.
#[test]
fn what_is_said_of_the_code_names_what_is_there() {
    let sources = pages::files("rs");
    let code: String = sources.iter().map(|path| fs::read_to_string(root().join(path)).unwrap()).collect();
    let (mut paths, mut functions) = (0, 0);
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"].map(Page::read) {
        for span in page.code_spans() {
            // A path, or the end of one, as comments name files; `NAME` stands for one that is still to be made.
            let plain = span.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-/".contains(letter));
            let first = span.split('/').next().unwrap_or_default();
            if plain && !span.contains("NAME") && (span.ends_with(".rs") || span.contains('/') && root().join(first).exists()) {
                let end = format!("/{span}");
                let there = root().join(&span).exists() || sources.iter().any(|path| path.ends_with(&end));
                assert!(there, "{}: there is no {span}", page.path);
                paths += 1;
            } else if let Some(path) = span.strip_suffix("()") {
                let name = path.rsplit([':', '.']).next().unwrap_or_default();
                let declared = [format!("fn {name}("), format!("fn {name}<")];
                assert!(declared.iter().any(|declared| code.contains(declared)), "{}: there is no function {span}", page.path);
                functions += 1;
            }
        }
    }
    assert!(paths >= 20 && functions >= 20, "{paths} paths, {functions} functions");
}
