//! Small foreign filters, each poking at one behaviour of the host, and what became of them in a real Envoy and in policy-host.
//!
//! A guest is one file of `tests/guests`: what it shows in its first comment, what is sent to it in lines that begin with `;;>`,
//! what it needs in lines that begin with `;;:`, and its code. Its transcript is what it logs, and what the client, the upstream
//! and the access log saw.

mod bootstrap;
mod envoy;
mod host;
mod script;
mod summary;
mod wire;

pub use envoy::run as run_in_envoy;
pub use host::run as run_in_host;
pub use script::{Step, Steps};

use crate::{root, target};
use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf, process::Command};

/// One guest: its code and how it is used.
#[derive(Debug, Clone)]
pub struct Guest {
    /// The file's name without its ending.
    pub name: String,
    /// What it shows: the file's first line.
    pub about: String,
    /// The module.
    pub wasm: Vec<u8>,
    /// What is done with it.
    pub steps: Vec<Step>,
    /// What it needs, by the words of its `;;:` lines.
    pub needs: BTreeMap<String, String>,
}

/// Lines in the order of the guest's log, then what the outside saw.
pub type Transcript = Vec<String>;

impl Guest {
    /// Is this word among its needs?
    #[must_use]
    pub fn needs(&self, word: &str) -> bool {
        self.needs.contains_key(word)
    }

    /// How many workers it wants.
    ///
    /// # Panics
    /// When that is no number.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.needs.get("workers").map_or(1, |count| count.parse().expect("a number of workers"))
    }

    /// Its first configuration.
    #[must_use]
    pub fn configuration(&self) -> &str {
        self.needs.get("configuration").map_or("", String::as_str)
    }
}

/// Where the guests are.
#[must_use]
pub fn folder() -> PathBuf {
    root().join("tests").join("guests")
}

/// All guests, by name.
///
/// # Panics
/// When one cannot be read or assembled.
#[must_use]
pub fn all() -> Vec<Guest> {
    let prelude = fs::read_to_string(folder().join("prelude.wat")).expect("the guests have a prelude");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder()).expect("there are guests").map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    let guests =
        paths.iter().filter(|path| path.extension().is_some_and(|ending| ending == "wat") && !path.ends_with("prelude.wat"));
    let mut guests: Vec<Guest> = guests.map(|path| read(path, &prelude)).collect();
    guests.push(of_the_sdk());
    guests
}

/// A filter as others write them, in Rust with the official SDK: built here, for wasm32-wasip1.
fn of_the_sdk() -> Guest {
    let folder = folder().join("sdk");
    let mut guest = described("sdk", &fs::read_to_string(folder.join("guest.txt")).expect("the guest is described"));
    guest.wasm = fs::read(built_with_sdk()).expect("the guest is built");
    guest
}

/// The .wasm of the filter on the official SDK.
///
/// # Panics
/// When it does not build.
#[must_use]
pub fn built_with_sdk() -> PathBuf {
    let target = target().join("guest-sdk");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let out = Command::new(cargo)
        .current_dir(folder().join("sdk"))
        .args(["build", "--quiet", "--locked", "--release", "--target", "wasm32-wasip1", "--target-dir"])
        .arg(&target)
        .output()
        .expect("cargo can be started");
    assert!(out.status.success(), "the guest does not build:\n{}", String::from_utf8_lossy(&out.stderr));
    target.join("wasm32-wasip1").join("release").join("sdk_guest.wasm")
}

fn read(path: &std::path::Path, prelude: &str) -> Guest {
    let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
    let text = fs::read_to_string(path).expect("a guest can be read");
    let mut guest = described(&name, &text);
    let own = prelude.replace("(export \"proxy_on_memory_allocate\") ", "");
    let prelude = if guest.needs("own_allocator") { own.as_str() } else { prelude };
    let whole = if guest.needs("bare") { text.clone() } else { format!("(module\n{prelude}\n{text})") };
    guest.wasm = wat::parse_str(with_texts(&whole)).unwrap_or_else(|error| panic!("{name}: {error}"));
    if let Some(bytes) = guest.needs.get("cut") {
        guest.wasm.truncate(bytes.parse().expect("a number of bytes"));
    }
    guest
}

/// What the comments of a guest say, without its code.
fn described(name: &str, text: &str) -> Guest {
    let about = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix(";; "))
        .unwrap_or_else(|| panic!("{name} does not say what it shows"));
    let lines = |mark: &'static str| text.lines().filter_map(move |line| line.trim_start().strip_prefix(mark)).map(str::trim);
    let needs = lines(";;:")
        .map(|line| line.split_once(' ').unwrap_or((line, "")))
        .map(|(word, rest)| (word.into(), rest.into()))
        .collect();
    let steps = lines(";;>").map(|line| script::parse(line).unwrap_or_else(|| panic!("{name}: no step: {line}"))).collect();
    Guest { name: name.to_owned(), about: about.to_owned(), wasm: Vec::new(), steps, needs }
}

/// Puts each `$"text"` into memory, and in its place the two constants that say where.
fn with_texts(source: &str) -> String {
    let (mut code, mut data, mut at) = (String::new(), String::new(), 16);
    for (number, line) in source.lines().enumerate() {
        let mut rest = if line.trim_start().starts_with(";;") { "" } else { line };
        while let Some((before, after)) = rest.split_once("$\"") {
            let (text, after) = after.split_once('"').unwrap_or_else(|| panic!("line {number}: a text does not end: {line}"));
            let length = length(text);
            write!(code, "{before}(i32.const {at}) (i32.const {length})").expect("a string takes text");
            writeln!(data, "(data (i32.const {at}) \"{text}\")").expect("a string takes text");
            at += length.next_multiple_of(4) + 4;
            rest = after;
        }
        code.push_str(rest);
        code.push('\n');
    }
    assert!(at < 16384, "the texts do not fit");
    match code.trim_end().strip_suffix(')') {
        Some(module) if !data.is_empty() => format!("{module}\n{data})"),
        _ => code,
    }
}

/// Bytes of a text with escapes of two hexadecimal digits.
fn length(text: &str) -> usize {
    text.len() - 2 * text.matches('\\').count()
}
