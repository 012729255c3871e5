//! What is known of a provider: how its tokens are told from others, and what a session is in them.

use super::presets;
use clap::ValueEnum;

/// A provider of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// Keycloak: access tokens of a realm.
    Keycloak,
    /// Microsoft Entra ID: v2.0 access tokens of a tenant.
    Entra,
    /// Okta: access tokens of a custom authorization server.
    Okta,
    /// Auth0: access tokens in the profile of RFC 9068.
    Auth0,
    /// Amazon Cognito: access tokens of a user pool.
    Cognito,
    /// Google: ID tokens of service accounts.
    Google,
    /// GitHub Actions: ID tokens of workflow runs.
    Github,
    /// Kubernetes: projected service-account tokens.
    Kubernetes,
    /// SPIRE: JWT-SVIDs of workloads.
    Spire,
}

/// Something to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// What it is.
    pub what: &'static str,
    /// How one looks.
    pub example: &'static str,
    /// What it is where nobody says; `None` when it must be said.
    pub default: Option<&'static str>,
}

/// Where the provider publishes its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keys {
    /// On the issuer's host, at this path beneath the issuer's.
    Beneath(&'static str),
    /// On the issuer's host, where a tenant's v2.0 endpoint has them.
    Entra,
    /// On the issuer's host, where a cluster or its cloud has them.
    Kubernetes,
    /// On a host of their own.
    At(&'static str, &'static str),
}

/// Everything about a provider that a first policy needs. Texts are YAML; `@CALLER@` and `@AUDIENCE@` in them stand for answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// What people call it.
    pub title: &'static str,
    /// What a session is, and what ending one ends. Comments of the policy, a line each.
    pub about: &'static [&'static str],
    /// Its issuer.
    pub issuer: Asked,
    /// The audience.
    pub audience: Asked,
    /// Who may; `None` where the audience says it.
    pub caller: Option<Asked>,
    pub(super) keys: Keys,
    pub(super) algorithm: &'static str,
    /// The header's `typ`; `None` when its tokens have none.
    pub(super) typ: Option<&'static str>,
    /// Lints that the issuer's entry is meant to be allowed, and why.
    pub(super) allow: Option<(&'static str, &'static str)>,
    /// More members of the issuer's entry.
    pub(super) members: &'static [&'static str],
    pub(super) max_lifetime: &'static str,
    pub(super) lifetime_comment: &'static str,
    /// Of the grant.
    pub(super) when: &'static str,
    /// The claims of a token in the cases, but iss, iat and exp.
    pub(super) claims: &'static [&'static str],
    /// The session that those claims name.
    pub(super) session: &'static str,
    /// How the claims of somebody else's token differ.
    pub(super) somebody_else: &'static str,
    /// How those of a token for another audience differ.
    pub(super) elsewhere: &'static str,
    /// Other tokens of the issuer: name, how they differ, what is decided: `allow SESSION` or a reason.
    pub(super) others: &'static [(&'static str, &'static str, Decided)],
}

/// What the cases expect of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decided {
    /// Allowed, as this session.
    Session(&'static str),
    /// Denied for this reason.
    Deny(&'static str),
}

impl Kind {
    /// What is known of it.
    #[must_use]
    pub fn preset(self) -> &'static Preset {
        match self {
            Self::Keycloak => &presets::KEYCLOAK,
            Self::Entra => &presets::ENTRA,
            Self::Okta => &presets::OKTA,
            Self::Auth0 => &presets::AUTH0,
            Self::Cognito => &presets::COGNITO,
            Self::Google => &presets::GOOGLE,
            Self::Github => &presets::GITHUB,
            Self::Kubernetes => &presets::KUBERNETES,
            Self::Spire => &presets::SPIRE,
        }
    }

    /// Its name on the command line, by which the cluster of its keys is called, too.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Keycloak => "keycloak",
            Self::Entra => "entra",
            Self::Okta => "okta",
            Self::Auth0 => "auth0",
            Self::Cognito => "cognito",
            Self::Google => "google",
            Self::Github => "github",
            Self::Kubernetes => "kubernetes",
            Self::Spire => "spire",
        }
    }
}
