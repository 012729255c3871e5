//! What tokens must be bound to: the members `bind` and `dpop` of `session`.

use serde_json::Value;

use crate::document::{At, Errors, Object, each, one_of, text};
use crate::http::credentials::{Scheme, Source};
use crate::http::names::PROOF_HEADER;
use crate::http::origin::Origin;
use crate::http::peer::PeerWanted;

/// What a token can be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
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

    pub(crate) fn has(self, method: Method) -> bool {
        self.0 & method.bit() != 0
    }

    /// Are all of these among `others`?
    pub(crate) fn within(self, others: Self) -> bool {
        self.0 & !others.0 == 0
    }

    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
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
    pub(crate) origins: Vec<Origin>,
}

impl BindRules {
    pub(crate) fn read(session: &mut Object<'_, '_>, errors: &mut Errors) -> Self {
        let mut required = Bindings::default();
        session.optional("bind", errors, |value, at, errors| {
            each(value, at, errors, |value, at, errors| {
                let method = one_of(value, at, errors, &Method::ALL)?;
                if required.has(method) {
                    errors.add_with_help(at, "stands twice", "remove one of them");
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
            errors.add_with_help(
                &at.member("bind"),
                "`tokens.from` names the header `dpop`, where the proof is",
                "take that entry out of `tokens.from`: tokens come with `{header: authorization, scheme: DPoP}`",
            );
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
}

fn read_dpop(value: &Value, at: &At<'_>, errors: &mut Errors, required: Bindings) -> Option<Vec<Origin>> {
    let mut object = Object::open(value, at, errors)?;
    let origins =
        object.required("origins", "for example `origins: [\"https://orders.example\"]`", errors, |value, at, errors| {
            each(value, at, errors, read_origin)
        });
    object.finish(errors);
    if !required.has(Method::Dpop) {
        errors.add_with_help(
            at,
            "stands without `dpop` in `bind`: no proof would be asked for",
            "remove this, or write `bind: [dpop]`",
        );
    }
    origins
}

fn read_origin(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Origin> {
    const HELP: &str = "write scheme, host and, where it is another than the scheme's, port: `https://orders.example`";
    let text = text(value, at, errors, HELP)?;
    let origin = Origin::read(text);
    if origin.is_none() {
        errors.add_with_help(at, format!("`{text}` is not an origin"), HELP);
    }
    origin
}
