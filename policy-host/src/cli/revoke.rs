//! `policy-host revoke`: end sessions, in the file that the proxy is given.

use super::{Exit, Format, output};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use policy_host::{
    revoke::{Change, Entry, Exclusive, Nothing, Revision, Selectors, entries, patch, revise},
    source::{Findings, PolicyDocument},
};
use serde_json::{Value, json};
use std::path::PathBuf;

/// End sessions: add an entry to `revoked`, take one out again, list them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  policy-host revoke ecds.yaml --session s-123 --because INC-42
  policy-host revoke policy.yaml --subject mallory --issued-before 2026-11-23T10:00:00Z
  policy-host revoke ecds.yaml --session s-123 --undo
  policy-host revoke ecds.yaml --list --format json
  kubectl get wasmplugin chaperone -o yaml | policy-host revoke - --agent crawler --emit patch \\
    | kubectl apply --server-side --field-manager=chaperone-revocations -f -

Selectors given together are one entry, and all of them must hold. Their values are exact: `*` is a plain character here. The text is
changed where the entries stand, so that comments and order stay; `generation` is moved on; the result is checked as the filter
would check it, and replaces the file by rename, one `revoke` at a time. What is revoked already leaves the file as it is.")]
pub(crate) struct Revoke {
    /// A policy (YAML or JSON), an Envoy file or a manifest with one in it; - is stdin, with --list and --emit only.
    file: PathBuf,
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
    /// How to write the result.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Emit {
    /// A server-side-apply patch.
    Patch,
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
            let document = PolicyDocument::read(&self.file).map_err(invalid)?;
            document.compile().map_err(invalid)?;
            return Ok(self.show(&document));
        }
        let change = self.change()?;
        if self.emit == Some(Emit::Patch) {
            let document = PolicyDocument::read(&self.file).map_err(invalid)?;
            return match revise(&document, &change, Timestamp::now()).map_err(invalid)? {
                Ok(revision) => {
                    let patch = patch(&document, &revision).map_err(invalid)?;
                    Ok(output::result(&format!("{patch:#}\n")))
                }
                Err(nothing) => Ok(self.nothing(&nothing)),
            };
        }
        if self.file.as_os_str() == "-" {
            return Err(self.usage("stdin cannot be changed: name a file, or use --list or --emit patch"));
        }
        let waiting = || output::diagnostic("policy-host: another revoke is at work in this folder; waiting for it");
        let file = Exclusive::open(&self.file, waiting);
        let file = file.map_err(|error| {
            output::diagnostic(&format!("policy-host: {}: {error}", self.file.display()));
            Exit::Invalid
        })?;
        let document = file.read().map_err(invalid)?;
        match revise(&document, &change, Timestamp::now()).map_err(invalid)? {
            Ok(revision) => {
                let lost = file.replace(&revision.text);
                let lost = lost.map_err(|error| output::failed(&format!("{}: {error}", self.file.display())))?;
                lost.iter().for_each(|lost| output::diagnostic(&format!("policy-host: {}: {lost}", self.file.display())));
                self.doubts(&document, &change);
                Ok(self.done(&revision))
            }
            Err(nothing) => Ok(self.nothing(&nothing)),
        }
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

    fn done(&self, revision: &Revision) -> Exit {
        let file = self.file.display().to_string();
        let Revision { added, removed, generation, label, .. } = revision;
        match self.format {
            Format::Json => {
                let report = json!({"file": file, "changed": true, "added": added, "removed": removed, "generation": generation});
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

    fn nothing(&self, nothing: &Nothing) -> Exit {
        let file = self.file.display().to_string();
        let (message, exit) = match nothing {
            Nothing::Covered(entry) => (format!("revoked already by {}", Entry::from(entry)), Exit::Fine),
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
                let report = json!({"file": file, "changed": false, "added": null, "removed": [], "message": message});
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
