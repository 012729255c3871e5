//! Sender-constrained tokens (`session.bind`): whoever presents a token must be who it was issued to.
//!
//! Asked of every request, after the signature: what a connection or a proof shows is never kept with the token.

mod confirmation;
mod dpop;
mod fault;
mod origin;
mod peer;
mod replay;

use serde_json::{Map, Value};

use crate::authenticate::Authenticated;
use crate::claims::Claims;
use crate::document::{At, Errors, Object, each, one_of, string};
use crate::issuers::{Scheme, Source};
use crate::keys::VerifySignature;
use crate::pace::{Pace, Payer};
use crate::path::CanonicalPath;
use crate::request::{Headers, Presented};
use crate::time::Timestamp;
use crate::trace::Seen;

use origin::Origin;

pub(crate) use confirmation::Confirmation;
pub(crate) use dpop::HEADER as PROOF_HEADER;
pub(crate) use fault::Fault;
pub use peer::{Peer, PeerWanted};
pub(crate) use replay::ProofMemory;

/// What a token can be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// The connection's certificate (RFC 8705 §3).
    ClientCertificate,
    /// The SPIFFE ID in the connection's certificate.
    SpiffeId,
    /// A key that the caller proves to have (RFC 9449).
    Dpop,
}

impl Method {
    const ALL: [(&'static str, Self); 3] =
        [("client_certificate", Self::ClientCertificate), ("spiffe_id", Self::SpiffeId), ("dpop", Self::Dpop)];

    fn bit(self) -> u8 {
        match self {
            Self::ClientCertificate => 1,
            Self::SpiffeId => 2,
            Self::Dpop => 4,
        }
    }
}

/// A set of them: what a policy asks for, or what held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bindings(u8);

impl Bindings {
    fn add(&mut self, method: Method) {
        self.0 |= method.bit();
    }

    fn has(self, method: Method) -> bool {
        self.0 & method.bit() != 0
    }

    /// Are all of these among `others`?
    pub(crate) fn within(self, others: Self) -> bool {
        self.0 & !others.0 == 0
    }

    fn names(self) -> impl Iterator<Item = &'static str> {
        Method::ALL.into_iter().filter(move |(_, method)| self.has(*method)).map(|(name, _)| name)
    }

    /// As the record has it: `none`, or the names joined by `+`.
    pub(crate) fn push_to(self, text: &mut String) {
        let start = text.len();
        for name in self.names() {
            if text.len() > start {
                text.push('+');
            }
            text.push_str(name);
        }
        if text.len() == start {
            text.push_str("none");
        }
    }
}

/// The members `bind` and `dpop` of `session`.
#[derive(Debug, Default)]
pub(crate) struct BindRules {
    /// All of them must hold.
    pub(crate) required: Bindings,
    /// Where proofs may be for.
    origins: Vec<Origin>,
}

/// What a request shows.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'s> {
    pub(crate) peer: Option<&'s Peer<'s>>,
    pub(crate) headers: &'s Headers<'s>,
    pub(crate) method: &'s [u8],
    pub(crate) path: &'s CanonicalPath<'s>,
    pub(crate) token: Presented<'s>,
    /// The clock, and the latest instant of the worker.
    pub(crate) now: Timestamp,
    pub(crate) latest: Timestamp,
}

/// What checking a proof needs and uses up.
pub(crate) struct Machine<'m> {
    pub(crate) proofs: &'m mut ProofMemory,
    pub(crate) pace: &'m mut Pace,
    /// Signature checks a second, and who pays for this one.
    pub(crate) allowance: u32,
    pub(crate) payer: Payer<'m>,
    pub(crate) verifier: &'m dyn VerifySignature,
}

impl BindRules {
    pub(crate) fn read(session: &mut Object<'_, '_>, errors: &mut Errors) -> Self {
        let mut required = Bindings::default();
        session.optional("bind", errors, |value, at, errors| {
            each(value, at, errors, |value, at, errors| {
                let method = one_of(value, at, errors, &Method::ALL)?;
                if required.has(method) {
                    errors.add(at, "stands twice");
                }
                required.add(method);
                Some(())
            })
        });
        let origins = session.optional("dpop", errors, |value, at, errors| read_dpop(value, at, errors, required));
        if required.has(Method::Dpop) && !session.has("dpop") {
            errors.add_with_help(
                session.place(),
                "`dpop` is missing",
                "write `dpop: {origins: [\"https://orders.example\"]}`: what a proof is for is never compared with the Host header",
            );
        }
        Self { required, origins: origins.unwrap_or_default() }
    }

