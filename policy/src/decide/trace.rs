//! What a judgement saw, check by check: for whoever asks why. The filter does not ask, and pays nothing: its checks are
//! compiled for a trace that is nothing.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::http::credentials::Source;
use crate::http::head::{Head, Headers, values};
use crate::http::path::CanonicalPath;
use crate::primitives::digest::TextSha256;
use crate::primitives::reason::Reason;
use crate::primitives::time::Timestamp;
use crate::rules::issuers::Issuer;
use crate::rules::policy::Rules;
use crate::token::claims::{Claims, CommandLists};
use crate::token::jws::{Header, Malformed};
use crate::token::keys::Algorithm;

/// Takes what a check sees. What it is given is built only when somebody looks.
pub(crate) trait Trace {
    /// A check looks at this, and has not decided yet.
    fn saw(&mut self, seen: impl FnOnce() -> CheckStep);

    /// It is known whose session it is, by the claims of its token at this instant.
    fn session(&mut self, rules: &Rules, claims: &Claims, payload: &Map<String, Value>, now: Timestamp);
}

/// Nobody looks.
impl Trace for () {
    #[inline(always)]
    fn saw(&mut self, _: impl FnOnce() -> CheckStep) {}

    #[inline(always)]
    fn session(&mut self, _: &Rules, _: &Claims, _: &Map<String, Value>, _: Timestamp) {}
}

