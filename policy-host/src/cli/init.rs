//! `policy-host init`: a first policy for a known provider, asked for what it needs.

use super::{Exit, output};
use clap::{Args, ValueEnum};
use policy_host::{
    init::{Answers, Asked, InitError, Kind},
    replace::Exclusive,
};
use std::{
    fs,
    io::{BufRead, IsTerminal, Write, stderr, stdin},
    path::{Path, PathBuf},
};

/// Write a first policy for the tokens of a known provider, and its cases.
#[derive(Debug, Args)]
#[command(after_help = "Example: policy-host init --issuer-kind keycloak --issuer https://login.example/realms/orders \\
    --audience orders --caller orders-agent --dir orders

Writes policy.yaml and cases.yaml. Comments in the policy say what a session is with that provider, and what ending one ends. On a
terminal it asks for what is missing; elsewhere that is an error. A file that is there is never overwritten without --force.")]
pub(crate) struct Init {
    /// Whose tokens.
    #[arg(long, value_enum, value_name = "KIND")]
    issuer_kind: Option<Kind>,
    /// `iss` of the tokens; of Entra, the tenant is enough.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// Whom the tokens are for; of Cognito, the app client's ID.
    #[arg(long)]
    audience: Option<String>,
    /// Who may call: a client's ID (keycloak, entra, okta, auth0) or the subject (google, github, kubernetes, spire).
    #[arg(long, value_name = "ID")]
    caller: Option<String>,
    /// The policy's name.
    #[arg(long, default_value = "api")]
    name: String,
    /// Where the files go.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Overwrite files that are there.
    #[arg(long)]
    force: bool,
}

/// The files that are written.
const FILES: [&str; 2] = ["policy.yaml", "cases.yaml"];

impl Init {
    pub(crate) fn run(&self) -> Exit {
        self.write().unwrap_or_else(|exit| exit)
    }

    fn write(&self) -> Result<Exit, Exit> {
        let paths = FILES.map(|name| self.dir.join(name));
        if let Some(there) = paths.iter().find(|path| !self.force && path.symlink_metadata().is_ok()) {
            return Err(usage(&format!(
                "{}: is there already; --force overwrites it, --dir names another folder",
                there.display()
            )));
        }
        let answers = if stdin().is_terminal() && stderr().is_terminal() {
            self.answers(&mut Some((stdin().lock(), stderr())))
        } else {
            self.answers(&mut None::<(&[u8], Vec<u8>)>)
        };
        let written = answers.map_err(|message| usage(&message))?.write().map_err(|error| match error {
            InitError::Issuer(message) => usage(&message),
            InitError::Policy(findings) => {
                output::invalid(&findings);
                Exit::Usage
            }
        })?;
        fs::create_dir_all(&self.dir)
            .map_err(|error| output::failed(&format!("{}: cannot be made: {error}", self.dir.display())))?;
        for (path, text) in paths.iter().zip([&written.policy, &written.cases]) {
            self.put(path, text)?;
        }
        let (policy, dir) = (self.dir.join("policy.yaml"), self.dir.display());
        let policy = policy.display();
        Ok(output::result(&format!(
            "wrote {policy} and {}
next:
  policy-host test {dir}
  policy-host import openapi API.yaml      # your commands, in place of items.*
  policy-host render envoy --policy {policy} --upstream HOST:PORT > bootstrap.yaml
",
            self.dir.join("cases.yaml").display()
        )))
    }

    /// Writes a file as a whole: nobody sees half of one, and one that has come in between is not overwritten.
    fn put(&self, path: &Path, text: &str) -> Result<(), Exit> {
        let failed = |error: &dyn std::fmt::Display| output::failed(&format!("{}: cannot be written: {error}", path.display()));
        if self.force && path.symlink_metadata().is_ok() {
            let file = Exclusive::open(path, || ()).map_err(|error| failed(&error))?;
            return file.replace(text).map(|_| ()).map_err(|error| failed(&error));
        }
        let mut builder = tempfile::Builder::new();
        // As a file that an editor makes; a policy holds no secret.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
        let mut file = builder.prefix(".policy-host-init-").tempfile_in(&self.dir).map_err(|error| failed(&error))?;
        file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(|error| failed(&error))?;
        file.persist_noclobber(path).map(|_| ()).map_err(|error| failed(&error.error))
    }