    /// What the policy says of tokens must fit: proofs come with tokens of the scheme `DPoP`.
    pub(crate) fn check_sources(&self, sources: &[Source], at: &At<'_>, errors: &mut Errors) {
        if !self.wants_proofs() {
            return;
        }
        if !sources.iter().any(|source| source.scheme == Some(Scheme::DPoP)) {
            errors.add_with_help(
                &at.member("bind"),
                "`dpop` without a place for tokens of that scheme: nobody could get in",
                "write `tokens: {from: [{header: authorization, scheme: DPoP}]}`",
            );
        }
        if sources.iter().any(|source| source.header == PROOF_HEADER) {
            errors.add(&at.member("bind"), "`tokens.from` names the header `dpop`, where the proof is");
        }
    }

    /// Must a request carry a DPoP proof?
    pub(crate) fn wants_proofs(&self) -> bool {
        self.required.has(Method::Dpop)
    }

    /// What of the peer's certificate the checks look at.
    pub(crate) fn peer_wanted(&self) -> PeerWanted {
        PeerWanted {
            certificate_sha256: self.required.has(Method::ClientCertificate),
            uri_san: self.required.has(Method::SpiffeId),
        }
    }

    /// Runs what the policy asks for; gives what held.
    pub(crate) fn check(
        &self,
        claims: &Claims,
        shown: &Shown<'_>,
        skew: u64,
        machine: &mut Machine<'_>,
    ) -> Result<Bindings, Fault> {
        let confirmation = claims.confirmation.as_ref();
        if let Some(confirmation) = confirmation {
            // A `cnf` says that the bearer alone is not enough (RFC 7800 §3): each of its members must be one that is checked.
            let checked = confirmation.is_readable()
                && (confirmation.certificate.is_none() || self.required.has(Method::ClientCertificate))
                && (confirmation.key.is_none() || self.required.has(Method::Dpop));
            if !checked {
                return Err(Fault::Unchecked);
            }
        }
        if self.required.has(Method::ClientCertificate) {
            let expected = confirmation.and_then(|confirmation| confirmation.certificate).ok_or(Fault::NoThumbprint)?;
            peer::has_certificate(shown.peer, &expected)?;
        }
        if self.required.has(Method::SpiffeId) {
            peer::has_spiffe_id(shown.peer, presenter(claims))?;
        }
        // Last: it alone leaves something behind, and only what is bound may.
        if self.required.has(Method::Dpop) {
            let expected = confirmation.and_then(|confirmation| confirmation.key).ok_or(Fault::NoKeyThumbprint)?;
            dpop::check(shown, &self.origins, skew, &expected, machine)?;
        }
        Ok(self.required)
    }

    /// May a stream that was admitted when these held go on, without new evidence? `then` and `now` are its token's claims as
    /// the policies of then and now read them.
    pub(crate) fn still_holds(&self, held: Bindings, then: &Claims, now: &Claims) -> bool {
        let same_presenter = !self.required.has(Method::SpiffeId) || presenter(then) == presenter(now);
        self.required.within(held) && same_presenter
    }

    pub(crate) fn seen(&self, authenticated: &Authenticated, fault: Option<Fault>) -> Seen {
        Seen::Binding {
            required: self.required.names().collect(),
            confirmation: members(&authenticated.token.payload),
            fault: fault.map(Fault::text),
        }
    }
}

fn read_dpop(value: &Value, at: &At<'_>, errors: &mut Errors, required: Bindings) -> Option<Vec<Origin>> {
    let mut object = Object::open(value, at, errors)?;
    let origins =
        object.required("origins", "for example `origins: [\"https://orders.example\"]`", errors, |value, at, errors| {
            each(value, at, errors, read_origin)
        });
    object.finish(errors);
    if !required.has(Method::Dpop) {
        errors.add_with_help(at, "stands without `dpop` in `bind`: no proof would be asked for", "add it there, or remove this");
    }
    origins
}

fn read_origin(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Origin> {
    let text = string(value, at, errors)?;
    let origin = Origin::read(text);
    if origin.is_none() {
        errors.add_with_help(
            at,
            format!("`{text}` is not an origin"),
            "write scheme, host and, where it is another than the scheme's, port: `https://orders.example`",
        );
    }
    origin
}

/// Whose token it is to present: of the outermost hop of the `act` chain, who acts now (RFC 8693 §4.1), or of the subject.
fn presenter(claims: &Claims) -> &str {
    claims.agents.first().unwrap_or(&claims.subject)
}

fn members(payload: &Map<String, Value>) -> Vec<String> {
    match payload.get("cnf") {
        Some(Value::Object(members)) => members.keys().cloned().collect(),
        Some(_) => vec!["not an object".to_owned()],
        None => Vec::new(),
    }
}
