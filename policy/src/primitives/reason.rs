//! The closed list of reasons why a request is denied, and what each means to the client.

use std::fmt;

/// Why a request is denied. In the order in which the checks run; the codes are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// No good policy has been loaded yet.
    NoPolicy,
    /// The proxy failed us (a host call, events out of order); nothing can be judged.
    InternalError,
    /// Two readers could see two requests: path, method, host or connection handling is ambiguous.
    AmbiguousRequest,
    /// The target's own credential is shown instead of a session's token.
    DirectCredential,
    /// No session token where the policy looks for one.
    TokenMissing,
    /// More than one session token.
    TokenAmbiguous,
    /// Not a JWS in compact form with JSON inside (RFC 7515 §7.1), or too large.
    TokenMalformed,
    /// An `alg`, `typ` or `crit` that the policy does not accept.
    TokenUnsupported,
    /// `iss` names no issuer of the policy.
    IssuerUnknown,
    /// `aud` holds none of the issuer's audiences.
    AudienceMismatch,
    /// No keys of the issuer have been fetched yet.
    KeysUnavailable,
    /// `kid` and `alg` name no key of the issuer.
    KeyUnknown,
    /// A bound was reached; try again later.
    Overloaded,
    /// The signature does not verify.
    SignatureInvalid,
    /// A claim is missing or of the wrong type.
    ClaimsInvalid,
    /// The token is bound to a key or certificate and that was not shown.
    BindingMismatch,
    /// `nbf`, `iat` or the session's start lies in the future.
    NotYetValid,
    /// `exp` is reached.
    Expired,
    /// The token or its session lives longer than the policy lets it.
    LifetimeExceeded,
    /// An entry of `revoked` names it.
    Revoked,
    /// No list that says the token's status is at hand.
    StatusUnavailable,
    /// The session was ended for its behaviour.
    SessionEnded,
    /// The session was not used for too long.
    Idle,
    /// The request is none of the policy's commands.
    UnknownCommand,
    /// The body is longer than one in which commands are looked for.
    BodyTooLarge,
    /// The command is in the body, and that is coded, or not in a form that is read.
    BodyUnsupported,
    /// The body has no single reading, or its head has another.
    BodyMalformed,
    /// The token's own list lacks the command.
    CommandNotInToken,
    /// No grant allows the command to this session.
    CommandNotGranted,
    /// A browser uses what is granted to programs alone.
    InteractiveUse,
    /// The arguments of the command are not those that the policy takes.
    ArgumentsNotAllowed,
    /// A session, a task or a request's state of the protocol was given to another session.
    HandleForeign,
    /// A file, or more bytes than the grant lets be carried.
    TransferNotAllowed,
    /// The upstream credential is not there.
    CredentialUnavailable,
    /// The session has called the command as often as its grant lets it.
    CallsExceeded,
    /// The session has not called before what its grant asks for.
    CallOutOfOrder,
    /// The target sent the credential back: in its response, or in a redirect that the proxy follows.
    CredentialEchoed,
    /// An answer that has to be read, such as a list of tools, cannot be.
    AnswerUnreadable,
}

/// What RFC 6750 §3.1 has the challenge say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// No challenge: another token would not help.
    None,
    /// A challenge without an error code: there was no token.
    Bare,
    /// A challenge with this error code.
    Error(&'static str),
}

/// The facts of one reason, kept together so that none can be forgotten for a new one.
struct Facts {
    code: &'static str,
    status: u16,
    title: &'static str,
    challenge: Challenge,
    /// Is the precise code shown to a caller? Not before signature and binding are verified: what is wrong with a token
    /// that is not its bearer's is nobody's business.
    shown: bool,
}

