//! `policy-host replay`: what the filter decides about recorded requests, and what another policy would change.

use super::{Exit, Format, output, wasm, which::Which};
use crate::cli::{
    lanes::{Decide, Decided, Job, Lanes},
    lines::{Lines, Next},
};
use chaperone_authoring::{outcome::Outcome, source::PolicyDocument};
use clap::Args;
use jiff::Timestamp;
use policy_host::{
    host::Module,
    replay::{Answered, Change, Comparison, Kind, Replay as Run, ReplayError, Secrets, Sessions, Times, Verdict},
};
use serde_json::json;
use std::{
    fmt::Write as _,
    io::{BufWriter, Write, stdout},
    num::NonZero,
    path::{Path, PathBuf},
    thread::{self, available_parallelism},
};

/// Decide recorded requests, one JSON object a line, with the filter itself; or show what another policy would change.
#[derive(Debug, Args)]
#[command(after_help = r#"Example:
  echo '{"method":"GET","path":"/healthz","authority":"orders.example","headers":[]}' |
    policy-host replay --policy examples/agent-orders/policy.yaml -
  policy-host replay --policy policy.yaml --against policy.next.yaml requests.jsonl
  echo '{"method":"GET","path":"/","authority":"a.example","headers":[],"reply":{"status":404}}' |
    policy-host replay --policy policy.yaml -

Input, a line each: {"method", "path", "authority", "scheme"?, "headers": [[name, value], ...], "claims"?, "body"?|"body_base64"?|
"chunks"?, "trailers"?, "reply"?, "at"?, "source_address"?, "client_certificate_sha256"?, "peer_uri_san"?}. `chunks` is a body in
pieces, and `reply` what the target answered: {"status"?, "headers"?, "body"?|"body_base64"?|"chunks"?, "trailers"?}. `claims` are
signed by a key of this run that the policy's issuer of that `iss` is given in memory. All lines go through one filter instance:
state carries from line to line. Time is the first line's `at` (now without one); it stands still until an `at` moves it forward. As it stands still, a
policy that sets no limits.verifications_per_second is given the highest one.

