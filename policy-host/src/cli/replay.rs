//! `policy-host replay`: what the filter decides about recorded requests.

use super::{Exit, output, wasm};
use clap::Args;
use jiff::Timestamp;
use policy_host::{
    replay::{Outcome, ReplayError},
    source::PolicyDocument,
};
use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, Read, Write, stdin, stdout},
    path::PathBuf,
};

/// Decide recorded requests, one JSON object a line, with the filter itself.
#[derive(Debug, Args)]
#[command(after_help = r#"Example:
  echo '{"method":"GET","path":"/healthz","authority":"orders.example","headers":[]}' |
    policy-host replay --policy examples/agent-orders/policy.yaml -

Input, a line each: {"method","path","authority","scheme"?,"headers":[[name,value],...],"claims"?,"body"?|"body_base64"?,
"trailers"?,"at"?,"source_address"?,"client_certificate_sha256"?,"peer_uri_san"?}. `claims` are signed by a key of this run
that the policy's issuer of that `iss` is given in memory. All lines go through one filter instance: state carries from line
to line. Time is the first line's `at` (now without one); it stands still until an `at` moves it forward. As it stands still, a
policy that sets no limits.verifications_per_second is given the highest one.

Output, a line for each line of input (blank ones aside), in order: {"line","decision","reason","status","command","session",
"upstream_headers","response_headers","trap"}. `status` and `response_headers` are those of the filter's own reply, null
when the request goes upstream. The variables that upstream.credential names are taken from this process's environment.

A line that cannot be read is not decided: it is shown on stderr with line and column, its output is a denial without reason
and status, and the lines after it go on. The exit code is then 3. After a trap every line is denied, and the exit code is 4."#)]
pub(crate) struct Replay {
    /// A policy, or an Envoy file with one in it.
    #[arg(long, value_name = "POLICY")]
    policy: PathBuf,
    /// The filter, when it is not the one that this workspace built.
    #[arg(long, value_name = "FILE")]
    wasm: Option<PathBuf>,
    /// Recorded requests; - is stdin.
    requests: PathBuf,
}

impl Replay {
    pub(crate) fn run(&self) -> Exit {
        self.prepare().and_then(|(replay, input)| self.lines(replay, input)).unwrap_or_else(|exit| exit)
    }

    fn prepare(&self) -> Result<(policy_host::replay::Replay, Box<dyn Read>), Exit> {
        let document = PolicyDocument::read(&self.policy).map_err(|findings| output::invalid(&findings))?;
        document.compile().map_err(|findings| output::invalid(&findings))?;
        let input: Box<dyn Read> = if self.requests.as_os_str() == "-" {
            Box::new(stdin().lock())
        } else {
            let file = File::open(&self.requests).map_err(|error| {
                output::diagnostic(&format!("policy-host: {}: cannot be read: {error}", self.requests.display()));
                Exit::Invalid
            })?;
            Box::new(file)
        };
        let module = wasm::load(self.wasm.as_ref())?;
        let environment = wasm::environment(document.value());
        let replay = policy_host::replay::Replay::new(module, document.value(), environment, wasm::log());
        Ok((replay.map_err(|error| stopped(&error))?, input))
    }

    fn lines(&self, mut replay: policy_host::replay::Replay, input: Box<dyn Read>) -> Result<Exit, Exit> {
        let mut input = BufReader::with_capacity(1 << 16, input);
        let mut output = BufWriter::with_capacity(1 << 16, stdout().lock());
        let name = if self.requests.as_os_str() == "-" { "<stdin>".to_owned() } else { self.requests.display().to_string() };
        let (mut number, mut bad, mut trapped) = (0_u64, 0_u64, false);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let read = input.read_until(b'\n', &mut bytes);
            if read.map_err(|error| output::failed(&format!("{name}: cannot be read on: {error}")))? == 0 {
                break;
            }
            number += 1;
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            let outcome = match decide(&mut replay, number, &bytes) {
                Ok(outcome) => outcome,
                Err(ReplayError::Bad(line)) => {
                    bad += 1;
                    let column = String::from_utf8_lossy(bytes.get(..line.offset).unwrap_or_default()).chars().count() + 1;
                    let help = line.help.map_or_else(String::new, |help| format!("\n  help: {help}"));
                    output::diagnostic(&format!("{name}:{number}:{column}: {}{help}", line.message));
                    Outcome::undecided(number)
                }
                Err(other) => return Err(stopped(&other)),
            };
            if let Some(trap) = outcome.trap.as_ref().filter(|_| !trapped) {
                trapped = true;
                output::diagnostic(&format!("{name}:{number}: {trap}"));
            }
            // Whoever waits for the answer to the last line sent should not wait for the next one.
            let last = input.buffer().is_empty();
            let written = serde_json::to_writer(&mut output, &outcome).map_err(std::io::Error::from);
            let written = written.and_then(|()| output.write_all(b"\n"));
            written.and_then(|()| if last { output.flush() } else { Ok(()) }).map_err(|error| unwritten(&error))?;
        }
        output.flush().map_err(|error| unwritten(&error))?;
        if number == 0 {
            // Even without a request, a policy that the filter rejects is an error.
            replay.start(Timestamp::now()).map_err(|error| stopped(&error))?;
        }
        if bad > 0 {
            output::diagnostic(&format!("{bad} of {number} lines could not be read and were not decided"));
        }
        Ok(if trapped {
            Exit::Trapped
        } else if bad > 0 {
            Exit::Invalid
        } else {
            Exit::Fine
        })
    }
}

fn decide(replay: &mut policy_host::replay::Replay, number: u64, bytes: &[u8]) -> Result<Outcome, ReplayError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => replay.decide(number, text.trim_end(), Timestamp::now()),
        Err(error) => Err(ReplayError::Bad(policy_host::replay::BadLine {
            offset: error.valid_up_to(),
            message: "is not UTF-8 from here on".to_owned(),
            help: Some("write other bytes of a body as body_base64".to_owned()),
        })),
    }
}

/// Why nothing can be decided at all.
fn stopped(error: &ReplayError) -> Exit {
    output::diagnostic(&format!("policy-host: {error}"));
    match error {
        ReplayError::Bad(_) => Exit::Invalid,
        ReplayError::Rejected(error) => wasm::not_taken(error),
        ReplayError::Key(_) => Exit::Failed,
        ReplayError::Trapped(_) => Exit::Trapped,
    }
}

/// Lines that nobody received are lost, and that is said, unless the reader itself hung up.
fn unwritten(error: &std::io::Error) -> Exit {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        Exit::Failed
    } else {
        output::failed(&format!("cannot write to stdout: {error}"))
    }
}
