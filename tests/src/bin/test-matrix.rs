//! `make test-matrix`: the tests of the shipped wiring with each Envoy that it is for, and a table at the end. Stops at nothing.
//!
//! Arguments narrow it down: versions, and names of test files, in any order.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use chaperone_tests::{
    install::{CHOICE, VERSIONS, WITHOUT_V8},
    root, target,
};
use std::{
    fs, io,
    path::Path,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

/// What an Envoy without V8 is asked: everything else needs a filter that runs.
const DENIES: &str = "envoy_without_v8";
/// Tests of the wiring that are not called `envoy_…`: the corpus goes through Envoy, too, and Envoy reads what is rendered.
const OTHERS: [&str; 2] = ["corpus", "shipped_manifests"];

/// How the tests of one file went.
struct Ran {
    passed: u32,
    failed: u32,
    /// It ended as a run without a failure does.
    good: bool,
    took: Duration,
}

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("test-matrix: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[String]) -> io::Result<bool> {
    let all_versions = [&VERSIONS[..], &[WITHOUT_V8]].concat();
    let files = files()?;
    let (versions, names): (Vec<&str>, Vec<&str>) =
        arguments.iter().map(String::as_str).partition(|argument| argument.starts_with(|first: char| first.is_ascii_digit()));
    let unknown = versions.iter().find(|asked| !all_versions.contains(asked));
    let unknown = unknown.or_else(|| names.iter().find(|asked| !files.iter().any(|file| file == *asked)));
    if let Some(unknown) = unknown {
        return Err(io::Error::other(format!("{unknown} is neither of {} nor of {}", all_versions.join(" "), files.join(" "))));
    }
    let versions = if versions.is_empty() { all_versions } else { versions };
    let files: Vec<String> = files.into_iter().filter(|file| names.is_empty() || names.contains(&file.as_str())).collect();

    println!("==> the tests (built once for all versions)");
    if !cargo(&files).args(["--no-run"]).status()?.success() {
        return Ok(false);
    }
    let mut columns = Vec::new();
    for version in &versions {
        let folder = target().join("test-matrix").join(version);
        fs::create_dir_all(&folder)?;
        let mut column = Vec::new();
        for file in &files {
            let asked = *version != WITHOUT_V8 || file == DENIES;
            column.push(if asked { Some(test(version, file, &folder)?) } else { None });
        }
        columns.push(column);
    }
    let table = table(&versions, &files, &columns);
    fs::write(target().join("test-matrix").join("table.md"), &table)?;
    println!("\n{table}");
    Ok(columns.iter().flatten().flatten().all(|ran| ran.good))
}

/// The test files of the wiring, by name.
fn files() -> io::Result<Vec<String>> {
    let mut files: Vec<String> = OTHERS.map(str::to_owned).into();
    for entry in fs::read_dir(root().join("tests").join("tests"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        files.extend(name.strip_suffix(".rs").filter(|name| name.starts_with("envoy_")).map(str::to_owned));
    }
    files.sort();
    Ok(files)
}

fn cargo(files: &[String]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(["test", "--locked", "--quiet"]);
    files.iter().for_each(|file| {
        command.args(["--test", file]);
    });
    command
}

/// Runs the tests of one file with this Envoy; all that they say is kept in `folder`.
fn test(version: &str, file: &str, folder: &Path) -> io::Result<Ran> {
    let started = Instant::now();
    // A difference is to be seen and not taken over.
    let out = cargo(&[file.to_owned()]).env(CHOICE, version).env("INSTA_UPDATE", "no").output()?;
    let said = [out.stdout, out.stderr].concat();
    let log = folder.join(format!("{file}.log"));
    fs::write(&log, &said)?;
    let said = String::from_utf8_lossy(&said).into_owned();
    let count = |what: &str| {
        let results = said.lines().filter(|line| line.starts_with("test result: "));
        let counts = results.filter_map(|line| line.split_once(what)?.0.rsplit([' ', ';']).next()?.parse::<u32>().ok());
        counts.sum()
    };
    let ran = Ran { passed: count(" passed"), failed: count(" failed"), good: out.status.success(), took: started.elapsed() };
    let seen = if ran.good { String::new() } else { format!(": see {}", log.display()) };
    println!("Envoy {version}  {file:22} {:>3} passed, {} failed, {:.0?}{seen}", ran.passed, ran.failed, ran.took);
    Ok(ran)
}

fn table(versions: &[&str], files: &[String], columns: &[Vec<Option<Ran>>]) -> String {
    let row = |first: &str, cells: &[String]| format!("| {first} | {} |\n", cells.join(" | "));
    let heads: Vec<String> = versions.iter().map(|version| format!("Envoy {version}")).collect();
    let mut table = row("", &heads) + &format!("|---|{}\n", "---|".repeat(versions.len()));
    for (index, file) in files.iter().enumerate() {
        let cell = |column: &Vec<Option<Ran>>| match column.get(index).and_then(Option::as_ref) {
            None => String::new(),
            Some(ran) if ran.good => ran.passed.to_string(),
            Some(ran) => format!("{} of {} FAILED", ran.failed, ran.passed + ran.failed),
        };
        table += &row(file, &columns.iter().map(cell).collect::<Vec<_>>());
    }
    let total = |column: &Vec<Option<Ran>>| {
        let ran = || column.iter().flatten();
        let (passed, failed) = (ran().map(|ran| ran.passed).sum::<u32>(), ran().map(|ran| ran.failed).sum::<u32>());
        format!("{passed} passed, {failed} failed, {} s", ran().map(|ran| ran.took.as_secs()).sum::<u64>())
    };
    table + &row("in all", &columns.iter().map(total).collect::<Vec<_>>())
}
