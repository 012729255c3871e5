//! Where an issuer tells what has become of its sessions and subjects: security events (RFC 8417), polled (RFC 8936), as a policy
//! asks for them.

use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use crate::document::{At, Errors, Object, string};
use crate::primitives::limits;
use crate::rules::credential::Credential;
use crate::rules::endpoint::{Target, between, read_authority, read_cluster, read_path};

/// Whose events, from where, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventsId {
    pub(crate) issuer: Rc<str>,
    pub(crate) target: Rc<Target>,
    pub(crate) audience: Rc<str>,
}

/// The member `tokens.issuers[].events`.
#[derive(Debug)]
pub(crate) struct Events {
    pub(crate) id: EventsId,
    pub(crate) every: Duration,
    /// What the endpoint asks for; `None` where the cluster's TLS says who asks.
    pub(crate) credential: Option<Rc<Credential>>,
}

impl Events {
    pub(crate) fn read(value: &Value, at: &At<'_>, errors: &mut Errors, issuer: Option<&str>) -> Option<Self> {
        let mut object = Object::open(value, at, errors)?;
        let cluster = object.required(
            "cluster",
            "name the proxy's cluster that leads to the transmitter, such as `cluster: broker`",
            errors,
            read_cluster,
        );
        let authority = object.required("authority", "for example `authority: broker.example`", errors, read_authority);
        let path = object.required("path", "where the stream is polled, for example `path: /ssf/poll`", errors, read_path);
        let audience = object.required(
            "audience",
            "write the `aud` of the stream's events, for example `audience: https://proxy.example`; without it events for somebody else would do",
            errors,
            string,
        );
        let every = object.optional("every", errors, |value, at, errors| between(value, at, errors, (1, "1s"), (300, "5m")));
        let credential = object.optional("token", errors, Credential::read_bearer);
        object.finish(errors);
        Some(Self {
            id: EventsId {
                issuer: issuer?.into(),
                target: Rc::new(Target { cluster: cluster?, authority: authority?, path: path? }),
                audience: audience?.into(),
            },
            every: every.unwrap_or(limits::EVENTS_EVERY),
            credential: credential.map(Rc::new),
        })
    }
}
