//! Sender-constrained tokens (`session.bind`): whoever presents a token must be who it was issued to.
//!
//! Asked of every request, after the signature: what a connection or a proof shows is never kept with the token.

mod certificate;
mod dpop;
mod error;

use serde_json::{Map, Value};

use crate::decide::context::Context;
use crate::http::credentials::Presented;
use crate::http::head::Headers;
use crate::http::path::CanonicalPath;
use crate::http::peer::Peer;
use crate::primitives::address::Address;
use crate::rules::binding::{BindRules, Bindings, Method};
use crate::rules::policy::Rules;
use crate::state::tally::Tally;
use crate::state::worker::Worker;
use crate::token::claims::Claims;

pub(crate) use error::BindingError;

/// What a request shows of whoever presents its token.
#[derive(Clone, Copy)]
pub(crate) struct Evidence<'e> {
    pub(crate) peer: Option<&'e Peer<'e>>,
    pub(crate) headers: &'e Headers<'e>,
    pub(crate) method: &'e [u8],
    pub(crate) path: &'e CanonicalPath<'e>,
    pub(crate) token: Presented<'e>,
    /// Where it comes from, and the session whose signature checks a proof uses up.
    pub(crate) address: Address,
    pub(crate) tally: &'e Tally,
}

/// Runs what the policy asks for; gives what held.
pub(crate) fn check(
    rules: &Rules,
    claims: &Claims,
    evidence: &Evidence<'_>,
    worker: &mut Worker,
    context: &Context<'_>,
) -> Result<Bindings, BindingError> {
    let required = rules.session.bind.required;
    let confirmation = claims.confirmation.as_ref();
    if let Some(confirmation) = confirmation {
        // A `cnf` says that the bearer alone is not enough (RFC 7800 §3): each of its members must be one that is checked.
        let checked = confirmation.is_readable()
            && (confirmation.certificate.is_none() || required.has(Method::ClientCertificate))
            && (confirmation.key.is_none() || required.has(Method::Dpop));
        if !checked {
            return Err(BindingError::Unchecked);
        }
    }
    if required.has(Method::ClientCertificate) {
        let expected = confirmation.and_then(|confirmation| confirmation.certificate).ok_or(BindingError::NoThumbprint)?;
        certificate::has_certificate(evidence.peer, &expected)?;
    }
    if required.has(Method::SpiffeId) {
        certificate::has_spiffe_id(evidence.peer, presenter(claims))?;
    }
    // Last: it alone leaves something behind, and only what is bound may.
    if required.has(Method::Dpop) {
        let expected = confirmation.and_then(|confirmation| confirmation.key).ok_or(BindingError::NoKeyThumbprint)?;
        dpop::check(rules, evidence, &expected, worker, context)?;
    }
    Ok(required)
}

/// May a stream that was admitted when these held go on, without new evidence? `then` and `now` are its token's claims as the
/// policies of then and now read them.
pub(crate) fn still_holds(rules: &BindRules, held: Bindings, then: &Claims, now: &Claims) -> bool {
    let same_presenter = !rules.required.has(Method::SpiffeId) || presenter(then) == presenter(now);
    rules.required.within(held) && same_presenter
}

/// Whose token it is to present: of the outermost hop of the `act` chain, who acts now (RFC 8693 §4.1), or of the subject.
fn presenter(claims: &Claims) -> &str {
    claims.agents.first().unwrap_or(&claims.subject)
}

/// The members of a token's `cnf`, for whoever asks why.
pub(crate) fn confirmation_members(payload: &Map<String, Value>) -> Vec<String> {
    match payload.get("cnf") {
        Some(Value::Object(members)) => members.keys().cloned().collect(),
        Some(_) => vec!["not an object".to_owned()],
        None => Vec::new(),
    }
}
