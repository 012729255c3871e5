//! The public conformance suite of MCP, against any server by its URL.

use super::{Process, node};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// A run takes 10 to 20 s; what hangs is told by its own bound per scenario before.
const RUN: Duration = Duration::from_secs(100);
/// Milliseconds of a scenario; most take less than 100.
const SCENARIO: &str = "10000";

/// What came of each check: by scenario and id, with the number of the check where a scenario has several of one id.
pub type Results = BTreeMap<String, String>;

/// Runs all server scenarios that a version of the protocol requires (`2025-11-25`, `2026-07-28`), and what the suite runs beside
/// them; gives all results, and whether the suite found everything that is required.
///
/// # Panics
/// When the suite does not end in time, or has no results.
pub async fn run(url: &str, version: &str) -> (Results, bool) {
    let mut command = Command::new(node::node());
    command.arg(suite()).args(["server", "--url", url, "--requirements", version, "--timeout", SCENARIO, "-o", "results"]);
    let process = Process::start("mcp-conformance", command.stdin(Stdio::null()));
    let dir = process.dir.clone();
    let (said, conforms) = process.end(RUN).await;
    let results = read(&dir.join("results"));
    assert!(!results.is_empty(), "no results: {said}\n{}", fs::read_to_string(dir.join("stderr")).unwrap_or_default());
    (results, conforms)
}

/// The scenarios' folders are named after them and the time.
fn read(dir: &Path) -> Results {
    let mut results = Results::new();
    for scenario in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = scenario.file_name().to_string_lossy().into_owned();
        let name = name.len().checked_sub("-2026-11-27T22-29-15-594Z".len()).map_or(name.as_str(), |end| &name[..end]);
        let text = fs::read_to_string(scenario.path().join("checks.json")).expect("each scenario has its checks");
        let checks: Vec<Value> = serde_json::from_str(&text).expect("a list of checks");
        for check in checks {
            let id = check["id"].as_str().expect("a check has its id");
            let key = (1..).map(|number| format!("{name}: {id} {number}")).find(|key| !results.contains_key(key));
            results.insert(key.expect("there are enough numbers"), check["status"].as_str().unwrap_or("none").to_owned());
        }
    }
    results
}

/// The suite's program, installed when it is not there yet (50 MB, 15 s).
fn suite() -> PathBuf {
    let packages = node::packages("mcp-conformance", "conformance", "the conformance suite of MCP");
    packages.join("@modelcontextprotocol/conformance/dist/index.js")
}
