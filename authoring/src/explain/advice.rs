//! What would have to change for a denied request to be allowed.

use super::Nearest;
use chaperone_policy::{CheckStep, Reason, limits};

/// One or two sentences for whoever wrote the policy, or asks for tokens.
pub(super) fn about(reason: Reason, command: Option<&str>, seen: &[CheckStep], nearest: Option<&Nearest>) -> String {
    let last = seen.iter().rev().find(|seen| seen.reasons().contains(&reason));
    let text = match reason {
        Reason::NoPolicy => "load a policy that compiles: `policy-host check` shows what is wrong with this one",
        Reason::InternalError => "the proxy failed the filter: look into its log",
        Reason::AmbiguousRequest => {
            "send one method, one host and a path of one reading; what a command's captures may hold besides is its `permit`"
        }
        Reason::DirectCredential => {
            "send a session token alone: the target's own credential is not for callers (upstream.direct_credentials)"
        }
        Reason::TokenMissing => "send a session token where the policy looks for one",
        Reason::TokenAmbiguous => "send one token, in one field",
        Reason::TokenMalformed => {
            if let Some(CheckStep::Form { bytes, most, .. }) = last
                && bytes > most
            {
                return format!(
                    "ask the issuer for a smaller token, or raise `limits.token_bytes`, {} at most",
                    limits::TOKEN_BYTES_MOST
                );
            }
            "send a compact JWS (RFC 7515): three parts of base64url, JSON without duplicate members inside"
        }
        Reason::TokenUnsupported => {
            "let the issuer sign with an algorithm and a `typ` that `tokens.issuers` lists, without `crit`"
        }
        Reason::IssuerUnknown => "list the issuer under `tokens.issuers`, or get the token from one that is",
        Reason::AudienceMismatch if matches!(last, Some(CheckStep::Audience { audiences, .. }) if audiences.is_empty()) => {
            "have the issuer write `aud` into its tokens; or name, in the issuer's `claims`, the claim that says whom they are for, such \
             as `audience: client_id`"
        }
        Reason::AudienceMismatch => "ask the issuer for a token with one of the policy's audiences",
        Reason::KeysUnavailable => "wait until the proxy has fetched the issuer's keys; its log says why a fetch fails",
        Reason::KeyUnknown => {
            "add the issuer's key of this `kid` and `alg` to `keys.jwks`; with `keys.endpoint` the issuer must publish it"
        }
        Reason::Overloaded => return overloaded(last),
        Reason::SignatureInvalid => {
            "get a token from the issuer: this one was changed, or signed with another key than the one that it names"
        }
        Reason::ClaimsInvalid => {
            "have the issuer put it right, or say in the issuer's `claims` where it is; that can be `first_of` several places"
        }
        Reason::BindingMismatch => return mismatch(last),
        Reason::NotYetValid => "wait until then, or put the clocks of issuer and proxy in step",
        Reason::Expired => "get a new token",
        Reason::LifetimeExceeded if matches!(last, Some(CheckStep::Grants { .. })) => {
            "every grant of this command has run out for the session: open a new session"
        }
        Reason::LifetimeExceeded => {
            "get a token that lives no longer than `session.max_lifetime`, of a session that is younger than that"
        }
        Reason::Revoked if matches!(last, Some(CheckStep::Status { value: Some(_), .. })) => {
            "open a new session: the issuer's status list says that this token is not valid any more"
        }
        Reason::Revoked => "open a new session, unless the entry names more than the session; or take the entry out of `revoked`",
        Reason::StatusUnavailable => {
            "wait until the proxy has fetched a status list that reaches as far as the token's place; its log says why a fetch fails"
        }
        Reason::SessionEnded => "open a new session: `end_session_when` ended this one for the rest of its lifetime",
        Reason::Idle => "open a new session, or use it more often than `session.idle_timeout`",
        Reason::UnknownCommand if let Some(CheckStep::Lookup { form: Some(form), .. }) = last => {
            return format!(
                "add `{form}` to the `forms` of a `grpc` command for this method, or give the request a name under `commands`"
            );
        }
        Reason::UnknownCommand => "give the request a name under `commands`, with its method, host and path",
        Reason::BodyTooLarge => {
            return format!(
                "send less, or raise `limits.body_bytes`, {} at most, and the proxy's own buffer with it",
                limits::BODY_BYTES_MOST
            );
        }
        Reason::BodyUnsupported => "send plain JSON as `content-type: application/json`, without a `content-encoding`",
        Reason::BodyMalformed => {
            if let Some(CheckStep::Message { fault: Some(fault), .. }) = last {
                return format!("send one message of JSON-RPC 2.0 that every reader reads alike; here: {fault}");
            }
            "send one message of JSON-RPC 2.0 that every reader reads alike"
        }
        Reason::ArgumentsNotAllowed => {
            if let Some(CheckStep::Arguments { command, place, rule }) = last {
                let place = if place.is_empty() { "the arguments" } else { place.as_str() };
                return format!("send arguments that keep to `{command}`: {place} {rule}; or let its `arguments` take these");
            }
            "send arguments that keep to the command's `arguments`"
        }
        Reason::HandleForeign => {
            "begin anew: what a server gave to one session is good in that session alone, with what was added to it"
        }
        Reason::AnswerUnreadable => "look at the target: what it answered is not a list that could be read",
        Reason::CommandNotInToken => {
            if let Some(CheckStep::TokenCommands { arguments: Some(digest), .. }) = last {
                return format!(
                    "ask the issuer for a token that lists the command, or the command with arguments_sha256 {digest} (this call's); \
                     the policy never widens that list"
                );
            }
            "ask the issuer for a token that lists the command; the policy never widens that list"
        }
        Reason::CommandNotGranted => return not_granted(command, nearest),
        Reason::TransferNotAllowed => return carried(last),
        Reason::InteractiveUse => "call it from a program: the grant says `use: machine`, and the request has what browsers send",
        Reason::CallsExceeded => "wait until earlier calls count no more, or raise the count in `calls` of the grant",
        Reason::CallOutOfOrder => "call first what `after` of the grant asks for, in the same session",
        Reason::CredentialEchoed => "look at the target: it redirected to an address with its own credential in it",
        Reason::CredentialUnavailable => "give the proxy the environment variable that `upstream.credential` names",
    };
    text.to_owned()
}