    /// What is said on the command line, and the rest as it is asked for. Without anybody to ask, what is missing is an error.
    fn answers<R: BufRead, W: Write>(&self, terminal: &mut Option<(R, W)>) -> Result<Answers, String> {
        let kinds = Kind::value_variants().iter().map(|kind| kind.word()).collect::<Vec<_>>().join(", ");
        let kind = match self.issuer_kind {
            Some(kind) => kind,
            None => {
                let asked = Asked {
                    what: "whose tokens: keycloak, entra, okta, auth0, cognito, google, github, kubernetes or spire",
                    example: "keycloak",
                    default: None,
                };
                let read = |text: &str| Kind::from_str(text, true).map_err(|_| format!("{text} is none of {kinds}"));
                ask(terminal, "--issuer-kind", &asked, read)?
            }
        };
        let preset = kind.preset();
        let text = |text: &str| Ok(text.to_owned());
        let issuer = match &self.issuer {
            Some(issuer) => issuer.clone(),
            None => ask(terminal, "--issuer", &preset.issuer, |text| Answers::issuer_of(kind, text))?,
        };
        // A mistake in it is better said before the next question.
        let issuer = Answers::issuer_of(kind, &issuer)?;
        let audience = match &self.audience {
            Some(audience) => audience.clone(),
            None => ask(terminal, "--audience", &preset.audience, text)?,
        };
        let caller = match (&preset.caller, &self.caller) {
            (None, None) => None,
            (None, Some(_)) => return Err(format!("--caller: {} says it by --audience", preset.title)),
            (Some(_), Some(caller)) => Some(caller.clone()),
            (Some(asked), None) => Some(ask(terminal, "--caller", asked, text)?),
        };
        Ok(Answers { kind, name: self.name.clone(), issuer, audience, caller })
    }
}

fn usage(message: &str) -> Exit {
    output::diagnostic(&format!("policy-host: {message}"));
    Exit::Usage
}

/// Asks until there is an answer that can be read.
fn ask<T, R: BufRead, W: Write>(
    terminal: &mut Option<(R, W)>,
    flag: &str,
    asked: &Asked,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T, String> {
    let Asked { what, example, default } = asked;
    let missing = || format!("{flag} is missing: {what}, such as {example}");
    let Some((input, output)) = terminal else {
        return default.map_or_else(|| Err(missing()), read);
    };
    loop {
        let hint = default.map_or_else(|| format!("such as {example}"), |default| format!("nothing for {default}"));
        let mut line = String::new();
        let asked = write!(output, "{what} ({hint}): ").and_then(|()| output.flush()).and_then(|()| input.read_line(&mut line));
        if asked.map_err(|error| error.to_string())? == 0 {
            return Err(missing());
        }
        match (line.trim(), default) {
            ("", None) => {}
            ("", Some(default)) => return read(default),
            (text, _) => match read(text) {
                Ok(answer) => return Ok(answer),
                // Whether it can be written decides nothing.
                Err(error) => drop(writeln!(output, "{error}")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn init() -> Init {
        Init {
            issuer_kind: None,
            issuer: None,
            audience: None,
            caller: None,
            name: "api".to_owned(),
            dir: PathBuf::new(),
            force: false,
        }
    }

    fn asked(init: &Init, typed: &str) -> (Result<Answers, String>, String) {
        let mut terminal = Some((typed.as_bytes(), Vec::new()));
        let answers = init.answers(&mut terminal);
        (answers, String::from_utf8(terminal.unwrap().1).unwrap())
    }

    #[test]
    fn what_is_missing_is_asked_for_until_it_can_be_read() {
        let (answers, shown) =
            asked(&init(), "kecloak\nOkta\nhttps://acme.okta.com\nhttps://acme.okta.com/oauth2/default\n\n\n0oa1\n");
        let answers = answers.unwrap();
        assert_eq!(
            (answers.kind, answers.audience.as_str(), answers.caller.as_deref()),
            (Kind::Okta, "api://default", Some("0oa1"))
        );
        assert!(shown.contains("kecloak is none of keycloak, entra"), "{shown}");
        assert!(shown.contains("Okta's org authorization server"), "{shown}");
        assert_eq!(
            shown.matches("the client that may call").count(),
            2,
            "nothing is no answer where there is no default: {shown}"
        );
    }

    #[test]
    fn who_hangs_up_or_is_not_there_is_told_what_is_missing() {
        assert!(asked(&init(), "github\n").0.unwrap_err().contains("--issuer is missing"));
        let github = Init { issuer_kind: Some(Kind::Github), ..init() };
        let nobody = github.answers(&mut None::<(&[u8], Vec<u8>)>).unwrap_err();
        assert!(nobody.contains("--audience is missing"), "the issuer has a default: {nobody}");
    }
}
