//! `policy-host import`: what people have, as `replay`'s input or a draft of `commands`.

use super::{
    Exit, Format,
    in_order::InOrder,
    lines::Lines,
    output::{self, count},
    replay,
    which::Which,
};
use chaperone_authoring::{
    import::{self, Drawn, EachLine, Entry, Framing, Group, LeftOut, OfPolicy, Operations, Summary, each_value},
    recorded::BadLine,
    source::PolicyDocument,
};
use clap::{Args, Subcommand};
use policy_host::files;
use serde_json::json;
use std::{
    fmt::Write as _,
    io::{BufWriter, StdoutLock, stdout},
    path::PathBuf,
};

/// Turn access logs, records and HAR files into `replay`'s input, and OpenAPI documents into a draft of `commands`.
#[derive(Debug, Subcommand)]
#[command(after_help = "Example: policy-host import envoy-log access.log > requests.jsonl

Results go to stdout; stderr says what was read and what was left out, and why. No token, cookie, key, body or query comes out,
whatever went in. Exit codes: 0 all was read, 2 usage, 3 something could not be read (the rest was).")]
pub(crate) enum Import {
    EnvoyLog(EnvoyLog),
    Records(Records),
    Har(Har),
    #[command(name = "openapi")]
    OpenApi(OpenApi),
}

/// Access logs of Envoy: its default text, Istio's, or JSON with the usual names (method, path, authority, start_time).
#[derive(Debug, Args)]
#[command(after_help = r#"Example: policy-host import envoy-log access.log > requests.jsonl
  kubectl logs deploy/orders -c istio-proxy | policy-host import envoy-log - --claims \
    '{"iss":"https://broker.example","aud":"orders","sub":"agent-7","sid":"s-1"}' \
    | policy-host replay --policy policy.yaml -

A log has no tokens: without --claims, replay says which command each request is, and that it has no token. Requests come out in
the order of their times, as replay wants them. A line that could be read in two ways is left out, for Envoy writes what clients
send as it came."#)]
pub(crate) struct EnvoyLog {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    session: Session,
}

/// The filter's own records: an access log with them in `session_audit`, or records alone.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: policy-host import records --policy policy.yaml --authority orders.example access.log > requests.jsonl

A record tells issuer, subject, session, agents, start and end of a session, of which the claims are rebuilt; --policy says under
which names, and for which audience. It does not tell the token's other claims, nor its own list of commands: where the policy
requires one, it is taken to be the request's command, if that was not denied before the list was asked."
)]
pub(crate) struct Records {
    #[command(flatten)]
    common: Common,
    /// The policy that the records are of.
    #[arg(long, value_name = "POLICY")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
    /// The host of requests; a record does not have it.
    #[arg(long, value_name = "HOST")]
    authority: Option<String>,
}

/// HAR 1.2 files, as browsers save what they sent.
#[derive(Debug, Args)]
#[command(after_help = r#"Example: policy-host import har browser.har > requests.jsonl

Of headers only those come out that are known to hold no secret (accept, content-type, origin, user-agent and the like)."#)]
pub(crate) struct Har {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    session: Session,
}

/// OpenAPI documents (3.x, Swagger 2.0; YAML or JSON): each operation is a command of a draft, to be pasted into a policy.
#[derive(Debug, Args)]
#[command(after_help = "Example: policy-host import openapi orders.yaml > commands.yaml