/// One check, and what it saw. Instants are Unix seconds, durations seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "check", rename_all = "snake_case")]
pub enum CheckStep {
    /// The head of the request.
    Request {
        /// `:method`.
        method: String,
        /// `:authority`, or `host`.
        authority: String,
        /// `:path` as it came, without its query.
        path: String,
    },
    /// The path in canonical form, and the command that it is.
    Path {
        /// RFC 3986 §6.2.2.
        canonical: String,
    },
    /// Which command method, host and path are. A miss is reported later, by [`CheckStep::Command`].
    Lookup {
        /// Its name.
        command: Option<String>,
        /// The form in which a method of a service is called, as policies name it; a command may not take it.
        #[serde(skip_serializing_if = "Option::is_none")]
        form: Option<&'static str>,
        /// It needs no session.
        unmediated: bool,
    },
    /// The target's own credential is shown, which the policy refuses.
    Direct {
        /// As the policy names it.
        kind: String,
    },
    /// Where the policy looks for a token.
    Token {
        /// In the policy's order.
        places: Vec<TokenLocation>,
    },
    /// The token's outer form.
    Form {
        /// Its length.
        bytes: usize,
        /// How long it may be.
        most: usize,
        /// What is wrong with it.
        fault: Option<String>,
    },
    /// The token's header against what the issuer may use.
    Kind {
        /// `alg`, where it is one that is known.
        algorithm: Option<&'static str>,
        /// `typ`.
        kind: Option<String>,
        /// There is a `crit`.
        critical: bool,
        /// Algorithms of the issuer, where it is known.
        accepted: Vec<&'static str>,
        /// Types of the issuer; none for any.
        types: Vec<String>,
    },
    /// `iss`.
    Issuer {
        /// As the token has it.
        issuer: Option<String>,
        /// The policy has it, too.
        known: bool,
    },
    /// `aud`.
    Audience {
        /// As the token has it.
        audiences: Vec<String>,
        /// The policy's.
        accepted: Vec<String>,
    },
    /// The issuer's key for `kid` and `alg`.
    Key {
        /// `kid`.
        key_id: Option<String>,
        /// `alg`.
        algorithm: &'static str,
        /// The issuer's keys are: they stand in the document, or have been fetched.
        at_hand: bool,
    },
    /// Signature checks in this second.
    Pace {
        /// How many the policy allows.
        allowance: u32,
    },
    /// The signature over the token.
    Signature,
    /// The claims that say whose session it is. `None` when one is missing or of the wrong type.
    Claims {
        /// Who it is.
        identity: Option<Identity>,
        /// What is wrong, and what would do.
        fault: Option<String>,
    },
    /// `cnf`, and what the policy asks for.
    Binding {
        /// `session.bind`.
        required: Vec<&'static str>,
        /// The members of `cnf`.
        confirmation: Vec<String>,
        /// Why it does not hold.
        fault: Option<&'static str>,
    },
    /// `nbf`, `iat` and the session's start.
    Begin {
        /// The clock.
        now: u64,
        /// `nbf`.
        not_before: Option<u64>,
        /// `iat`.
        issued: u64,
        /// The session's start.
        started: u64,
        /// `session.clock_skew`.
        clock_skew: u64,
    },
    /// `exp`.
    Expiry {
        /// The latest instant of the worker.
        now: u64,
        /// `exp`.
        expires: u64,
        /// `session.clock_skew`.
        clock_skew: u64,
    },
    /// The lifetimes of token and session.
    Lifetime {
        /// `exp - iat`.
        token: u64,
        /// Since the session's start.
        session: u64,
        /// `session.max_lifetime`.
        longest: u64,
    },
    /// The entries of `revoked`.
    Revocation {
        /// One names the session.
        named: bool,
        /// Its `because`.
        because: Option<String>,
    },
    /// What the workers of the proxy know of the session.
    State {
        /// The reason why it may not go on.
        stopped: Option<&'static str>,
    },
    /// The issuer's status list. All is absent for a token that names none, or where the policy does not ask.
    Status {
        /// Its URI.
        list: Option<String>,
        /// The token's place in it.
        index: Option<u64>,
        /// What it says there, where a list that says anything is at hand; 0 is valid.
        value: Option<u8>,
    },
    /// Is the request a command at all?
    Command {
        /// Its name.
        command: Option<String>,
    },
    /// The body of a request whose command is in it.
    Message {
        /// Its length, where all of it has come.
        bytes: Option<usize>,
        /// What is wrong with it.
        fault: Option<String>,
    },
    /// The arguments of a command break a rule of the policy.
    Arguments {
        /// The command.
        command: String,
        /// Where in the arguments, as a JSON pointer (RFC 6901).
        place: String,
        /// The rule.
        rule: String,
    },
    /// What a server gave out to another session, or never.
    Handle {
        /// `session`, `task` or `request_state`.
        kind: &'static str,
    },
    /// The token's own lists.
    TokenCommands {
        /// The claim `commands`, where it is.
        claim: Option<Vec<String>>,
        /// The actions in `authorization_details` of our type, where they are, each with the digest of the arguments that it is for.
        details: Option<Vec<String>>,
        /// The digest of those of the call, where it has any.
        arguments: Option<String>,
        /// A token without a list is refused.
        required: bool,
        /// The command is in each list that is there.
        listed: bool,
    },
    /// The grants; see [`crate::Explanation::grants`].
    Grants {
        /// The first that allows the command and has not run out.
        granted_by: Option<String>,
        /// When the session ends under it.
        ends: Option<u64>,
        /// By what its caller is known as a browser.
        #[serde(skip_serializing_if = "Option::is_none")]
        browser: Option<&'static str>,
    },
    /// What the request carries.
    Transfer {
        /// `transfers` of the grant, rule by rule; none where it has none.
        rules: Vec<String>,
        /// By what it is known as an upload; `None` where it is none.
        upload: Option<&'static str>,
        /// It asks for a part of a file.
        ranged: bool,
        /// Bytes of its body: as it says, or as they have come.
        bytes: u64,
        /// The rule that it breaks.
        broken: Option<&'static str>,
    },
    /// What the session has called before, as far as its grant counts it.
    Calls {
        /// Each rule that counts the command.
        counted: Vec<CallsSeen>,
        /// The reason why it is not let through.
        stopped: Option<&'static str>,
    },
    /// The upstream's credential.
    Credential {
        /// The variables that it is made of.
        reference: String,
        /// They are there.
        available: bool,
    },
    /// Does something follow the head?
    Body {
        /// It does.
        there: bool,
        /// The command may have a body.
        accepted: bool,
    },
    /// Room for one more exchange in this worker.
    Room {
        /// Of whom: `session`; and of what needs none, `unmediated` in all and of one `address`.
        of: &'static str,
        /// How many are under way.
        taken: u32,
        /// How many may be.
        most: u32,
    },
}

/// Calls by one rule of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallsSeen {
    /// Those that count already.
    pub before: u16,
    /// Those that were to be let through now.
    pub calls: u16,
    /// How many may be.
    pub most: u16,
    /// In how many seconds; absent for as long as the session.
    pub within: Option<u64>,
}

/// A place for tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenLocation {
    /// The header, in lower case.
    pub header: String,
    /// The scheme that it must have.
    pub scheme: Option<&'static str>,
    /// How many such header fields the request has.
    pub fields: usize,
}

/// Whose session it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The session's id.
    pub session: String,
    /// `sub`.
    pub subject: String,
    /// Who acts, outermost hop first.
    pub agents: Vec<String>,
    /// `jti`.
    pub token_id: Option<String>,
}

