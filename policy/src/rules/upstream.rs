//! What the target is given, and what it must not give back: the member `upstream`.

use serde_json::Value;

use crate::document::{At, Errors, Object, boolean, one_of};
use crate::rules::credential::Credential;

/// What is done about bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Bodies {
    /// They pass unread.
    #[default]
    Unread,
    /// They are read, and a response with the credential in it is cut.
    Cut,
}

/// The member `upstream`.
#[derive(Default)]
pub(crate) struct Upstream {
    pub(crate) credential: Option<Credential>,
    pub(crate) echoes: Bodies,
    pub(crate) forward_token: bool,
}

impl Upstream {
    pub(crate) fn read(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        let mut object = Object::open(value, at, errors)?;
        let has_credential = object.has("credential");
        let credential = object.optional("credential", errors, Credential::read);
        let echoes = object.optional("echoed_credential", errors, |value, at, errors| {
            let bodies = one_of(value, at, errors, &[("remove", Bodies::Unread), ("cut", Bodies::Cut)])?;
            if bodies == Bodies::Cut && !has_credential {
                errors.add_with_help(
                    at,
                    "no credential is given that could come back",
                    "name `upstream.credential`, or leave this out",
                );
            }
            Some(bodies)
        });
        let forward_token = object.optional("forward_token", errors, boolean).unwrap_or(false);
        object.finish(errors);
        Some(Self { credential, echoes: echoes.unwrap_or_default(), forward_token })
    }
}
