//! `policy-host revoke`: end sessions, in the file that the proxy is given.

use super::{Exit, Format, endings::FromLog, output, which::Which};
use chaperone_authoring::{
    revoke::{Change, Entry, Nothing, Revision, Selectors, entries, patch, revise},
    source::{Findings, PolicyDocument},
};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use policy_host::replace::Exclusive;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// End sessions: add an entry to `revoked`, take one out again, list them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  policy-host revoke ecds.yaml --session s-123 --because INC-42
  policy-host revoke policy.yaml --subject mallory --issued-before 2026-11-23T10:00:00Z
  policy-host revoke ecds.yaml --session s-123 --undo
  policy-host revoke ecds.yaml --list --format json
  policy-host revoke --from-log /var/log/envoy/access.log ecds.yaml
  kubectl get wasmplugin chaperone -o yaml | policy-host revoke - --agent crawler --emit patch \\
    | kubectl apply --server-side --field-manager=chaperone-revocations -f -

Selectors given together are one entry, and all of them must hold. Their values are exact: `*` is a plain character here. The text is
changed where the entries stand, so that comments and order stay; `generation` is moved on; the result is checked as the filter
would check it, and replaces the file by rename, one `revoke` at a time. What is revoked already leaves the file as it is.

--from-log reads a proxy's access log (- is stdin) and revokes each session that its records end (`unmapped.ends_session`: too many
denials, another context, idle) under a policy of this name, for every proxy that is given the file. The log is one JSON object a
line with the filter's record in `session_audit`, as the shipped bootstrap writes it, or such records alone. A line that cannot be
read is shown with line and column, the others count, and the exit code is 3. These entries have no date, so that --prune leaves
them; what you take out comes back with the same log.")]
pub(crate) struct Revoke {
    /// A policy (YAML or JSON), an Envoy file or manifests with one in them; - is stdin, with --list and --emit only.
    file: PathBuf,
    #[command(flatten)]
    which: Which,
    /// The session (its claim, `sid` unless the policy says otherwise).
    #[arg(long, value_name = "ID", value_parser = text)]
    session: Option<String>,
    /// The token's `sub`.
    #[arg(long, value_name = "ID", value_parser = text)]
    subject: Option<String>,
    /// An agent at any hop of the `act` chain.
    #[arg(long, value_name = "ID", value_parser = text)]
    agent: Option<String>,
    /// One token, by its `jti`.
    #[arg(long, value_name = "ID", value_parser = text)]
    token: Option<String>,
    /// The issuer.
    #[arg(long, value_name = "URL", value_parser = text)]
    issuer: Option<String>,
    /// Only what began or was issued before this instant (RFC 3339).
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    issued_before: Option<Timestamp>,
    /// Revoke what this access log says was ended.
    #[arg(long, value_name = "ACCESS_LOG", conflicts_with_all = [
        "session", "subject", "agent", "token", "issuer", "issued_before", "because", "undo", "prune", "list",
    ])]
    from_log: Option<PathBuf>,
    /// Why: it stands in the record of what is denied.
    #[arg(long, value_name = "TEXT", value_parser = text, conflicts_with_all = ["undo", "prune", "list"])]
    because: Option<String>,
    /// Take out the entries with exactly these selectors.
    #[arg(long, conflicts_with_all = ["prune", "list"])]
    undo: bool,
    /// Show the entries; selectors leave only those that end what they name.
    #[arg(long, conflicts_with_all = ["prune", "emit"])]
    list: bool,
    /// Take out entries whose `issued_before` is so long ago that no session from before it can be live. An entry without a date
    /// stays: nothing says when the last session that it names began.
    #[arg(long, conflicts_with_all = ["session", "subject", "agent", "token", "issuer", "issued_before"])]
    prune: bool,
    /// Leave the file alone, and print what Kubernetes would have to be told: a server-side-apply patch of `revoked` and
    /// `generation` for a WasmPlugin. Keep these two out of the manifest that you deliver otherwise.
    #[arg(long, value_name = "WHAT")]
    emit: Option<Emit>,
    /// The file that FILE is to replace, such as the one in force: says what would be lost, as `check --against` does.
    #[arg(long, value_name = "OLD", conflicts_with = "list")]
    against: Option<PathBuf>,
    /// How to write the result.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Emit {
    /// A server-side-apply patch.
    Patch,
}

/// What the command line asks for.
enum Wanted {
    Change(Change),
    /// Whatever this log ended under the policy of the file.
    FromLog(FromLog),
}

impl Wanted {
    fn change(&self, document: &PolicyDocument) -> Change {
        match self {
            Self::Change(change) => change.clone(),
            Self::FromLog(log) => {
                log.say_others(name(document));
                Change::AddAll(log.endings().of(name(document)).to_vec())
            }
        }
    }