A command is called as its operationId, or by method and path. Where a document names its servers, so do the commands' `hosts`:
remove them if clients use other names. What no command can say is left out, and named on stderr.")]
pub(crate) struct OpenApi {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Common {
    /// What to read; - is stdin.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How to write the summary on stderr.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

#[derive(Debug, Args)]
struct Session {
    /// Claims for every request, which replay signs; iat and exp are set around each one's time unless given.
    #[arg(long, value_name = "JSON", value_parser = claims)]
    claims: Option<EachLine>,
}

fn claims(text: &str) -> Result<EachLine, String> {
    EachLine::parse(text).ok_or_else(|| "must be a JSON object, such as '{\"sub\":\"agent-7\"}'".to_owned())
}

impl Import {
    pub(crate) fn run(&self) -> Exit {
        match self {
            Self::EnvoyLog(EnvoyLog { common, session }) => common
                .requests(session.claims.as_ref(), |run, lines| run.entries(lines, |entry| Ok(vec![import::envoy_log(entry)?]))),
            Self::Har(Har { common, session }) => common.requests(session.claims.as_ref(), |run, lines| run.har(lines)),
            Self::Records(records) => records.run(),
            Self::OpenApi(OpenApi { common }) => common.openapi().unwrap_or_else(|exit| exit),
        }
    }
}

impl Records {
    fn run(&self) -> Exit {
        let policy = match self.policy.as_deref().map(|path| self.which.valid(path)).transpose() {
            Ok(policy) => policy,
            Err(exit) => return exit,
        };
        let policy = policy.as_ref().map(PolicyDocument::value).map(OfPolicy::new);
        let mut of_a_filter = false;
        let mut nameless = false;
        let mut empty = true;
        let exit = self.common.requests(None, |run, lines| {
            run.entries(lines, |entry| {
                empty = false;
                match import::records(entry, self.authority.as_deref(), policy)? {
                    Some(records) => {
                        of_a_filter |= records.of_a_filter;
                        Ok(records.entries)
                    }
                    None => {
                        nameless = true;
                        Ok(vec![Entry::LeftOut(LeftOut::NoAuthority)])
                    }
                }
            })
        });
        if nameless {
            output::diagnostic("policy-host: a record does not say which host a request was for: name it by --authority HOST");
            return Exit::Usage;
        }
        if !of_a_filter && !empty && exit == Exit::Invalid {
            output::diagnostic(
                "policy-host: no line has a record of the filter in `session_audit`: is this the proxy's access log?",
            );
        }
        exit
    }
}

/// What is read, and what has become of it.
struct Run<'c> {
    out: InOrder<'c, BufWriter<StdoutLock<'static>>>,
    summary: Summary,
    help: Option<String>,
    /// What cannot be read on, and why.
    broken: Option<String>,
}

impl Common {
    /// Reads all files, each by `read`, and writes the requests in them.
    fn requests(&self, claims: Option<&EachLine>, mut read: impl FnMut(&mut Run<'_>, &mut Lines) -> Result<(), Exit>) -> Exit {
        let out = InOrder::new(BufWriter::with_capacity(1 << 16, stdout().lock()), claims);
        let mut run = Run { out, summary: Summary::default(), help: None, broken: None };
        for path in &self.files {
            let done = Lines::open(path).and_then(|mut lines| {
                let done = read(&mut run, &mut lines);
                lines.end();
                done
            });
            if let Err(exit) = done {
                return exit;
            }
            if run.broken.is_some() {
                break;
            }
        }
        let Run { out, summary, help, broken } = run;
        if let Err(error) = out.finish() {
            return replay::unwritten(&error);
        }
        let nothing = summary.read > 0 && summary.written == 0;
        let exit = if summary.unreadable() > 0 || broken.is_some() || nothing { Exit::Invalid } else { Exit::Fine };
        match self.format {
            Format::Human => output::diagnostic(shown(&summary, help.as_deref(), broken.as_deref()).trim_end()),
            Format::Json => output::diagnostic(
                &json!({
                    "read": summary.read, "written": summary.written, "left_out": summary.left_out(), "notes": summary.notes(),
                    "error": broken, "help": help,
                })
                .to_string(),
            ),
        }
        exit
    }

    fn openapi(&self) -> Result<Exit, Exit> {
        let mut operations = Operations::default();
        let mut names = Vec::new();
        for path in &self.files {
            let (name, text) = files::text(path).map_err(|findings| output::invalid(&findings))?;
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            operations.read(text).map_err(|(line, message)| {
                output::diagnostic(&format!("policy-host: {name}:{line}: {message}"));
                Exit::Invalid
            })?;
            names.push(name.replace(['\n', '\r'], " "));
        }
        let draft = operations.draft();
        let comment = format!("# A draft, made of {}. Who may use which command is for `grants` to say.\n", names.join(", "));
        let exit = output::result(&format!("{comment}{}", draft.yaml()));
        match self.format {
            Format::Human => {
                let mut text = format!("policy-host: {} of {}", count(draft.commands.len() as u64, "command"), names.join(", "));
                for (what, why) in &draft.left_out {
                    let _ = write!(text, "\n  left out: {what}: {why}");
                }
                output::diagnostic(&text);
            }
            Format::Json => {
                let left: Vec<_> = draft.left_out.iter().map(|(what, why)| json!({"what": what, "why": why})).collect();
                output::diagnostic(&json!({"commands": draft.commands.len(), "left_out": left}).to_string());
            }
        }
        let nothing = draft.commands.is_empty() && !draft.left_out.is_empty();
        Ok(if exit == Exit::Fine && nothing { Exit::Invalid } else { exit })
    }
}

impl Run<'_> {
    /// Reads entries one a line, or the items of a JSON array, or objects over several lines.
    fn entries(&mut self, lines: &mut Lines, mut parse: impl FnMut(&[u8]) -> Result<Vec<Entry>, BadLine>) -> Result<(), Exit> {
        let framing = Framing::of(lines.peek()?);
        let name = lines.name().to_owned();
        if framing == Framing::Lines {
            while let Some(number) = lines.next_line()? {
                let parsed = parse(lines.line());
                let column = parsed.as_ref().err().map_or(1, |bad| lines.column(bad));
                self.take(parsed, &|bad| if bad { format!("{name}:{number}:{column}") } else { format!("{name}:{number}") })?;
            }
            return Ok(());
        }
        let (mut number, mut stopped) = (0_u64, Ok(()));
        let end = each_value(&mut *lines, framing, |value| {
            number += 1;
            if stopped.is_ok() {
                stopped = self.take(parse(value.as_bytes()), &|_| format!("{name}, entry {number}"));
            }
        });
        stopped?;
        self.end(&name, end);
        Ok(())
    }

