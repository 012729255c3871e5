//! What can be wrong with what a request shows.

use crate::primitives::reason::Reason;

/// Why a token is not its bearer's, or nobody can tell. For whoever asks why; client and record have the [`Reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BindingError {
    /// A member of `cnf` that nobody checks.
    Unchecked,
    /// `cnf` names no certificate.
    NoThumbprint,
    /// The connection has no client certificate.
    NoCertificate,
    /// The proxy has not validated it, or does not say so.
    NotValidated,
    /// It is another one.
    OtherCertificate,
    /// Neither an actor nor the subject is a SPIFFE ID.
    NoSpiffeId,
    /// The certificate has another one, or none.
    OtherSpiffeId,
    /// `cnf` names no key.
    NoKeyThumbprint,
    /// The token came as a bearer token.
    OtherScheme,
    /// No proof, or several.
    NotOneProof,
    /// It is no proof.
    ProofMalformed,
    /// By another key.
    OtherKey,
    /// For another method.
    OtherMethod,
    /// For another place.
    OtherTarget,
    /// For another token.
    OtherToken,
    /// Its time is over.
    ProofOld,
    /// Its time has not come.
    ProofAhead,
    /// It was taken before.
    ProofReplayed,
    /// Its signature does not hold.
    ProofForged,
    /// This second's signature checks are used up.
    NoPace,
    /// No room to remember it.
    NoRoom,
}

impl BindingError {
    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::NoPace | Self::NoRoom => Reason::Overloaded,
            Self::Unchecked
            | Self::NoThumbprint
            | Self::NoCertificate
            | Self::NotValidated
            | Self::OtherCertificate
            | Self::NoSpiffeId
            | Self::OtherSpiffeId
            | Self::NoKeyThumbprint
            | Self::OtherScheme
            | Self::NotOneProof
            | Self::ProofMalformed
            | Self::OtherKey
            | Self::OtherMethod
            | Self::OtherTarget
            | Self::OtherToken
            | Self::ProofOld
            | Self::ProofAhead
            | Self::ProofReplayed
            | Self::ProofForged => Reason::BindingMismatch,
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Unchecked => "the token's `cnf` has a member that the policy does not check",
            Self::NoThumbprint => "the token's `cnf` has no `x5t#S256`",
            Self::NoCertificate => "the connection has no client certificate",
            Self::NotValidated => "the proxy has not validated the client's certificate, or does not say so",
            Self::OtherCertificate => "the connection has another certificate than the token names",
            Self::NoSpiffeId => "the token's actor, or its subject where nobody acts, is no SPIFFE ID",
            Self::OtherSpiffeId => "the certificate has another SPIFFE ID than the token names, or none",
            Self::NoKeyThumbprint => "the token's `cnf` has no `jkt`",
            Self::OtherScheme => "the token did not come under the scheme `DPoP`",
            Self::NotOneProof => "there is not exactly one header `DPoP`",
            Self::ProofMalformed => "the proof has not the form of RFC 9449 §4.2",
            Self::OtherKey => "the proof is by another key than the token names",
            Self::OtherMethod => "the proof's `htm` is another method",
            Self::OtherTarget => "the proof's `htu` is none of the policy's origins with the request's path",
            Self::OtherToken => "the proof's `ath` is that of another token",
            Self::ProofOld => "the proof's `iat` is too long ago",
            Self::ProofAhead => "the proof's `iat` is in the future",
            Self::ProofReplayed => "the proof has been used before",
            Self::ProofForged => "the proof's signature is invalid",
            Self::NoPace => "this second's signature checks are used up",
            Self::NoRoom => "too many proofs to remember",
        }
    }
}