    /// Why nothing of a log is new.
    fn none_new(&self, document: &PolicyDocument) -> String {
        let ended = match self {
            Self::Change(_) => 0,
            Self::FromLog(log) => log.endings().of(name(document)).len(),
        };
        match ended {
            0 => format!("the log ends no session of the policy `{}`", name(document)),
            1 => "the session that the log ends is revoked already".to_owned(),
            ended => format!("all {ended} sessions that the log ends are revoked already"),
        }
    }

    /// What is new, as reports have it: one entry, or those of a log.
    fn listed(&self, added: &[Value]) -> Value {
        match self {
            Self::Change(_) => json!(added.first()),
            Self::FromLog(_) => json!(added),
        }
    }

    /// A report, and what was in the log.
    fn with_log(&self, mut report: Value, document: &PolicyDocument) -> Value {
        if let (Self::FromLog(log), Value::Object(members)) = (self, &mut report) {
            members.insert("log".to_owned(), log.json(name(document)));
        }
        report
    }

    /// How it went, when writing the result went like this.
    fn exit(&self, exit: Exit) -> Exit {
        match self {
            Self::Change(_) => exit,
            Self::FromLog(log) => log.exit(exit),
        }
    }
}

/// The name of a policy that may not be valid.
fn name(document: &PolicyDocument) -> &str {
    document.value().get("name").and_then(Value::as_str).unwrap_or_default()
}

fn text(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}

fn instant(text: &str) -> Result<Timestamp, String> {
    let parsed = text.parse::<Timestamp>().ok().filter(|instant| *instant >= Timestamp::UNIX_EPOCH);
    parsed.ok_or_else(|| "write it as 2026-11-23T10:00:00Z".to_owned())
}

impl Revoke {
    pub(crate) fn run(&self) -> Exit {
        self.act().unwrap_or_else(|exit| exit)
    }

    fn act(&self) -> Result<Exit, Exit> {
        let invalid = |findings: Findings| output::invalid(&findings);
        if self.list {
            return Ok(self.show(&self.which.valid(&self.file)?));
        }
        let is_stdin = |path: &Path| path.as_os_str() == "-";
        if is_stdin(&self.file) && self.from_log.as_deref().is_some_and(is_stdin) {
            return Err(self.usage("the policy and the log cannot both be stdin"));
        }
        if is_stdin(&self.file) && self.emit.is_none() {
            return Err(self.usage("stdin cannot be changed: name a file, or use --list or --emit patch"));
        }
        let wanted = match &self.from_log {
            // Before the file is locked: a log may be long, or still be coming in.
            Some(log) => Wanted::FromLog(FromLog::read(log)?),
            None => Wanted::Change(self.change()?),
        };
        // A file that cannot be compared with is no reason to learn that afterwards.
        let old = self.against.as_deref().map(|old| self.which.valid(old)).transpose()?;
        if self.emit == Some(Emit::Patch) {
            let document = self.which.policy(&self.file).map_err(invalid)?;
            let change = wanted.change(&document);
            return match revise(&document, &change, Timestamp::now()).map_err(invalid)? {
                Ok(revision) => {
                    let patch = patch(&document, &revision).map_err(invalid)?;
                    self.lost(&revision.text, old.as_ref());
                    Ok(wanted.exit(output::result(&format!("{patch:#}\n"))))
                }
                Err(nothing) => Ok(wanted.exit(self.nothing(&nothing, &wanted, &document))),
            };
        }
        let waiting = || output::diagnostic("policy-host: another revoke is at work in this folder; waiting for it");
        let file = Exclusive::open(&self.file, waiting);
        let file = file.map_err(|error| {
            output::diagnostic(&format!("policy-host: {}: {error}", self.file.display()));
            Exit::Invalid
        })?;
        let document = file.read(self.which.name()).map_err(invalid)?;
        let change = wanted.change(&document);
        match revise(&document, &change, Timestamp::now()).map_err(invalid)? {
            Ok(revision) => {
                let lost = file.replace(&revision.text);
                let lost = lost.map_err(|error| output::failed(&format!("{}: {error}", self.file.display())))?;
                lost.iter().for_each(|lost| output::diagnostic(&format!("policy-host: {}: {lost}", self.file.display())));
                self.doubts(&document, &change);
                let lost = self.lost(&revision.text, old.as_ref());
                Ok(wanted.exit(self.done(&revision, &wanted, &document, lost.as_ref())))
            }
            Err(nothing) => {
                self.lost(document.file_text(), old.as_ref());
                Ok(wanted.exit(self.nothing(&nothing, &wanted, &document)))
            }
        }
    }

    /// Says what is lost when a file with this text takes the place of the old one.
    fn lost(&self, text: &str, old: Option<&PolicyDocument>) -> Option<Findings> {
        let document = PolicyDocument::read(&self.file.display().to_string(), text.to_owned(), self.which.name()).ok()?;
        let lost = document.against(old?, Timestamp::now())?;
        if self.format == Format::Human || self.emit.is_some() {
            output::invalid(&lost);
        }
        Some(lost)
    }

