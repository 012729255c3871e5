//! A compiled policy: immutable, and either the rules of a good document or the refusal of everything.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use crate::commands::mcp::endpoint::{Endpoint, EndpointId};
use crate::commands::read::{self as commands, Command, Commands};
use crate::commands::router::{CommandId, Router};
use crate::document::{At, DocumentErrors, Errors, Object, list, name, one_of, whole_number};
use crate::http::credentials::{Scheme, Source};
use crate::http::edits::Strip;
use crate::http::head::Head;
use crate::http::names::{HEADER_PREFIX, PROOF_HEADER};
use crate::http::peer::PeerWanted;
use crate::primitives::json;
use crate::primitives::limits;
use crate::primitives::reason::Reason;
use crate::rules::allowances::Allowances;
use crate::rules::audit::{Audit, SourceTeller};
use crate::rules::credential::{Credential, Credentials};
use crate::rules::ending::StateRules;
use crate::rules::grants::{self, Grant, Grants};
use crate::rules::issuers::{Issuer, Tokens};
use crate::rules::revision::revision;
use crate::rules::revocations::Revocations;
use crate::rules::session::SessionRules;
use crate::rules::upstream::{Bodies, Direct, Upstream};

/// A compiled policy.
#[derive(Debug)]
pub struct Policy {
    rules: Option<Rules>,
    strip: Rc<Strip>,
}

/// What a good document says.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) name: Rc<str>,
    pub(crate) revision: Rc<str>,
    /// `name@` and the first 12 digits of the revision.
    pub(crate) label: Box<str>,
    pub(crate) generation: u64,
    pub(crate) mode: Mode,
    /// Reasons that are recorded and not enforced.
    pub(crate) observed: Vec<Reason>,
    pub(crate) tokens: Tokens,
    pub(crate) session: SessionRules,
    pub(crate) commands: Vec<Command>,
    pub(crate) router: Router,
    pub(crate) endpoints: Vec<Rc<Endpoint>>,
    pub(crate) grants: Grants,
    pub(crate) revoked: Revocations,
    pub(crate) credentials: Credentials,
    /// Those and the grants' own.
    pub(crate) all_credentials: Vec<Rc<Credential>>,
    /// Credentials of the target's own that no caller may show.
    pub(crate) direct: Vec<Direct>,
    /// What is done about bodies with it.
    pub(crate) echoes: Bodies,
    pub(crate) allowances: Allowances,
    pub(crate) audit: Audit,
    pub(crate) state: StateRules,
}

/// Whether denials are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Enforce,
    Observe,
}

impl Policy {
    /// Compiles a policy document in JSON.
    ///
    /// # Errors
    /// All mistakes of the document, each with its place.
    pub fn compile(text: &[u8]) -> Result<Self, DocumentErrors> {
        let mut errors = Errors::default();
        let rules = Rules::compile(text, &mut errors);
        match rules {
            Some((rules, strip)) if errors.is_empty() => Ok(Self { rules: Some(rules), strip: Rc::new(strip) }),
            Some(_) | None => {
                if errors.is_empty() {
                    errors.add(&At::ROOT, "not a policy");
                }
                Err(errors.into_document_errors())
            }
        }
    }

    /// Makes the policy before the first good document: nothing passes, whatever the mode will be.
    #[must_use]
    pub fn deny_all() -> Self {
        Self { rules: None, strip: Rc::default() }
    }

    /// Returns the policy's name; `None` is [`Policy::deny_all`]'s.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.rules.as_ref().map(|rules| &*rules.name)
    }

    /// Returns the SHA-256 in hex over the document's canonical form without `generation`; `None` is [`Policy::deny_all`]'s.
    #[must_use]
    pub fn revision(&self) -> Option<&str> {
        self.rules.as_ref().map(|rules| &*rules.revision)
    }

    /// Returns the document's `generation`; 0 when it has none.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.rules.as_ref().map_or(0, |rules| rules.generation)
    }

    /// Do both say the same, `generation` included?
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.revision().is_some() && self.revision() == other.revision() && self.generation() == other.generation()
    }

    /// `session.orphaned_streams`: how long streams go on while the newest policy cannot be asked. For ever while it only
    /// observes; not at all without a policy.
    pub(crate) fn orphaned_streams(&self) -> Duration {
        match &self.rules {
            Some(rules) if rules.enforces() => rules.session.orphaned_streams,
            Some(_) => Duration::MAX,
            None => Duration::ZERO,
        }
    }

    /// Lists the names of the commands, for coverage and completion.
    pub fn command_names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().flat_map(|rules| &rules.commands).map(|command| &*command.name)
    }

    /// Lists the names of the grants.
    pub fn grant_names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().flat_map(|rules| rules.grants.all()).map(|grant| &*grant.name)
    }

    /// By name, in no order.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = (&str, &Issuer)> {
        self.rules.iter().flat_map(|rules| &rules.tokens.issuers).map(|(name, issuer)| (name.as_str(), issuer))
    }

    pub(crate) fn rules(&self) -> Option<&Rules> {
        self.rules.as_ref()
    }

    /// Is what it denies for this reason only recorded?
    pub(crate) fn only_notes(&self, reason: Reason) -> bool {
        self.rules().is_some_and(|rules| !rules.enforces() || rules.observed.contains(&reason))
    }

    /// Where a request comes from, as far as the record has it.
    pub(crate) fn recorded_source<'h>(&self, head: &Head<'h>) -> Option<&'h [u8]> {
        match self.rules.as_ref().map(|rules| rules.audit.source).unwrap_or_default() {
            SourceTeller::Filter => head.source.address(),
            SourceTeller::Proxy => None,
        }
    }

    /// What must go from messages; known also before the first good document.
    pub(crate) fn strip(&self) -> Rc<Strip> {
        Rc::clone(&self.strip)
    }
}