impl Reason {
    /// All reasons, in the order of the checks.
    pub const ALL: [Self; 38] = [
        Self::NoPolicy,
        Self::InternalError,
        Self::AmbiguousRequest,
        Self::DirectCredential,
        Self::TokenMissing,
        Self::TokenAmbiguous,
        Self::TokenMalformed,
        Self::TokenUnsupported,
        Self::IssuerUnknown,
        Self::AudienceMismatch,
        Self::KeysUnavailable,
        Self::KeyUnknown,
        Self::Overloaded,
        Self::SignatureInvalid,
        Self::ClaimsInvalid,
        Self::BindingMismatch,
        Self::NotYetValid,
        Self::Expired,
        Self::LifetimeExceeded,
        Self::Revoked,
        Self::StatusUnavailable,
        Self::SessionEnded,
        Self::Idle,
        Self::UnknownCommand,
        Self::BodyTooLarge,
        Self::BodyUnsupported,
        Self::BodyMalformed,
        Self::CommandNotInToken,
        Self::CommandNotGranted,
        Self::InteractiveUse,
        Self::ArgumentsNotAllowed,
        Self::HandleForeign,
        Self::TransferNotAllowed,
        Self::CredentialUnavailable,
        Self::CallsExceeded,
        Self::CallOutOfOrder,
        Self::CredentialEchoed,
        Self::AnswerUnreadable,
    ];

