//! `policy-host test`: cases files through the filter.

use super::{Exit, output, wasm, which::Which};
use chaperone_authoring::{
    cases::{Case, Clock, Plan},
    source::{Finding, Findings},
};
use clap::{Args, ValueEnum};
use policy_host::{
    cases::{Change, Palette, Report, Runner, Watch, find},
    files,
    host::Module,
};
use serde_json::json;
use std::{
    io::{self, ErrorKind, IsTerminal, Write, stderr, stdout},
    path::PathBuf,
    sync::Mutex,
    time::{Duration, Instant},
};

/// A run that takes longer than this shows how far it is.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often it does.
const REDRAW: Duration = Duration::from_millis(100);

/// Run cases.yaml files through the filter: does the policy decide as its author means it to?
#[derive(Debug, Args)]
#[command(after_help = r#"Examples:
  policy-host test examples
  policy-host test --watch examples/agent-orders/cases.yaml
  policy-host test --format junit > results.xml

Folders are searched for `cases.yaml` and `*.cases.yaml`. A small one:
  version: 1
  policy: policy.yaml
  at: 2026-11-23T10:00:00Z
  tokens:
    agent:
      iat: 0s
      exp: 10m
      claims: {iss: https://broker.example, aud: orders, sub: agent-7, sid: s-1}
  cases:
    - name: an agent lists orders
      send: {token: agent, get: /v1/orders}
      expect: {allow: orders.list}
    - name: and not after its session has ended
      steps:
        - {config: {add: {revoked: [{session: s-1}]}}}
        - {token: agent, get: /v1/orders, expect: {deny: revoked, status: 401}}

Each case has a proxy of its own, at the file's `at`. At the end stand the commands, grants and reasons that no case has
touched (the reasons that the policy can give at all), of several policies how many (--untouched lists them), unless --filter
left cases out.

JSON: {"passed", "failed", "trapped", "seconds", "files": [{"file", "policy", "cases": [{"name", "line", "column", "result", "seconds",
"trap", "failures": [{"step", "name", "line", "column", "mismatches": [{"what", "expected", "found"}]}]}]}], "coverage": [{"policy",
"commands": {"known", "untouched"}, "grants": {..}, "reasons": {..}}]}; when nothing could run, {"errors": [..]} as `check` has them.
With --watch there is one such object a line for each run.

Exit codes: 0 every case passed, 1 one failed, 3 a cases file or policy is wrong (nothing was run), 4 the filter trapped."#)]
pub(crate) struct Test {
    /// Cases files, and folders that are searched for them.
    #[arg(default_value = ".", value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    which: Which,
    /// The filter, when it is not the one that this workspace built.
    #[arg(long, value_name = "FILE")]
    wasm: Option<PathBuf>,
    /// How to write the results.
    #[arg(long, value_enum, default_value = "human")]
    format: TestFormat,
    /// Only cases with this in their names.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// List what no case touches of each policy, also where there are several: otherwise these are counted.
    #[arg(long)]
    untouched: bool,
    /// Run again whenever a cases file, a policy or the filter is saved, until stopped.
    #[arg(long)]
    watch: bool,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TestFormat {
    /// For people.
    Human,
    /// For programs.
    Json,
    /// For collectors of test results.
    Junit,
}

/// Why nothing was run.
enum Stop {
    Invalid(Findings),
    Other(Exit),
}

impl From<Findings> for Stop {
    fn from(findings: Findings) -> Self {
        Self::Invalid(findings)
    }
}

impl Test {
    pub(crate) fn run(&self) -> Exit {
        if self.watch {
            return self.watch();
        }
        let report = find(&self.paths).map_err(Stop::from).and_then(|files| {
            let (plans, wrong) = read(&files, self.which.name());
            wrong.map_or(Ok(()), Err)?;
            let module = wasm::load(self.wasm.as_ref()).map_err(Stop::Other)?;
            self.report(module, plans)
        });
        match report {
            Ok(report) => self.show(&report).unwrap_or_else(|error| unwritten(&error)),
            Err(stop) => self.stopped(stop),
        }
    }

    fn watch(&self) -> Exit {
        if self.format == TestFormat::Junit {
            output::diagnostic("policy-host: --watch has no end, and JUnit is one document: take human or json");
            return Exit::Usage;
        }
        let mut module = match wasm::load(self.wasm.as_ref()) {
            Ok(module) => module,
            Err(exit) => return exit,
        };
        let mut watch = Watch::new(self.paths.clone(), module.path().to_owned());
        loop {
            let files = match watch.wait() {
                Change::Cases(files) => files,
                Change::Filter(files) => {
                    // One that does not load is shown; the cases wait for the next.
                    let Ok(loaded) = wasm::load(Some(&module.path().to_owned())) else { continue };
                    module = loaded;
                    files
                }
                Change::Lost(findings) => {
                    self.stopped(Stop::Invalid(findings));
                    continue;
                }
            };
            let shown = self.again(module.clone(), &files);
            if let Err(error) = shown {
                return unwritten(&error);
            }
            if stderr().is_terminal() {
                output::diagnostic(&format!("-- watching {}; Ctrl-C ends", output::count(watch.files(), "cases file")));
            }
        }
    }

    /// Runs those of the files that can be; the others are shown, and run when they have been saved anew.
    fn again(&self, module: Module, files: &[PathBuf]) -> io::Result<()> {
        let (plans, wrong) = read(files, self.which.name());
        if let Some(findings) = wrong {
            self.stopped(Stop::Invalid(findings));
        }
        if !plans.is_empty() {
            match self.report(module, plans) {
                Ok(report) => self.show(&report).map(|_| ())?,
                Err(stop) => {
                    self.stopped(stop);
                }
            }
        }
        // Is there still anybody?
        stdout().flush()
    }

    fn report(&self, module: Module, mut plans: Vec<Plan>) -> Result<Report, Stop> {
        if let Some(text) = &self.filter {
            plans.iter_mut().for_each(|plan| plan.cases.retain(|case| case.name.contains(text.as_str())));
            if plans.iter().all(|plan| plan.cases.is_empty()) {
                let nothing = Finding::about_file("--filter", format!("no case has `{text}` in its name"), None);
                return Err(Findings::from(nothing).into());
            }
            plans.retain(|plan| !plan.cases.is_empty());
        }
        let started = Instant::now();
        let all: Vec<(&Plan, &Case)> = plans.iter().flat_map(|plan| plan.cases.iter().map(move |case| (plan, case))).collect();
        let progress = Progress::new(all.len(), started);
        let mut ran = Runner::new(module, wasm::log()).cases(&all, |done| progress.show(done)).into_iter();
        progress.clear();
        let files = plans.into_iter().map(|plan| {
            let ran = ran.by_ref().take(plan.cases.len()).collect();
            (plan, ran)
        });
        Ok(Report::new(files.collect(), self.filter.is_none(), started.elapsed()))
    }

    /// Writes the results, and says what they come to.
    fn show(&self, report: &Report) -> io::Result<Exit> {
        let text = match self.format {
            TestFormat::Human => {
                let palette = if output::colours(&stdout()) { Palette::colours() } else { Palette::plain() };
                report.human(palette, self.untouched)
            }
            TestFormat::Json if self.watch => format!("{}\n", report.json()),
            TestFormat::Json => format!("{:#}\n", report.json()),
            TestFormat::Junit => report.junit().map_err(io::Error::other)?,
        };
        let mut out = stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())?;
        let counts = report.counts();
        Ok(match (counts.trapped, counts.failed) {
            (1.., _) => Exit::Trapped,
            (0, 1..) => Exit::Failed,
            (0, 0) => Exit::Fine,
        })
    }

    fn stopped(&self, stop: Stop) -> Exit {
        match (stop, self.format) {
            (Stop::Invalid(findings), TestFormat::Json) => {
                let errors = json!({"errors": findings.json()});
                let text = if self.watch { format!("{errors}\n") } else { format!("{errors:#}\n") };
                let written = output::result(&text);
                if written == Exit::Fine { Exit::Invalid } else { written }
            }
            (Stop::Invalid(findings), TestFormat::Human | TestFormat::Junit) => output::invalid(&findings),
            (Stop::Other(exit), _) => exit,
        }
    }
}

/// The files that can be run, and all that is wrong with the others.
fn read(files: &[PathBuf], policy_name: Option<&str>) -> (Vec<Plan>, Option<Findings>) {
    let mut wrong: Vec<Finding> = Vec::new();
    let mut plans = Vec::new();
    for file in files {
        match files::plan_named(file, Clock::AsWritten, policy_name) {
            Ok(plan) => plans.push(plan),
            Err(findings) => {
                for finding in findings.list() {
                    // A policy that several files are about is wrong once.
                    if !wrong.contains(finding) {
                        wrong.push(finding.clone());
                    }
                }
            }
        }
    }
    (plans, Findings::new(wrong))
}

/// Whoever closed the pipe has seen enough.
fn unwritten(error: &io::Error) -> Exit {
    if error.kind() == ErrorKind::BrokenPipe { Exit::Fine } else { output::failed(&format!("cannot write to stdout: {error}")) }
}

/// How far a long run is, on a terminal.
struct Progress {
    total: usize,
    started: Instant,
    /// When it was last drawn; `None` where nobody looks.
    drawn: Option<Mutex<Option<Instant>>>,
}

impl Progress {
    fn new(total: usize, started: Instant) -> Self {
        Self { total, started, drawn: stderr().is_terminal().then(Mutex::default) }
    }

    fn show(&self, done: usize) {
        let Some(mut drawn) = self.drawn.as_ref().and_then(|drawn| drawn.lock().ok()) else { return };
        if self.started.elapsed() > PATIENCE && drawn.is_none_or(|at| at.elapsed() > REDRAW) {
            *drawn = Some(Instant::now());
            // Nobody is left to tell when this fails.
            let _ = write!(stderr(), "\r{done} of {} cases", self.total);
        }
    }

    fn clear(&self) {
        if self.drawn.as_ref().is_some_and(|drawn| drawn.lock().is_ok_and(|drawn| drawn.is_some())) {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
