//! The core's folders are layers: each knows only those before it. So one can be read, and tried, without those after it.
#![allow(clippy::disallowed_methods, clippy::string_slice, clippy::unwrap_used, reason = "a test that reads the sources")]

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. What stands in `src` itself (`exchange`, `lib.rs`) is above all of them.
const LAYERS: [&str; 9] = ["primitives", "document", "http", "token", "commands", "rules", "state", "decide", "answer"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The layers that a source names: by `crate::LAYER`, in a `use` or elsewhere, also `use crate::{LAYER, ...}`.
fn named(source: &str) -> Vec<String> {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        match rest.strip_prefix('{') {
            // At the outer level of the braces.
            Some(group) => {
                let mut depth = 0;
                let mut start = true;
                for (at, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        _ if start && depth == 0 && !c.is_whitespace() => {
                            names.push(word(&group[at..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
            None => names.push(word(rest)),
        }
    }
    names
}

/// Whether `super` after `super` leads out of the file's layer: as many steps as the file is deep, one more in a module within it.
fn climbs_out(file: &str, source: &str) -> bool {
    let depth = file.split('/').filter(|part| !matches!(*part, "mod.rs")).count();
    let (code, tests) = source.split_once("\nmod tests {").unwrap_or((source, ""));
    let chain = |steps: usize| "super::".repeat(steps);
    code.contains(&chain(depth)) || tests.contains(&chain(depth + 1))
}

/// Each arrow that points upwards, as `FILE names LAYER`.
fn upward(file: &str, source: &str) -> Vec<String> {
    let Some(own) = file.split('/').next().and_then(|folder| LAYERS.iter().position(|layer| *layer == folder)) else {
        return Vec::new();
    };
    let allowed = |name: &str| LAYERS.iter().position(|layer| *layer == name).is_some_and(|layer| layer <= own);
    let names = named(source).into_iter().filter(|name| !allowed(name)).map(|name| format!("{file} names {name}"));
    names.chain(climbs_out(file, source).then(|| format!("{file} climbs out of its layer"))).collect()
}

#[test]
fn no_layer_knows_one_above_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut seen = 0;
    let mut arrows = Vec::new();
    for path in files {
        let file = path.strip_prefix(&src).unwrap().to_string_lossy().replace('\\', "/");
        seen += usize::from(LAYERS.iter().any(|layer| file.starts_with(&format!("{layer}/"))));
        arrows.extend(upward(&file, &fs::read_to_string(&path).unwrap()));
    }
    assert!(seen > 50, "only {seen} files are in a layer");
    assert!(arrows.is_empty(), "arrows upwards:\n{}", arrows.join("\n"));
    for layer in LAYERS {
        assert!(src.join(layer).is_dir(), "{layer} is a folder");
    }
}

#[test]
fn an_arrow_upwards_is_found_in_any_spelling() {
    assert_eq!(upward("http/head.rs", "use crate::rules::policy::Rules;"), ["http/head.rs names rules"]);
    assert_eq!(upward("http/head.rs", "let x = crate::decide::check(1);"), ["http/head.rs names decide"]);
    let group = "use crate::{\n    primitives::{limits, json},\n    state::worker::Worker,\n};";
    assert_eq!(upward("token/jws.rs", group), ["token/jws.rs names state"]);
    // The roots are above all layers, by whatever name they are reached.
    assert_eq!(upward("answer/record.rs", "use crate::Exchange;"), ["answer/record.rs names Exchange"]);
    for fine in
        ["use crate::primitives::limits;", "use crate::token::keys::{Algorithm, KeySet};", "// crate::answer", "use std::fmt;"]
    {
        assert!(upward("token/claims.rs", fine).is_empty(), "{fine}");
    }
    assert_eq!(upward("http/head.rs", "use super::super::rules::policy::Rules;"), ["http/head.rs climbs out of its layer"]);
    assert_eq!(upward("rules/grants/mod.rs", "use super::super::state;"), ["rules/grants/mod.rs climbs out of its layer"]);
    assert!(upward("rules/grants/index.rs", "use super::Grant;\nmod tests {\n    use super::super::Grants;\n}").is_empty());
    assert!(upward("exchange/judge.rs", "use crate::answer::record::Record;").is_empty());
}
