//! `policy-host token`: keys and session tokens for testing.

use super::{Exit, Format, output};
use chaperone_authoring::token::{TestKey, inspect, jwks};
use chaperone_policy::Algorithm;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::{
    fs::OpenOptions,
    io::{ErrorKind, Read, Write, stdin},
    path::PathBuf,
};

/// Make keys and session tokens for testing, and look into tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    Keygen(Keygen),
    Mint(Mint),
    Inspect(Inspect),
}

/// Make a key: the private half into a file, the public half to stdout.
#[derive(Debug, Args)]
#[command(after_help = "Example: policy-host token keygen --out broker.jwk

What it prints is what a policy's `keys: {jwks: ...}` holds. An existing file is never overwritten.")]
pub(crate) struct Keygen {
    /// ES256, ES384, EdDSA, RS256, RS384, RS512, PS256, PS384 or PS512.
    #[arg(long, default_value = "ES256")]
    alg: Algorithm,
    /// Where the private key goes, readable by you alone.
    #[arg(long, default_value = "session-key.jwk")]
    out: PathBuf,
}

/// Sign a session token.
#[derive(Debug, Args)]
#[command(after_help = "Example: policy-host token mint --key broker.jwk --iss https://broker.example --aud orders \\
  --sub agent-7 --sid s-1 --commands 'orders.*' --ttl 10m --claim 'act={\"sub\":\"crawler\"}'")]
pub(crate) struct Mint {
    /// The private key, as `token keygen` wrote it.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Issuer (`iss`).
    #[arg(long)]
    iss: String,
    /// Audience (`aud`).
    #[arg(long)]
    aud: String,
    /// Subject (`sub`).
    #[arg(long)]
    sub: String,
    /// Session (`sid`).
    #[arg(long)]
    sid: String,
    /// Commands that the token is limited to, with commas between.
    #[arg(long, value_delimiter = ',')]
    commands: Option<Vec<String>>,
    /// How long it is valid: 30s, 10m, 8h.
    #[arg(long, default_value = "10m", value_parser = ttl)]
    ttl: i64,
    /// Another claim, its value in JSON; may be given more than once.
    #[arg(long = "claim", value_name = "NAME=JSON", value_parser = claim)]
    claims: Vec<(String, Value)>,
    /// The header's `typ`.
    #[arg(long = "type", value_name = "TYPE")]
    typ: Option<String>,
    /// Issued at this instant (RFC 3339) instead of now.
    #[arg(long)]
    at: Option<Timestamp>,
}

/// Show what a token says, without verifying it.
#[derive(Debug, Args)]
#[command(after_help = "Example: policy-host token mint ... | policy-host token inspect")]
pub(crate) struct Inspect {
    /// The token; - or nothing is stdin, which keeps it out of the process list.
    token: Option<String>,
    /// How to write the result.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    /// Tell times as of this instant (RFC 3339) instead of now.
    #[arg(long)]
    at: Option<Timestamp>,
}

fn ttl(text: &str) -> Result<i64, String> {
    let parsed = chaperone_authoring::source::seconds(text);
    parsed.ok_or_else(|| "a whole number and a unit: 30s, 10m, 8h or 1d".to_owned())
}

fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=JSON")?;
    let value =
        serde_json::from_str(value).map_err(|_| format!("{value} is not JSON; a string is written '{name}=\"{value}\"'"))?;
    Ok((name.to_owned(), value))
}

impl Token {
    pub(crate) fn run(&self) -> Exit {
        match self {
            Self::Keygen(keygen) => keygen.run(),
            Self::Mint(mint) => mint.run().unwrap_or_else(|exit| exit),
            Self::Inspect(inspect) => inspect.run().unwrap_or_else(|exit| exit),
        }
    }
}

impl Keygen {
    fn run(&self) -> Exit {
        let key = match TestKey::generate(self.alg) {
            Ok(key) => key,
            Err(error) => return output::failed(&error.to_string()),
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let private = format!("{:#}\n", key.private_jwk());
        if let Err(error) = options.open(&self.out).and_then(|mut file| file.write_all(private.as_bytes())) {
            let out = self.out.display();
            let kind = error.kind();
            return output::failed(&if kind == ErrorKind::AlreadyExists {
                format!("{out}: is there already, and a key is never overwritten: name another file with --out, or remove it")
            } else if kind == ErrorKind::NotFound {
                format!("{out}: its folder is not there; make it first (mkdir -p)")
            } else {
                format!("{out}: cannot be written: {error}")
            });
        }
        output::diagnostic(&format!("the private key is in {}; this is the public one:", self.out.display()));
        // On one line, as which it can be pasted into a policy at any indentation.
        output::result(&format!("{}\n", jwks([&key])))
    }
}

impl Mint {
    fn run(&self) -> Result<Exit, Exit> {
        let key = super::key::read(&self.key)?;
        let at = self.at.unwrap_or_else(Timestamp::now).as_second();
        let mut claims = Map::new();
        claims.extend([
            ("iss".to_owned(), json!(self.iss)),
            ("aud".to_owned(), json!(self.aud)),
            ("sub".to_owned(), json!(self.sub)),
            ("sid".to_owned(), json!(self.sid)),
            ("iat".to_owned(), json!(at)),
            ("exp".to_owned(), json!(at.saturating_add(self.ttl))),
        ]);
        if let Some(commands) = &self.commands {
            claims.insert("commands".to_owned(), json!(commands));
        }
        claims.extend(self.claims.iter().cloned());
        let header = self.typ.as_ref().map_or_else(|| json!({}), |typ| json!({ "typ": typ }));
        Ok(output::result(&format!("{}\n", key.sign(header, Value::Object(claims)))))
    }
}

impl Inspect {
    fn run(&self) -> Result<Exit, Exit> {
        let text = match self.token.as_deref() {
            None | Some("-") => {
                let mut text = String::new();
                stdin().lock().read_to_string(&mut text).map_err(|error| output::failed(&format!("<stdin>: {error}")))?;
                text
            }
            Some(token) => token.to_owned(),
        };
        let seen = inspect::inspect(&text).map_err(|error| {
            output::diagnostic(&format!("policy-host: not a token: {error}"));
            Exit::Invalid
        })?;
        let now = self.at.unwrap_or_else(Timestamp::now);
        let times = seen.times(now);
        let report = match self.format {
            Format::Json => {
                let times: Map<String, Value> = times.into_iter().map(|(name, text)| (name.to_owned(), json!(text))).collect();
                let report = json!({
                    "verified": false, "expired": seen.expired(now), "header": seen.header, "claims": seen.claims, "times": times,
                });
                format!("{report:#}\n")
            }
            Format::Human => human(&seen, &times),
        };
        Ok(output::result(&report))
    }
}

fn human(seen: &inspect::Inspected, times: &[(&'static str, String)]) -> String {
    let mut out =
        "NOT VERIFIED: this is what the token says, and anybody can write that. Only the filter checks signatures.\n".to_owned();
    for (title, part) in [("header", &seen.header), ("claims", &seen.claims)] {
        out.push_str(&format!("\n{title}\n"));
        for (name, value) in part.as_object().into_iter().flatten() {
            let words = times.iter().find(|(claim, _)| title == "claims" && claim == name);
            let shown = words
                .map_or_else(|| visible(&value.to_string()), |(_, words)| format!("{} ({words})", visible(&value.to_string())));
            out.push_str(&format!("  {:<10} {shown}\n", visible(name)));
        }
    }
    out
}

/// A token's author must not be able to talk to the terminal.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}