    /// Returns the stable code, as in the audit record and the metrics.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.facts().code
    }

    /// Returns the HTTP status of the denial.
    #[must_use]
    pub fn status(self) -> u16 {
        self.facts().status
    }

    /// Returns the code that the client is told.
    #[must_use]
    pub fn client_code(self) -> &'static str {
        let facts = self.facts();
        if facts.shown { facts.code } else { "token_rejected" }
    }

    /// Returns one line for people, safe to show to the client.
    #[must_use]
    pub fn client_title(self) -> &'static str {
        let facts = self.facts();
        if facts.shown { facts.title } else { "The session token was rejected" }
    }

    /// Returns the gRPC status code for the denial (`google.rpc.Code`).
    #[must_use]
    pub fn grpc_status(self) -> u32 {
        match self.status() {
            400 => 3,
            401 => 16,
            403 => 7,
            _ => 14,
        }
    }

    /// Says whether a policy can ask that this reason is only recorded. Only what an established session may do is ever up for
    /// that.
    #[must_use]
    pub fn can_be_observed(self) -> bool {
        self.status() == 403
    }

    /// Returns the reason with this code; `None` when there is none.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    pub(crate) fn challenge(self) -> Challenge {
        self.facts().challenge
    }

    fn facts(self) -> Facts {
        const INVALID: Challenge = Challenge::Error("invalid_token");
        const SCOPE: Challenge = Challenge::Error("insufficient_scope");
        let (code, status, challenge, shown, title) = match self {
            Self::NoPolicy => ("no_policy", 503, Challenge::None, true, "No policy is loaded"),
            Self::InternalError => ("internal_error", 503, Challenge::None, true, "The request could not be judged"),
            Self::AmbiguousRequest => ("ambiguous_request", 400, Challenge::None, true, "The request is ambiguous"),
            Self::DirectCredential => {
                ("direct_credential", 401, Challenge::Bare, true, "A session token is required, not the target's own credential")
            }
            Self::TokenMissing => ("token_missing", 401, Challenge::Bare, true, "A session token is required"),
            Self::TokenAmbiguous => {
                ("token_ambiguous", 400, Challenge::Error("invalid_request"), false, "More than one session token")
            }
            Self::TokenMalformed => ("token_malformed", 401, INVALID, false, "The session token is malformed"),
            Self::TokenUnsupported => ("token_unsupported", 401, INVALID, false, "The session token's kind is not accepted"),
            Self::IssuerUnknown => ("issuer_unknown", 401, INVALID, false, "The session token's issuer is not known"),
            Self::AudienceMismatch => ("audience_mismatch", 401, INVALID, false, "The session token is for another audience"),
            Self::KeysUnavailable => {
                ("keys_unavailable", 503, Challenge::None, false, "No keys of the issuer are at hand; try again")
            }
            Self::KeyUnknown => ("key_unknown", 401, INVALID, false, "The session token's key is not known"),
            Self::Overloaded => ("overloaded", 503, Challenge::None, true, "Too much at once, or more than the command takes"),
            Self::SignatureInvalid => ("signature_invalid", 401, INVALID, false, "The session token's signature is invalid"),
            Self::ClaimsInvalid => ("claims_invalid", 401, INVALID, false, "The session token's claims are invalid"),
            Self::BindingMismatch => ("binding_mismatch", 401, INVALID, false, "The session token is bound to another caller"),
            Self::NotYetValid => ("not_yet_valid", 401, INVALID, true, "The session token is not valid yet"),
            Self::Expired => ("expired", 401, INVALID, true, "The session token has expired"),
            Self::LifetimeExceeded => {
                ("lifetime_exceeded", 401, INVALID, true, "The token or its session lives longer than it may")
            }
            Self::Revoked => ("revoked", 401, INVALID, true, "The session has been revoked"),
            Self::StatusUnavailable => {
                ("status_unavailable", 503, Challenge::None, true, "The session token's status is not at hand; try again")
            }
            Self::SessionEnded => ("session_ended", 401, INVALID, true, "The session has been ended"),
            Self::Idle => ("idle", 401, INVALID, true, "The session was not used for too long"),
            Self::UnknownCommand => ("unknown_command", 403, SCOPE, true, "The request is not a known command"),
            Self::BodyTooLarge => ("body_too_large", 413, Challenge::None, true, "The body is longer than one that is read"),
            Self::BodyUnsupported => {
                ("body_unsupported", 415, Challenge::None, true, "The body is not plain JSON: `application/json`, and not coded")
            }
            Self::BodyMalformed => ("body_malformed", 400, Challenge::None, true, "The body has no single reading"),
            Self::CommandNotInToken => ("command_not_in_token", 403, SCOPE, true, "The session token does not list this command"),
            Self::CommandNotGranted => ("command_not_granted", 403, SCOPE, true, "The command is not granted to this session"),
            Self::InteractiveUse => {
                ("interactive_use", 403, Challenge::None, true, "The command is granted to programs, not to a browser")
            }
            Self::ArgumentsNotAllowed => {
                ("arguments_not_allowed", 403, Challenge::None, true, "The arguments are not those that may be used")
            }
            Self::HandleForeign => {
                ("handle_foreign", 403, Challenge::None, true, "What the server gave out belongs to another session")
            }
            Self::TransferNotAllowed => {
                ("transfer_not_allowed", 403, SCOPE, true, "A file, or more bytes than the session may send or get")
            }
            Self::CredentialUnavailable => {
                ("credential_unavailable", 503, Challenge::None, true, "The upstream credential is not available")
            }
            Self::CallsExceeded => {
                ("calls_exceeded", 403, Challenge::None, true, "The session has called this command too often")
            }
            Self::CallOutOfOrder => {
                ("call_out_of_order", 403, Challenge::None, true, "Another command has to be called before this")
            }
            Self::CredentialEchoed => {
                ("credential_echoed", 502, Challenge::None, true, "The target's answer cannot be passed on")
            }
            Self::AnswerUnreadable => ("answer_unreadable", 502, Challenge::None, true, "The target's answer cannot be read"),
        };
        Facts { code, status, title, challenge, shown }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_found_again() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(reason));
        }
        assert!(Reason::ALL.windows(2).all(|pair| pair[0] < pair[1]), "ALL follows the order of the checks");
    }

    #[test]
    fn before_the_signature_holds_the_client_learns_nothing() {
        assert_eq!(Reason::KeyUnknown.client_code(), "token_rejected");
        assert_eq!(Reason::Expired.client_code(), "expired");
    }
}