fn mismatch(seen: Option<&CheckStep>) -> String {
    match seen {
        Some(CheckStep::Binding { fault: Some(why), .. }) => {
            format!("{why}: only who the token was issued to may present it, and shows that as `session.bind` says")
        }
        _ => "show what `session.bind` asks for".to_owned(),
    }
}

fn overloaded(seen: Option<&CheckStep>) -> String {
    let text = match seen {
        Some(CheckStep::Body { .. }) => {
            "send it without a body, or write `body: true` in the command's `http`: without that an unmediated command has none"
        }
        Some(CheckStep::Room { of: "session", .. }) => {
            "let requests of the session end first, or raise `limits.streams_per_session`"
        }
        Some(CheckStep::Room { .. }) => "let other such requests end first, or raise `limits.unmediated_streams`",
        _ => "raise `limits.verifications_per_second`, or try again",
    };
    text.to_owned()
}

fn carried(seen: Option<&CheckStep>) -> String {
    let text = match seen {
        Some(CheckStep::Transfer { broken: Some("request_bytes"), .. }) => {
            "send fewer bytes, or raise `max_request_bytes` in the grant's `transfers`"
        }
        Some(CheckStep::Transfer { broken: Some("session_request_bytes"), .. }) => {
            "open a new session, or raise `max_session_request_bytes` in the grant's `transfers`"
        }
        Some(CheckStep::Transfer { broken: Some("upload"), .. }) => {
            "send a call, such as one in JSON, and no file; or write `uploads: allow` in the grant's `transfers`"
        }
        Some(CheckStep::Transfer { broken: Some("download"), .. }) => {
            "ask for no part of a file, and for no upgrade; or write `downloads: allow` in the grant's `transfers`"
        }
        _ => "carry what the grant's `transfers` lets through",
    };
    text.to_owned()
}

fn not_granted(command: Option<&str>, nearest: Option<&Nearest>) -> String {
    match nearest {
        Some(nearest) => format!("be somebody whom `{}` names; or grant the command to who this is", nearest.grant),
        None => format!("grant `{}` to somebody: no grant allows it", command.unwrap_or_default()),
    }
}