impl Rules {
    fn compile(text: &[u8], errors: &mut Errors) -> Option<(Self, Strip)> {
        let root = At::ROOT;
        if text.len() > limits::DOCUMENT_BYTES {
            errors.add_with_help(
                &root,
                format!("larger than {} bytes", limits::DOCUMENT_BYTES),
                "put mass revocations into a status list",
            );
            return None;
        }
        let value = match json::parse(text, limits::DOCUMENT_JSON_DEPTH) {
            Ok(value) => value,
            Err(error) => {
                errors.add(&root, format!("not acceptable JSON: {error}"));
                return None;
            }
        };
        let mut object = Object::open(&value, &root, errors)?;
        object.required("version", "write `version: 1`", errors, |value, at, errors| {
            const HELP: &str = "write `version: 1`";
            let version = whole_number(value, at, errors, HELP)?;
            if version != 1 {
                errors.add_with_help(at, format!("version {version} is not known"), HELP);
            }
            Some(())
        });
        let policy_name = object.required("name", "for example `name: orders`: audit headers and records show it", errors, name);
        let generation = object.optional("generation", errors, |value, at, errors| {
            whole_number(value, at, errors, "write digits, such as `generation: 1`")
        });
        let mode = object.optional("mode", errors, |value, at, errors| {
            one_of(value, at, errors, &[("enforce", Mode::Enforce), ("observe", Mode::Observe)])
        });
        let observed = object.optional("observe", errors, |value, at, errors| list(value, at, errors, read_observed));
        let tokens = object.required("tokens", "say whose tokens are accepted: `tokens: {issuers: [...]}`", errors, Tokens::read);
        let session = object.required("session", "write `session: {max_lifetime: 15m}`", errors, SessionRules::read);
        if let (Some(tokens), Some(session)) = (&tokens, &session) {
            session.bind.check_sources(&tokens.sources, &root.member("session"), errors);
        }
        let commands = object.required(
            "commands",
            "name what requests can be: `commands: {orders.read: {http: {methods: [GET], path: \"/v1/orders/{id}\"}}}`",
            errors,
            commands::read,
        );
        let names = || commands.as_ref().map(|commands| commands.all.as_slice()).unwrap_or_default();
        let unmediated = object.optional("unmediated", errors, |value, at, errors| {
            list(value, at, errors, |value, at, errors| grants::read_unmediated(value, at, errors, names()))
        });
        let mut issuers: Vec<&str> = tokens.iter().flat_map(|tokens| tokens.issuers.keys()).map(String::as_str).collect();
        // What is said of them is said in the same order each time.
        issuers.sort_unstable();
        let grants = object.required(
            "grants",
            "without grants nothing is allowed; write `grants: []` for that",
            errors,
            |value, at, errors| list(value, at, errors, |value, at, errors| grants::read(value, at, errors, names(), &issuers)),
        );
        let revoked = object.optional("revoked", errors, Revocations::read);
        let state = object.optional("end_session_when", errors, StateRules::read);
        let gives = grants.iter().flatten().any(|grant| grant.credentials.all().next().is_some());
        let upstream = object.optional("upstream", errors, |value, at, errors| Upstream::read(value, at, errors, names(), gives));
        let allowances = object.optional("limits", errors, Allowances::read);
        let (audit, header_prefix) = object.optional("audit", errors, Audit::read).unwrap_or_default();
        let mut grant_names = BTreeSet::new();
        for grant in grants.iter().flatten() {
            if !grant_names.insert(&grant.name) {
                errors.add_with_help(
                    &root.member("grants"),
                    format!("two grants are called `{}`: the record could not tell them apart", grant.name),
                    "give each a name of its own",
                );
            }
        }
        object.finish(errors);

        let Commands { all: mut commands, router, endpoints } = commands?;
        for id in unmediated.into_iter().flatten().flatten() {
            if let Some(command) = commands.get_mut(id.0 as usize) {
                command.unmediated = true;
            }
        }
        let Upstream { credentials, echoes, direct, strip: further, forward_token } = upstream.unwrap_or_default();
        let mode = mode.unwrap_or(Mode::Enforce);
        let tokens = tokens?;
        let session = session?;
        let mut grants = grants?;
        let of_grants = grants.iter().flat_map(|grant| grant.credentials.all());
        let all_credentials: Vec<_> = credentials.all().chain(of_grants).map(Rc::clone).collect();
        let mut headers: Vec<&str> = all_credentials.iter().filter_map(|one| one.header()).collect();
        headers.sort_unstable();
        headers.dedup();
        let strip = Strip {
            prefix: header_prefix.unwrap_or_else(|| HEADER_PREFIX.to_owned()),
            enforced: mode == Mode::Enforce,
            tokens: if forward_token { Vec::new() } else { carriers(&tokens.sources) },
            credentials: headers.into_iter().map(str::to_owned).collect(),
            further,
            refused: direct.iter().filter_map(Direct::header).map(str::to_owned).collect(),
        };
        let (policy_name, revision) = (policy_name?, revision(&value));
        grants.iter_mut().for_each(|grant| grant.identify(policy_name));
        let usage = grants.iter().any(Grant::counts);
        let state = StateRules { idle_timeout: session.idle_timeout, usage, ..state.unwrap_or_default() };
        let rules = Self {
            name: policy_name.into(),
            label: format!("{policy_name}@{}", revision.get(..12).unwrap_or_default()).into(),
            revision: revision.into(),
            generation: generation.unwrap_or(0),
            mode,
            observed: observed.unwrap_or_default(),
            tokens,
            session,
            commands,
            router,
            endpoints,
            grants: Grants::new(grants),
            revoked: revoked.unwrap_or_default(),
            credentials,
            all_credentials,
            direct,
            echoes,
            allowances: allowances.unwrap_or_default(),
            audit,
            state,
        };
        Some((rules, strip))
    }