With --sessions-apart each line goes through one of several filter instances, as many as there are processors: all lines of a session
(by the claim that the policy's issuer of that `iss` has it in, or by the token that the line carries) through the same one, lines
without a token through any. What a session has done carries from line to line (its counts, totals, idle time and denials); what
sessions have in common does not (proofs, limits of a caller's address and of a worker, what is kept of a subject, what else fills a
proxy's memory). Time moves over all lines as they stand in the input. The output is in that order, and but for audit ids and the
policy's revision what it is without the flag.
After a trap the lines of that instance are denied.

Output, a line for each line of input (blank ones aside), in order: {"line", "decision", "reason", "status", "command", "session",
"upstream_headers", "response_headers", "trap"}. `status` and `response_headers` are those of the filter's own reply, null
when the request goes upstream. `upstream_headers` are what the target was sent, also of a request that was denied on its way;
credentials and tokens in them are not shown. Of a line with a `reply` that the filter let the target give there is "answer", what the client
gets of it: {"status", "headers", "body", "withheld", "cut"}, with how many entries of a list it did not show, and why it was cut. The
variables that the policy's credentials name are taken from this process's environment.

With --against, every line is decided under both policies, each with a filter instance of its own, and the output is what would
change, by kind of change: what would newly be allowed first, then what would newly be denied, then what would be denied for
another reason or known as another command. The exit code is 0 whether anything changes or not.

A line that cannot be read is not decided: it is shown on stderr with line and column, its output is a denial without reason
and status, and the lines after it go on. The exit code is then 3. A file that is of another kind altogether (an access log, a HAR
file, a JSON array) is refused as a whole, with what to do instead: see policy-host import. After a trap every line is denied, and the exit code is 4."#)]
pub(crate) struct Replay {
    /// A policy, or an Envoy file or Kubernetes manifests with one in them.
    #[arg(long, value_name = "POLICY")]
    policy: PathBuf,
    #[command(flatten)]
    which: Which,
    /// Another policy: show what it would change.
    #[arg(long, value_name = "POLICY")]
    against: Option<PathBuf>,
    /// How to write what would change: json is {decided, undecided, changed, changes: [{kind, old, new, other_body, count, examples}]}.
    #[arg(long, value_enum, default_value = "human", requires = "against")]
    format: Format,
    /// Decide sessions side by side, in as many filter instances as there are processors: faster, where lines of different sessions
    /// need not know of each other.
    #[arg(long)]
    sessions_apart: bool,
    /// The filter, when it is not the one that this workspace built.
    #[arg(long, value_name = "FILE")]
    wasm: Option<PathBuf>,
    /// Recorded requests; - is stdin.
    requests: PathBuf,
}

impl Replay {
    pub(crate) fn run(&self) -> Exit {
        let result = match &self.against {
            None => self.plain(),
            Some(other) => self.compare(other),
        };
        result.unwrap_or_else(|exit| exit)
    }

    fn plain(&self) -> Result<Exit, Exit> {
        let document = self.which.valid(&self.policy)?;
        let mut lines = Lines::open(&self.requests)?;
        let module = wasm::load(self.wasm.as_ref())?;
        let lane = || Ok(Plain { run: prepare(&module, &document)?, secrets: Secrets::of(document.value()) });
        let lanes = (0..self.lanes()).map(|_| lane()).collect::<Result<_, _>>()?;
        let mut out = BufWriter::with_capacity(1 << 16, stdout().lock());
        let undecided = |number, to: &mut BufWriter<_>| write_line(to, &Outcome::undecided(number));
        self.decide(&mut lines, lanes, &[&document], |lines, decided| {
            for (number, said) in decided {
                let written = match said.map_err(|error| stopped(&error))? {
                    None => undecided(number, &mut out),
                    Some(Written { line, trap }) => {
                        lines.trapped(number, trap.as_deref());
                        out.write_all(&line)
                    }
                };
                written.map_err(|error| unwritten(&error))?;
            }
            // Whoever waits for the answer to the last line sent should not wait for the next one.
            let flushed = if lines.must_wait() { out.flush() } else { Ok(()) };
            flushed.map_err(|error| unwritten(&error))
        })?;
        out.flush().map_err(|error| unwritten(&error))?;
        Ok(lines.finish("and were not decided"))
    }

    fn compare(&self, other: &Path) -> Result<Exit, Exit> {
        let (old, new) = (self.which.valid(&self.policy)?, self.which.valid(other)?);
        let mut lines = Lines::open(&self.requests)?;
        let module = wasm::load(self.wasm.as_ref())?;
        let lane = || {
            let comparison = Comparison::of(Secrets::of(old.value()).and(Secrets::of(new.value())));
            Ok(Compared { old: prepare(&module, &old)?, new: prepare(&module, &new)?, comparison })
        };
        let lanes = (0..self.lanes()).map(|_| lane()).collect::<Result<_, _>>()?;
        let lanes = self.decide(&mut lines, lanes, &[&old, &new], |lines, decided| {
            for (number, said) in decided {
                let trap = said.map_err(|error| stopped(&error))?;
                lines.trapped(number, trap.flatten().as_deref());
            }
            Ok(())
        })?;
        let comparison = lanes.into_iter().map(|lane| lane.comparison).reduce(Comparison::and).unwrap_or_default();
        let (decided, undecided) = (comparison.decided(), lines.bad_lines());
        let exit = lines.finish("and were not decided");
        let changes = comparison.changes();
        let text = match self.format {
            Format::Human => shown(&changes, decided, old.file_name(), new.file_name()),
            Format::Json => listed(&changes, decided, undecided),
        };
        Ok(match output::result(&text) {
            Exit::Fine => exit,
            failed @ (Exit::Failed | Exit::Usage | Exit::Invalid | Exit::Trapped) => failed,
        })
    }

    fn lanes(&self) -> usize {
        if self.sessions_apart { available_parallelism().map_or(1, NonZero::get) } else { 1 }
    }

    /// Decides all lines, and gives what was decided of them in their order.
    fn decide<D: Decide>(
        &self,
        lines: &mut Lines,
        lanes: Vec<D>,
        policies: &[&PolicyDocument],
        mut give: impl FnMut(&mut Lines, Decided<D::Said>) -> Result<(), Exit>,
    ) -> Result<Vec<D>, Exit> {
        let values: Vec<_> = policies.iter().map(|policy| policy.value()).collect();
        let (mut sessions, mut times) = (Sessions::of(&values), Times::default());
        let mut lanes = thread::scope(|scope| {
            let mut lanes = Lanes::of(lanes, scope);
            let apart = lanes.count() as u64;
            while let Some(Next { number, content }) = lines.next_request()? {
                let at = content.as_ref().map(|line| times.next(line.at, lines.text(), Timestamp::now())).transpose();
                let line = content.zip(at.map_err(|bad| lines.bad(&bad)).ok().flatten());
                let decided = match line {
                    None => lanes.skip(number),
                    Some((line, at)) => {
                        // What has no token is of no session, and any lane's.
                        let session = if apart > 1 { sessions.of_line(&line).unwrap_or(number) } else { 0 };
                        lanes.push((session % apart) as usize, Job { number, line, at }, lines.line().len())
                    }
                };
                let decided = if lines.must_wait() { decided.into_iter().chain(lanes.drain()).collect() } else { decided };
                if !decided.is_empty() {
                    give(lines, decided)?;
                }
            }
            give(lines, lanes.drain())?;
            Ok(lanes.finish())
        })?;
        if lines.is_empty() {
            // Even without a request, a policy that the filter rejects is an error.
            lanes.iter_mut().try_for_each(|lane| lane.start(Timestamp::now())).map_err(|error| stopped(&error))?;
        }
        Ok(lanes)
    }
}

fn prepare(module: &Module, document: &PolicyDocument) -> Result<Run, Exit> {
    let mut environment = wasm::environment(document.value());
    // What servers gave out is tied to its session by a key: filters that are compared, or decide lines of one log, must have the same.
    environment.push(("CHAPERONE_HANDLE_KEY".to_owned(), "shared by all filters of one comparison".to_owned()));
    Run::new(module.clone(), document.value(), environment, wasm::log()).map_err(|error| stopped(&error))
}

/// Lines under one policy.
struct Plain {
    run: Run,
    secrets: Secrets,
}

/// A line of the output.
struct Written {
    line: Vec<u8>,
    trap: Option<String>,
}

impl Decide for Plain {
    type Said = Written;

    fn start(&mut self, at: Timestamp) -> Result<(), ReplayError> {
        self.run.start(at)
    }

    fn decide(&mut self, Job { number, line, at }: Job) -> Result<Written, ReplayError> {
        let mut outcome = self.run.decide_line(number, line, at)?;
        self.secrets.hide(&mut outcome);
        let mut line = Vec::with_capacity(512);
        // Nothing in an outcome is no JSON.
        let _ = write_line(&mut line, &outcome);
        Ok(Written { line, trap: outcome.trap })
    }
}

fn write_line(to: &mut impl Write, outcome: &Outcome) -> std::io::Result<()> {
    serde_json::to_writer(&mut *to, outcome).map_err(std::io::Error::from)?;
    to.write_all(b"\n")
}

/// Lines under two policies.
struct Compared {
    old: Run,
    new: Run,
    comparison: Comparison,
}

impl Decide for Compared {
    /// What one of the filters died of.
    type Said = Option<String>;

    fn start(&mut self, at: Timestamp) -> Result<(), ReplayError> {
        self.old.start(at)?;
        self.new.start(at)
    }

    fn decide(&mut self, Job { number, line, at }: Job) -> Result<Self::Said, ReplayError> {
        let (method, path) = (line.exchange.request.method.clone(), line.exchange.request.path.clone());
        let old = self.old.decide_line(number, line.clone(), at)?;
        let new = self.new.decide_line(number, line, at)?;
        self.comparison.add(&old, &new, &method, &path);
        Ok(old.trap.or(new.trap))
    }
}

/// What would change, for people.
fn shown(changes: &[Change], decided: u64, old: &str, new: &str) -> String {
    let changed: u64 = changes.iter().map(|change| change.count).sum();
    let mut text = format!("{changed} of {} would change from {old} to {new}\n", output::count(decided, "decision"));
    let mut kind = None;
    for change in changes {
        if kind.replace(change.kind()) != Some(change.kind()) {
            text.push_str(match change.kind() {
                Kind::NewlyAllowed => "\nnewly allowed\n",
                Kind::NewlyDenied => "\nnewly denied\n",
                Kind::Otherwise => "\notherwise\n",
            });
        }
        let command = match (&change.old.command, &change.new.command) {
            (old, new) if old == new => named(old.as_deref()).to_owned(),
            (old, new) => format!("{} → {}", named(old.as_deref()), named(new.as_deref())),
        };
        let count = output::count(change.count, "request");
        let body = if change.other_body { ", with another body" } else { "" };
        let credential = if change.other_credential { ", with another credential" } else { "" };
        let (old, new) = (verdict(&change.old), verdict(&change.new));
        let _ = writeln!(text, "  {command}: {old} → {new}{body}{credential}, {count}");
        for example in &change.examples {
            let session = example.session.as_ref().map_or_else(String::new, |session| format!("  (session {session})"));
            let _ = writeln!(text, "    line {}: {} {}{session}", example.line, example.method, example.path);
        }
        let more = change.count.saturating_sub(change.examples.len() as u64);
        if more > 0 {
            let _ = writeln!(text, "    and {more} more");
        }
    }
    text
}

fn named(command: Option<&str>) -> &str {
    command.unwrap_or("no command")
}

fn verdict(verdict: &Verdict) -> String {
    let Verdict { decision, reason, command: _, answer } = verdict;
    let mut text = decision.word().to_owned();
    if let Some(reason) = reason {
        let _ = write!(text, " {reason}");
    }
    if let Some(Answered { status, withheld, cut }) = answer {
        let _ = write!(text, " ({}", status.map_or_else(|| "no answer".to_owned(), |status| status.to_string()));
        if let Some(cut) = cut {
            let _ = write!(text, ", cut: {cut}");
        }
        if *withheld > 0 {
            let _ = write!(text, ", {withheld} withheld");
        }
        text.push(')');
    }
    text
}

/// The same for programs.
fn listed(changes: &[Change], decided: u64, undecided: u64) -> String {
    let changed: u64 = changes.iter().map(|change| change.count).sum();
    let list: Vec<_> = changes
        .iter()
        .map(|change| {
            json!({
                "kind": change.kind(), "old": change.old, "new": change.new, "other_body": change.other_body,
                "other_credential": change.other_credential, "count": change.count, "examples": change.examples,
            })
        })
        .collect();
    format!("{:#}\n", json!({"decided": decided, "undecided": undecided, "changed": changed, "changes": list}))
}

/// Why nothing can be decided at all.
pub(crate) fn stopped(error: &ReplayError) -> Exit {
    output::diagnostic(&format!("policy-host: {error}"));
    match error {
        ReplayError::Bad(_) => Exit::Invalid,
        ReplayError::Rejected(error) => wasm::not_taken(error),
        ReplayError::Key(_) => Exit::Failed,
        ReplayError::Trapped(_) => Exit::Trapped,
    }
}

/// Lines that nobody received are lost, and that is said, unless the reader itself hung up.
pub(crate) fn unwritten(error: &std::io::Error) -> Exit {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        Exit::Failed
    } else {
        output::failed(&format!("cannot write to stdout: {error}"))
    }
}