impl CheckStep {
    /// Lists what the check can deny for.
    #[must_use]
    pub fn reasons(&self) -> &'static [Reason] {
        match self {
            Self::Request { .. } | Self::Path { .. } => &[Reason::AmbiguousRequest],
            Self::Lookup { .. } => &[],
            Self::Token { .. } => &[Reason::TokenMissing, Reason::TokenAmbiguous],
            Self::Form { .. } => &[Reason::TokenMalformed],
            Self::Kind { .. } => &[Reason::TokenUnsupported],
            Self::Issuer { .. } => &[Reason::IssuerUnknown],
            Self::Audience { .. } => &[Reason::AudienceMismatch],
            Self::Key { .. } => &[Reason::KeysUnavailable, Reason::KeyUnknown],
            Self::Pace { .. } => &[Reason::Overloaded],
            Self::Signature => &[Reason::SignatureInvalid],
            Self::Claims { .. } => &[Reason::ClaimsInvalid],
            Self::Binding { .. } => &[Reason::BindingMismatch, Reason::Overloaded],
            Self::Begin { .. } => &[Reason::NotYetValid],
            Self::Expiry { .. } => &[Reason::Expired],
            Self::Lifetime { .. } => &[Reason::LifetimeExceeded],
            Self::Revocation { .. } => &[Reason::Revoked],
            Self::Status { .. } => &[Reason::StatusUnavailable, Reason::Revoked],
            Self::State { .. } => &[Reason::SessionEnded, Reason::Idle],
            Self::Command { .. } => &[Reason::UnknownCommand],
            Self::Message { .. } => &[Reason::BodyTooLarge, Reason::BodyUnsupported, Reason::BodyMalformed],
            Self::Arguments { .. } => &[Reason::ArgumentsNotAllowed],
            Self::Handle { .. } => &[Reason::HandleForeign],
            Self::TokenCommands { .. } => &[Reason::CommandNotInToken],
            Self::Grants { .. } => &[Reason::CommandNotGranted, Reason::InteractiveUse, Reason::LifetimeExceeded],
            Self::Direct { .. } => &[Reason::DirectCredential],
            Self::Transfer { .. } => &[Reason::TransferNotAllowed],
            Self::Calls { .. } => &[Reason::CallsExceeded, Reason::CallOutOfOrder],
            Self::Credential { .. } => &[Reason::CredentialUnavailable, Reason::CredentialEchoed],
            Self::Body { .. } | Self::Room { .. } => &[Reason::Overloaded],
        }
    }
}

/// What the checks saw, from what they hold.
impl CheckStep {
    pub(crate) fn head(head: &Head<'_>) -> Self {
        let first = |name| values(head.headers, name).next();
        let path = first(":path").unwrap_or_default().split(|byte| *byte == b'?').next().unwrap_or_default();
        Self::Request {
            method: lossy(first(":method").unwrap_or_default()),
            authority: lossy(first(":authority").or_else(|| first("host")).unwrap_or_default()),
            path: lossy(path),
        }
    }

    pub(crate) fn path(path: &CanonicalPath<'_>) -> Self {
        Self::Path { canonical: path.segments.iter().map(|segment| format!("/{}", lossy(&segment.canonical))).collect() }
    }

    pub(crate) fn locations(headers: &Headers<'_>, sources: &[Source]) -> Self {
        let place = |source: &Source| TokenLocation {
            header: source.header.clone(),
            scheme: source.scheme.map(|scheme| scheme.name()),
            fields: values(headers, &source.header).count(),
        };
        Self::Token { places: sources.iter().map(place).collect() }
    }

    pub(crate) fn kind(header: &Header, issuer: Option<&Issuer>) -> Self {
        Self::Kind {
            algorithm: header.algorithm.map(Algorithm::name),
            kind: header.typ.clone(),
            critical: header.critical,
            accepted: issuer.into_iter().flat_map(|issuer| &issuer.algorithms).map(|algorithm| algorithm.name()).collect(),
            types: issuer.and_then(|issuer| issuer.types.clone()).unwrap_or_default(),
        }
    }

    pub(crate) fn issuer(payload: &Map<String, Value>, known: bool) -> Self {
        Self::Issuer { issuer: payload.get("iss").and_then(Value::as_str).map(str::to_owned), known }
    }

    pub(crate) fn form(token: &[u8], most: usize, fault: Option<&Malformed>) -> Self {
        Self::Form { bytes: token.len(), most, fault: fault.map(ToString::to_string) }
    }

    pub(crate) fn audience(named: Option<&Value>, accepted: &[String]) -> Self {
        let audiences = match named {
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(one) => one.as_str().map(str::to_owned).into_iter().collect(),
            None => Vec::new(),
        };
        Self::Audience { audiences, accepted: accepted.to_vec() }
    }

    pub(crate) fn token_commands(lists: &CommandLists, asked: Option<TextSha256>, required: bool, listed: bool) -> Self {
        let [claim, details] = lists.texts();
        Self::TokenCommands { claim, details, arguments: asked.map(|digest| digest.to_string()), required, listed }
    }
}

impl Identity {
    pub(crate) fn of(claims: &Claims) -> Self {
        Self {
            session: claims.session.clone(),
            subject: claims.subject.clone(),
            agents: claims.agents.clone(),
            token_id: claims.token_id.clone(),
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
