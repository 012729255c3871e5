//! The table, for people and for programs.

use crate::{calls::Calls, rows::Row, steps::Touched};
use serde_json::{Value, json};
use std::{fmt::Write, time::Duration};

/// What was measured of one row.
pub(crate) struct Figures {
    pub(crate) row: Row,
    /// By the count of connections.
    pub(crate) rounds: Vec<Rounds>,
    /// The same under the fixed load: once, with everything else of the machine in the caches in between.
    pub(crate) paced_cpu: f64,
    /// The code that a request touches, where that could be followed.
    pub(crate) touched: Option<Result<Touched, String>>,
    /// Times of the requests under the fixed load.
    pub(crate) times: Vec<Duration>,
}

/// What the rounds with so many connections came to, in microseconds per request.
pub(crate) struct Rounds {
    pub(crate) connections: usize,
    /// CPU time of Envoy.
    pub(crate) cpu: Vec<f64>,
    /// Time until all were answered.
    pub(crate) wall: Vec<f64>,
}

impl Rounds {
    pub(crate) fn of(connections: usize) -> Self {
        Self { connections, cpu: Vec::new(), wall: Vec::new() }
    }

    fn min(&self) -> f64 {
        self.cpu.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn median(&self) -> f64 {
        median(&self.cpu)
    }
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// Everything that is said about a run besides its figures.
pub(crate) struct Facts {
    pub(crate) date: String,
    pub(crate) machine: String,
    pub(crate) load: (String, String),
    pub(crate) envoy: &'static str,
    pub(crate) wasm_bytes: u64,
    pub(crate) rounds: usize,
    pub(crate) requests: u32,
    pub(crate) cold_requests: u32,
    pub(crate) connections: Vec<usize>,
    pub(crate) rate: u32,
    pub(crate) pinned: bool,
}

impl Figures {
    /// Microseconds within which this share of the requests was answered.
    fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.times.clone();
        sorted.sort();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in a list"
        )]
        let place = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len()) - 1;
        sorted[place].as_secs_f64() * 1e6
    }
}

/// CPU over that of no filter: of the minima, then of the medians.
fn added(all: &[Figures], at: usize, row: Row) -> Option<(f64, f64)> {
    let find = |wanted| all.iter().find(|one| one.row == wanted).and_then(|one| one.rounds.get(at));
    let (this, none) = (find(row)?, find(row.bare())?);
    (row != row.bare()).then(|| (this.min() - none.min(), this.median() - none.median()))
}

fn ratio(all: &[Figures], at: usize, row: Row, native: Option<Row>) -> Option<(f64, f64)> {
    let (this, native) = (added(all, at, row)?, added(all, at, native?)?);
    Some((this.0 / native.0, this.1 / native.1))
}

fn ratio_alike(all: &[Figures], at: usize, row: Row) -> Option<(f64, f64)> {
    ratio(all, at, row, row.alike())
}

/// Markdown.
pub(crate) fn markdown(facts: &Facts, all: &[Figures], calls: &[Calls]) -> String {
    let mut text = format!(
        "# What a request costs\n\n{}; {}; load average {} before and {} after; Envoy {}, one worker; chaperone.wasm {} bytes.\n\
         {} alternating rounds of {} requests ({} where each token is new), keep-alive connections of HTTP/1.1, direct response,\n\
         the same access log for all{}.\n\n\
         CPU: microseconds of Envoy's process per request, user and kernel. Added: over no filter, with the same body. Ratio: added over what native\n\
         adds, cached for warm and denied, uncached with the same algorithm for cold. Alike: over what native adds when it is made\n\
         to set the same headers and to write the same record. Each of the minimum, which other work on\n\
         the machine disturbs least, and of the median. p50, p99 and the last CPU: microseconds at {} requests a second.\n\n",
        facts.date,
        facts.machine,
        facts.load.0,
        facts.load.1,
        facts.envoy,
        facts.wasm_bytes,
        facts.rounds,
        facts.requests,
        facts.cold_requests,
        if facts.pinned { ", Envoy and the load each on a core of its own" } else { ", not pinned to cores" },
        facts.rate,
    );
    for (at, connections) in facts.connections.iter().enumerate() {
        writeln!(text, "With {connections} connections:\n").expect("a string");
        table(&mut text, all, at);
        text.push('\n');
    }
    text.push_str("Requests a second with the most connections, and the share of that time in which Envoy had the processor: at 1.0 it could not do more.\n\n");
    for one in all {
        if let Some(rounds) = one.rounds.last() {
            let wall = median(&rounds.wall);
            writeln!(text, "- {}: {:.0}, {:.2}", one.row.name(), 1e6 / wall, rounds.median() / wall).expect("a string");
        }
    }
    text.push_str("\nCode of one request, in cache lines of 64 bytes that are touched and instructions that are run: what V8 made of the filter, and Envoy's own.\n\n");
    for one in all {
        match &one.touched {
            Some(Ok(Touched { made_lines, made, own_lines, own })) => {
                writeln!(
                    text,
                    "- {}: {made_lines} lines, {made} instructions; {own_lines} lines, {own} instructions",
                    one.row.name()
                )
            }
            Some(Err(error)) => writeln!(text, "- {}: not followed: {error}", one.row.name()),
            None => Ok(()),
        }
        .expect("a string");
    }
    text.push_str("\nHost calls of one request:\n\n");
    for (row, made) in calls {
        let list: Vec<String> = made.iter().map(|(call, count)| format!("{call} {count}")).collect();
        writeln!(text, "- {}: {} ({})", row.name(), made.values().sum::<u64>(), list.join(", ")).expect("a string");
    }
    text
}