    fn har(&mut self, lines: &mut Lines) -> Result<(), Exit> {
        let name = lines.name().to_owned();
        if lines.peek()?.is_empty() {
            return Ok(());
        }
        let (mut number, mut stopped) = (0_u64, Ok(()));
        let end = import::har(&mut *lines, |entry| {
            number += 1;
            if stopped.is_ok() {
                stopped = self.take(Ok(vec![entry]), &|_| format!("{name}, entry {number}"));
            }
        });
        stopped?;
        self.end(&name, end);
        Ok(())
    }

    fn end(&mut self, name: &str, end: Result<(), serde_json::Error>) {
        if let Err(error) = end {
            let text = error.to_string();
            let text = text.rsplit_once(" at line ").map_or(&*text, |(before, _)| before).replace(" field `", " member `");
            self.broken = Some(format!("{name}:{}:{}: {text}", error.line(), error.column()));
        }
    }

    /// Takes what has become of one entry; `place` says where it stands, by its column where it is wrong.
    fn take(&mut self, parsed: Result<Vec<Entry>, BadLine>, place: &dyn Fn(bool) -> String) -> Result<(), Exit> {
        self.summary.read += 1;
        let entries = match parsed {
            Ok(entries) => entries,
            Err(bad) => {
                self.help = self.help.take().or(bad.help);
                self.summary.leave_out(LeftOut::Unreadable(bad.message), &|| place(true));
                return Ok(());
            }
        };
        for entry in entries {
            match entry {
                Entry::LeftOut(why) => self.summary.leave_out(why, &|| place(false)),
                Entry::Request(drawn) => {
                    let mut drawn: Drawn = *drawn;
                    self.out.push(&mut drawn).map_err(|error| replay::unwritten(&error))?;
                    self.summary.written += 1;
                    drawn.notes.iter().for_each(|note| self.summary.note(note, &|| place(false)));
                }
            }
        }
        Ok(())
    }
}

/// The summary, for people.
fn shown(summary: &Summary, help: Option<&str>, broken: Option<&str>) -> String {
    let read = if summary.read == 1 { "1 entry".to_owned() } else { format!("{} entries", summary.read) };
    let mut text = format!("policy-host: {} out of {read}\n", count(summary.written, "request"));
    let mut groups = |what: &str, groups: Vec<Group>| {
        for Group { what: why, count, first } in groups {
            let more = if count > first.len() as u64 { ", …" } else { "" };
            let _ = writeln!(text, "  {what}{count}: {why} ({}{more})", first.join(", "));
        }
    };
    groups("left out, ", summary.left_out());
    groups("", summary.notes());
    if let Some(help) = help {
        let _ = writeln!(text, "  help: {help}");
    }
    if let Some(broken) = broken {
        let _ = writeln!(text, "policy-host: {broken}; nothing after this was read");
    }
    text
}
