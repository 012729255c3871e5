//! `policy-host replay`: what the filter decides about recorded requests, and what another policy would change.

use super::{Exit, Format, output, wasm, which::Which};
use crate::cli::lines::{Lines, Next};
use chaperone_authoring::{outcome::Outcome, recorded::Line, source::PolicyDocument};
use clap::Args;
use jiff::Timestamp;
use policy_host::replay::{Answered, Change, Comparison, Kind, Replay as Run, ReplayError, Secrets, Verdict};
use serde_json::json;
use std::{
    fmt::Write as _,
    io::{BufWriter, Write, stdout},
    path::{Path, PathBuf},
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
        let mut run = self.prepare(&document)?;
        let secrets = Secrets::of(document.value());
        let mut out = BufWriter::with_capacity(1 << 16, stdout().lock());
        while let Some(Next { number, content: request }) = lines.next_request()? {
            let mut outcome = match request {
                None => Outcome::undecided(number),
                Some((line, text)) => match run.decide_line(number, line, &text, Timestamp::now()) {
                    Ok(outcome) => outcome,
                    Err(ReplayError::Bad(bad)) => {
                        lines.bad(&bad);
                        Outcome::undecided(number)
                    }
                    Err(other) => return Err(stopped(&other)),
                },
            };
            lines.trapped(outcome.trap.as_deref());
            secrets.hide(&mut outcome);
            let written = serde_json::to_writer(&mut out, &outcome).map_err(std::io::Error::from);
            let written = written.and_then(|()| out.write_all(b"\n"));
            // Whoever waits for the answer to the last line sent should not wait for the next one.
            let flushed = written.and_then(|()| if lines.must_wait() { out.flush() } else { Ok(()) });
            flushed.map_err(|error| unwritten(&error))?;
        }
        out.flush().map_err(|error| unwritten(&error))?;
        if lines.is_empty() {
            // Even without a request, a policy that the filter rejects is an error.
            run.start(Timestamp::now()).map_err(|error| stopped(&error))?;
        }
        Ok(lines.finish("and were not decided"))
    }

    fn compare(&self, other: &Path) -> Result<Exit, Exit> {
        let (old, new) = (self.which.valid(&self.policy)?, self.which.valid(other)?);
        let mut lines = Lines::open(&self.requests)?;
        let (mut old_run, mut new_run) = (self.prepare(&old)?, self.prepare(&new)?);
        let mut comparison = Comparison::of(Secrets::of(old.value()).and(Secrets::of(new.value())));
        while let Some(Next { number, content: request }) = lines.next_request()? {
            let Some((line, text)) = request else { continue };
            let (method, path) = (line.exchange.request.method.clone(), line.exchange.request.path.clone());
            let now = Timestamp::now();
            let copy: Line = line.clone();
            let decided = old_run.decide_line(number, line, &text, now);
            let decided = decided.and_then(|old| Ok((old, new_run.decide_line(number, copy, &text, now)?)));
            match decided {
                Ok((old, new)) => {
                    lines.trapped(old.trap.as_deref().or(new.trap.as_deref()));
                    comparison.add(&old, &new, &method, &path);
                }
                Err(ReplayError::Bad(bad)) => lines.bad(&bad),
                Err(other) => return Err(stopped(&other)),
            }
        }
        if lines.is_empty() {
            for run in [&mut old_run, &mut new_run] {
                run.start(Timestamp::now()).map_err(|error| stopped(&error))?;
            }
        }
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

    fn prepare(&self, document: &PolicyDocument) -> Result<Run, Exit> {
        let module = wasm::load(self.wasm.as_ref())?;
        let mut environment = wasm::environment(document.value());
        // What servers gave out is tied to its session by a key: two filters that are compared must have the same.
        environment.push(("CHAPERONE_HANDLE_KEY".to_owned(), "shared by all filters of one comparison".to_owned()));
        Run::new(module, document.value(), environment, wasm::log()).map_err(|error| stopped(&error))
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