/// The rows with so many connections. Latency and the CPU under a fixed load are measured with the first count alone.
fn table(text: &mut String, all: &[Figures], at: usize) {
    let mut line = |cells: [String; 12]| {
        let [name, rest @ ..] = cells;
        write!(text, "| {name:<40} |").expect("a string");
        rest.iter().for_each(|cell| write!(text, " {cell:>7} |").expect("a string"));
        text.push('\n');
    };
    line(
        ["variant", "CPU min", "median", "added", "median", "ratio", "median", "alike", "median", "p50", "p99", "CPU"]
            .map(str::to_owned),
    );
    line([":---", "---:", "---:", "---:", "---:", "---:", "---:", "---:", "---:", "---:", "---:", "---:"].map(str::to_owned));
    for one in all {
        let Some(rounds) = one.rounds.get(at) else { continue };
        let micros = |value: f64| format!("{value:.1}");
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let paced = |value: String| or_dash((at == 0).then_some(value));
        let (added, ratio) = (added(all, at, one.row), ratio(all, at, one.row, one.row.native()));
        let alike = ratio_alike(all, at, one.row);
        line([
            one.row.name().to_owned(),
            micros(rounds.min()),
            micros(rounds.median()),
            or_dash(added.map(|(min, _)| micros(min))),
            or_dash(added.map(|(_, median)| micros(median))),
            or_dash(ratio.map(|(min, _)| format!("{min:.2}"))),
            or_dash(ratio.map(|(_, median)| format!("{median:.2}"))),
            or_dash(alike.map(|(min, _)| format!("{min:.2}"))),
            or_dash(alike.map(|(_, median)| format!("{median:.2}"))),
            paced(format!("{:.0}", one.quantile(0.5))),
            paced(format!("{:.0}", one.quantile(0.99))),
            paced(micros(one.paced_cpu)),
        ]);
    }
}

/// The same as JSON, with the figures of each round.
pub(crate) fn json(facts: &Facts, all: &[Figures], calls: &[Calls]) -> Value {
    let pair = |figures: Option<(f64, f64)>| figures.map(|(min, median)| json!({"min": min, "median": median}));
    let row = |one: &Figures| {
        json!({
            "variant": one.row.name(),
            "native": one.row.native().map(Row::name),
            "rounds": one.rounds.iter().enumerate().map(|(at, rounds)| json!({
                "connections": rounds.connections,
                "cpu_us": {"min": rounds.min(), "median": rounds.median(), "rounds": rounds.cpu},
                "wall_us": {"median": median(&rounds.wall), "rounds": rounds.wall},
                "added_us": pair(added(all, at, one.row)),
                "ratio": pair(ratio(all, at, one.row, one.row.native())),
                "ratio_like_for_like": pair(ratio_alike(all, at, one.row)),
            })).collect::<Vec<_>>(),
            "code": one.touched.as_ref().and_then(|touched| touched.as_ref().ok()).map(|touched| json!({
                "made": {"lines": touched.made_lines, "instructions": touched.made},
                "own": {"lines": touched.own_lines, "instructions": touched.own},
            })),
            "paced_us": {"p50": one.quantile(0.5), "p99": one.quantile(0.99), "cpu": one.paced_cpu},
        })
    };
    let made_by = |(row, made): &Calls| json!({"variant": row.name(), "total": made.values().sum::<u64>(), "calls": made});
    json!({
        "date": facts.date,
        "machine": facts.machine,
        "load_average": {"before": facts.load.0, "after": facts.load.1},
        "envoy": facts.envoy,
        "wasm_bytes": facts.wasm_bytes,
        "rounds": facts.rounds,
        "requests_per_round": facts.requests,
        "cold_requests_per_round": facts.cold_requests,
        "connections": facts.connections,
        "requests_per_second_for_latency": facts.rate,
        "pinned": facts.pinned,
        "rows": all.iter().map(row).collect::<Vec<_>>(),
        "host_calls": calls.iter().map(made_by).collect::<Vec<_>>(),
    })
}