    /// What of the peer's certificate a request is judged by.
    pub(crate) fn peer_wanted(&self) -> PeerWanted {
        let bound = self.session.bind.peer_wanted();
        PeerWanted { certificate_sha256: bound.certificate_sha256 || self.state.contexts.certificate, ..bound }
    }

    /// How long a token that is valid now can be so at the most, in seconds.
    pub(crate) fn longest_token(&self) -> u64 {
        self.session.max_lifetime.saturating_add(self.session.clock_skew)
    }

    pub(crate) fn endpoint(&self, id: EndpointId) -> Option<&Rc<Endpoint>> {
        self.endpoints.get(id.0 as usize)
    }

    /// The command of this name; `None` where the policy has none.
    pub(crate) fn command(&self, name: &str) -> Option<(CommandId, &Command)> {
        let place = self.commands.binary_search_by(|command| (*command.name).cmp(name)).ok()?;
        Some((CommandId(u32::try_from(place).ok()?), self.commands.get(place)?))
    }

    /// Does the other give each command of each grant the same credential?
    pub(crate) fn gives_alike(&self, other: &Self) -> bool {
        fn of_grants(rules: &Rules) -> impl Iterator<Item = (&Rc<str>, &Credentials)> {
            rules.grants.all().iter().map(|grant| (&grant.name, &grant.credentials)).filter(|(_, own)| own.all().next().is_some())
        }
        self.credentials == other.credentials && of_grants(self).eq(of_grants(other))
    }

    /// What a command is given that this grant allows: the grant's own credential before the policy's.
    pub(crate) fn gives<'g>(&'g self, grant: &'g Grant, command: Option<CommandId>) -> Option<&'g Rc<Credential>> {
        grant.credentials.of(command).or_else(|| self.credentials.of(command))
    }

    /// Are denials carried out, and credentials given?
    pub(crate) fn enforces(&self) -> bool {
        self.mode == Mode::Enforce
    }
}

/// The headers that a token comes in: its own, and that of the proof which came with it.
fn carriers(sources: &[Source]) -> Vec<Source> {
    let proof = sources.iter().any(|source| source.scheme == Some(Scheme::DPoP));
    let proof = proof.then(|| Source { header: PROOF_HEADER.to_owned(), scheme: None });
    sources.iter().cloned().chain(proof).collect()
}

fn read_observed(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Reason> {
    let words = || Reason::ALL.into_iter().filter(|reason| reason.can_be_observed()).map(|reason| (reason.code(), reason));
    if let Some(reason) = Reason::ALL.into_iter().find(|reason| !reason.can_be_observed() && *value == reason.code()) {
        // Only what an established session may do: the reasons of status 403.
        let names: Vec<&str> = words().map(|(name, _)| name).collect();
        let help = format!("take it out; what can be observed: {}", names.join(", "));
        errors.add_with_help(at, format!("`{reason}` is always enforced"), help);
        return None;
    }
    one_of(value, at, errors, &words().collect::<Vec<_>>())
}
