//! A first policy for the tokens of a known provider, and its cases.
//!
//! What is asked for comes as texts; nothing here reads or writes a file.

mod issuer;
mod preset;
mod presets;
mod text;

pub use preset::{Asked, Kind, Preset};

use chaperone_authoring::source::{Document, Findings, PolicyDocument};

/// What a policy is written from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// Whose tokens.
    pub kind: Kind,
    /// The policy's name.
    pub name: String,
    /// `iss` of the tokens, or what makes it: see [`Answers::issuer_of`].
    pub issuer: String,
    /// Whom the tokens are for.
    pub audience: String,
    /// Who may use the commands, as the provider names it; `None` where the audience says it.
    pub caller: Option<String>,
}

/// What `init` writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// `policy.yaml`.
    pub policy: String,
    /// `cases.yaml`, which stands beside it.
    pub cases: String,
}

/// Why there is nothing to write.
#[derive(Debug)]
pub enum InitError {
    /// The issuer is none of this kind: why, and what one looks like.
    Issuer(String),
    /// The policy would be refused.
    Policy(Findings),
}

impl Answers {
    /// The issuer as the provider spells it, to the last slash.
    ///
    /// # Errors
    /// When it is none of this kind.
    pub fn issuer_of(kind: Kind, text: &str) -> Result<String, String> {
        issuer::spelled(kind, text)
    }

    /// Writes policy and cases.
    ///
    /// # Errors
    /// When the issuer is none of its kind, or the policy would be refused.
    pub fn write(&self) -> Result<Written, InitError> {
        let preset = self.kind.preset();
        let answers = Self { issuer: Self::issuer_of(self.kind, &self.issuer).map_err(InitError::Issuer)?, ..self.clone() };
        let written = Written { policy: text::policy(preset, &answers), cases: text::cases(preset, &answers) };
        let document = Document::parse("policy.yaml", written.policy.clone()).and_then(PolicyDocument::find);
        document.and_then(|document| document.compile().map(|_| ())).map_err(InitError::Policy)?;
        Ok(written)
    }
}

#[cfg(test)]
mod tests;
