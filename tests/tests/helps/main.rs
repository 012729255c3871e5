//! Every `help:` of `check`, applied: what it says is written, that and nothing else, and the mistake is gone.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests fail by panicking, and say what they counted; syn's enums are open"
)]

mod commands;
mod document;
mod exchanges;
mod files;
mod good;
mod grants;
mod keys;
mod lints;
mod mcp;
mod rows;
mod sources;
mod texts;
mod tokens;

use rows::{Row, check};
use std::collections::{BTreeSet, HashSet};

fn all() -> Vec<Row> {
    [
        document::all(),
        tokens::all(),
        keys::all(),
        commands::all(),
        grants::all(),
        lints::all(),
        mcp::all(),
        exchanges::all(),
        files::all(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Of files that are one document, as cases are: `check` takes several.
const NOT_OF_CHECK: [&str; 1] = ["keep one document a file, without `---` between"];

/// Wherever it stands in a file.
fn is_same(one: &serde_json::Value, other: &serde_json::Value) -> bool {
    ["pointer", "message"].iter().all(|name| one[name] == other[name])
}

#[test]
fn every_help_leads_somewhere_and_every_help_of_the_sources_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    let rows = all();
    let (mut seen, mut good, mut faults) = (BTreeSet::new(), HashSet::new(), Vec::new());
    for row in &rows {
        let text = row.good();
        if good.insert((text.clone(), row.against.clone(), row.corrected().to_vec())) {
            let found = check(folder.path(), &text, row, row.corrected());
            if !found.is_empty() {
                faults.push(format!("the good text of {:?}: {found:#?}", row.help));
            }
        }
        let (wrong, right) = match row.edited() {
            Ok(both) => both,
            Err(fault) => {
                faults.push(fault);
                continue;
            }
        };
        let found = check(folder.path(), &wrong, row, &row.arguments);
        let Some(finding) = found.iter().find(|finding| finding["pointer"] == row.place && finding["help"] == row.help) else {
            let found = found.iter().map(|f| format!("{} {}: {} ({})", f["pointer"], f["code"], f["message"], f["help"]));
            let found: Vec<String> = found.take(5).collect();
            faults.push(format!("not said: {} {:?}\n    but {}", row.place, row.help, found.join("\n        ")));
            continue;
        };
        seen.insert(row.help.clone());
        let left = check(folder.path(), &right, row, row.corrected());
        // Of a warning nothing but itself: an error beside it is another row.
        let is_warning = !finding["code"].is_null();
        let is_left = |left: &&serde_json::Value| match is_warning {
            true => {
                left["code"] == finding["code"]
                    || (left["severity"] == "error" && !found.iter().any(|found| is_same(found, left)))
            }
            false => left["severity"] == "error",
        };
        for left in left.iter().filter(is_left) {
            faults.push(format!("{} {:?} leads to: {left}", row.place, row.help));
        }
    }
    let helps = sources::helps();
    faults.extend(helps.unreadable.iter().map(|what| format!("the guard cannot read a help: {what}")));
    for (text, place) in &helps.texts {
        if !NOT_OF_CHECK.contains(&text.to_string().as_str()) && !seen.iter().any(|help| text.makes(help)) {
            faults.push(format!("never applied: {text:?} of {place}", text = text.to_string()));
        }
    }
    println!("{} help texts in the sources, {} mistakes whose help was applied", helps.texts.len(), rows.len());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(helps.texts.len() > 150, "the guard reads the sources");
}
