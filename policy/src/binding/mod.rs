//! Sender-constrained tokens (`session.bind`): whoever presents a token must be who it was issued to.
//!
//! Asked of every request, after the signature: what a connection or a proof shows is never kept with the token.

mod confirmation;
mod peer;

use serde_json::{Map, Value};

use crate::authenticate::Authenticated;
use crate::claims::Claims;
use crate::document::{Errors, Object, each, one_of};
use crate::trace::Seen;

pub(crate) use confirmation::Confirmation;
pub use peer::{Peer, PeerWanted};

/// What a token can be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// The connection's certificate (RFC 8705 §3).
    ClientCertificate,
    /// The SPIFFE ID in the connection's certificate.
    SpiffeId,
}

impl Method {
    const ALL: [(&'static str, Self); 2] = [("client_certificate", Self::ClientCertificate), ("spiffe_id", Self::SpiffeId)];

    fn bit(self) -> u8 {
        match self {
            Self::ClientCertificate => 1,
            Self::SpiffeId => 2,
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
        session.unsupported("dpop", errors);
        Self { required }
    }

    /// What of the peer's certificate the checks look at.
    pub(crate) fn peer_wanted(&self) -> PeerWanted {
        PeerWanted {
            certificate_sha256: self.required.has(Method::ClientCertificate),
            uri_san: self.required.has(Method::SpiffeId),
        }
    }

    /// Runs what the policy asks for; gives what held.
    pub(crate) fn check(&self, claims: &Claims, peer: Option<&Peer<'_>>) -> Result<Bindings, Mismatch> {
        let confirmation = claims.confirmation.as_ref();
        if let Some(confirmation) = confirmation {
            // A `cnf` says that the bearer alone is not enough (RFC 7800 §3): each of its members must be one that is checked.
            let checked = confirmation.is_readable()
                && (confirmation.certificate.is_none() || self.required.has(Method::ClientCertificate))
                && confirmation.key.is_none();
            if !checked {
                return Err(Mismatch::Unchecked);
            }
        }
        if self.required.has(Method::ClientCertificate) {
            let expected = confirmation.and_then(|confirmation| confirmation.certificate).ok_or(Mismatch::NoThumbprint)?;
            peer::has_certificate(peer, &expected)?;
        }
        if self.required.has(Method::SpiffeId) {
            peer::has_spiffe_id(peer, presenter(claims))?;
        }
        Ok(self.required)
    }

    /// May a stream that was admitted when these held go on, without new evidence? `then` and `now` are its token's claims as
    /// the policies of then and now read them.
    pub(crate) fn still_holds(&self, held: Bindings, then: &Claims, now: &Claims) -> bool {
        let same_presenter = !self.required.has(Method::SpiffeId) || presenter(then) == presenter(now);
        self.required.within(held) && same_presenter
    }

    pub(crate) fn seen(&self, authenticated: &Authenticated, mismatch: Option<Mismatch>) -> Seen {
        Seen::Binding {
            required: self.required.names().collect(),
            confirmation: members(&authenticated.token.payload),
            mismatch: mismatch.map(Mismatch::text),
        }
    }
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

/// Why a token is not its bearer's. For whoever asks why; the client and the record have `binding_mismatch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mismatch {
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
}

impl Mismatch {
    fn text(self) -> &'static str {
        match self {
            Self::Unchecked => "the token's `cnf` has a member that the policy does not check",
            Self::NoThumbprint => "the token's `cnf` has no `x5t#S256`",
            Self::NoCertificate => "the connection has no client certificate",
            Self::NotValidated => "the proxy has not validated the client's certificate, or does not say so",
            Self::OtherCertificate => "the connection has another certificate than the token names",
            Self::NoSpiffeId => "the token's actor, or its subject where nobody acts, is no SPIFFE ID",
            Self::OtherSpiffeId => "the certificate has another SPIFFE ID than the token names, or none",
        }
    }
}