    fn selectors(&self) -> Selectors {
        let Self { session, subject, agent, token, issuer, issued_before, .. } = self;
        Selectors {
            session: session.clone(),
            subject: subject.clone(),
            agent: agent.clone(),
            token: token.clone(),
            issuer: issuer.clone(),
            issued_before: *issued_before,
        }
    }

    fn change(&self) -> Result<Change, Exit> {
        let selectors = self.selectors();
        if self.prune {
            return Ok(Change::Prune);
        }
        if selectors.is_empty() {
            return Err(self.usage("name what is to end: --session, --subject, --agent, --token, --issuer or --issued-before"));
        }
        Ok(if self.undo { Change::Undo(selectors) } else { Change::Add(Entry { selectors, because: self.because.clone() }) })
    }

    fn usage(&self, message: &str) -> Exit {
        output::diagnostic(&format!("error: {message}\n\nFor more information, try 'policy-host revoke --help'."));
        Exit::Usage
    }

    /// What was done, and is probably not all that was meant.
    fn doubts(&self, document: &PolicyDocument, change: &Change) {
        let Change::Add(entry) = change else { return };
        let doubt = |message: String| output::diagnostic(&format!("policy-host: {}: {message}", self.file.display()));
        for (name, text) in entry.selectors.texts().filter(|(_, text)| text.contains('*')) {
            doubt(format!("the {name} {text} is taken as it stands: `*` is a plain character in `revoked`"));
        }
        let issuers = document.value().pointer("/tokens/issuers").and_then(Value::as_array);
        let known = |issuer: &str| issuers.into_iter().flatten().any(|known| known["issuer"] == issuer);
        if let Some(issuer) = entry.selectors.issuer.as_deref().filter(|issuer| !known(issuer)) {
            doubt(format!("{issuer} is not an issuer of this policy: the entry names no session"));
        }
    }

    fn done(&self, revision: &Revision, wanted: &Wanted, document: &PolicyDocument, lost: Option<&Findings>) -> Exit {
        let file = self.file.display().to_string();
        let Revision { added, removed, generation, label, .. } = revision;
        match self.format {
            Format::Json => {
                let added = wanted.listed(added);
                let mut report =
                    json!({"file": file, "changed": true, "added": added, "removed": removed, "generation": generation});
                if let (Some(lost), Value::Object(members)) = (lost, &mut report) {
                    members.insert("against".to_owned(), lost.json());
                }
                let report = wanted.with_log(report, document);
                output::result(&format!("{report:#}\n"))
            }
            Format::Human => {
                let added = added.iter().map(|entry| format!("{file}: revoked {}\n", Entry::from(entry)));
                let removed = removed.iter().map(|entry| format!("{file}: no longer revoked {}\n", Entry::from(entry)));
                let now = format!("{file}: now {label}, generation {generation}\n");
                output::result(&added.chain(removed).chain([now]).collect::<String>())
            }
        }
    }

    fn nothing(&self, nothing: &Nothing, wanted: &Wanted, document: &PolicyDocument) -> Exit {
        let file = self.file.display().to_string();
        let (message, exit) = match nothing {
            Nothing::Covered(entry) => (format!("revoked already by {}", Entry::from(entry)), Exit::Fine),
            Nothing::AllCovered => (wanted.none_new(document), Exit::Fine),
            Nothing::NothingPast => ("every entry may still matter".to_owned(), Exit::Fine),
            Nothing::NotThere(others) => {
                let others: Vec<String> = others.iter().map(|entry| Entry::from(entry).to_string()).collect();
                let hint = if others.is_empty() { String::new() } else { format!("; it is ended by {}", others.join(", ")) };
                (format!("no entry has exactly these selectors{hint}"), Exit::Failed)
            }
        };
        if self.emit.is_some() || exit == Exit::Failed {
            output::diagnostic(&format!("policy-host: {file}: {message}; nothing was changed"));
            return exit;
        }
        match self.format {
            Format::Json => {
                let added = wanted.listed(&[]);
                let report = json!({"file": file, "changed": false, "added": added, "removed": [], "message": message});
                let report = wanted.with_log(report, document);
                output::result(&format!("{report:#}\n"))
            }
            Format::Human => output::result(&format!("{file}: {message}; nothing was changed\n")),
        }
    }

    fn show(&self, document: &PolicyDocument) -> Exit {
        let wanted = self.selectors();
        let ends = |entry: &&Value| wanted.is_empty() || Selectors::of(entry).covers(&wanted);
        let list: Vec<&Value> = entries(document.value()).iter().filter(ends).collect();
        match self.format {
            Format::Json => output::result(&format!("{:#}\n", json!(list))),
            Format::Human => output::result(&list.iter().map(|entry| format!("{}\n", Entry::from(*entry))).collect::<String>()),
        }
    }
}
