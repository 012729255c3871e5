//! What an issuer says of its tokens after it has issued them: the OAuth Token Status List (draft-ietf-oauth-status-list), as a
//! policy asks for it, and the place in a list that a token names.

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::document::{At, Errors, Object, boolean, each, text, whole_number};
use crate::primitives::limits;
use crate::rules::endpoint::{ListId, Target, is_authority, is_path, read_cluster};
use crate::token::claims::Invalid;

/// The member `tokens.issuers[].status`.
#[derive(Debug)]
pub(crate) struct Status {
    /// Is a token that names no list refused?
    pub(crate) required: bool,
    /// Longest list, inflated.
    pub(crate) most_bytes: usize,
    /// By URI.
    pub(crate) lists: HashMap<String, ListId>,
}

/// A place in a list.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    pub(crate) list: ListId,
    pub(crate) index: u64,
}

impl Status {
    pub(crate) fn read(value: &Value, at: &At<'_>, errors: &mut Errors, issuer: Option<&str>) -> Option<Self> {
        let mut object = Object::open(value, at, errors)?;
        let cluster = object.required(
            "cluster",
            "name the proxy's cluster that leads to the lists, such as `cluster: broker`",
            errors,
            read_cluster,
        );
        let uris = object.required(
            "uris",
            "name the lists that tokens may name, such as `uris: [\"https://broker.example/status/1\"]`",
            errors,
            |value, at, errors| each(value, at, errors, read_uri),
        );
        let required = object.optional("required", errors, boolean).unwrap_or(true);
        let most_bytes = object.optional("max_bytes", errors, read_most_bytes).unwrap_or(limits::STATUS_LIST_BYTES);
        object.finish(errors);
        let (issuer, cluster): (Rc<str>, String) = (issuer?.into(), cluster?);
        let mut lists = HashMap::new();
        for (uri, authority, path) in uris? {
            let target = Rc::new(Target { cluster: cluster.clone(), authority: authority.to_owned(), path: path.to_owned() });
            let id = ListId { issuer: Rc::clone(&issuer), uri: uri.into(), target };
            if lists.insert(uri.to_owned(), id).is_some() {
                errors.add_with_help(&at.member("uris"), format!("`{uri}` stands twice"), "remove one of them");
            }
        }
        Some(Self { required, most_bytes, lists })
    }

    /// Where the token's status is to be found; `None` where it names no list and need not. Invalid where it is missing,
    /// malformed, of another mechanism, or names a list that the policy does not.
    pub(crate) fn reference(&self, payload: &Map<String, Value>) -> Result<Option<Reference>, Invalid> {
        let Some(status) = payload.get("status") else {
            return if self.required { Err(Invalid::STATUS) } else { Ok(None) };
        };
        // Of another mechanism we could not say what it says.
        let named = status.as_object().and_then(|status| status.get("status_list")?.as_object()).ok_or(Invalid::STATUS)?;
        let index = named.get("idx").and_then(Value::as_u64).ok_or(Invalid::STATUS)?;
        let uri = named.get("uri").and_then(Value::as_str).ok_or(Invalid::STATUS)?;
        let list = self.lists.get(uri).ok_or(Invalid::STATUS)?.clone();
        Ok(Some(Reference { list, index }))
    }
}

fn read_uri<'v>(value: &'v Value, at: &At<'_>, errors: &mut Errors) -> Option<(&'v str, &'v str, &'v str)> {
    const HELP: &str = "write it as tokens name it, for example `https://broker.example/status/1`";
    let uri = text(value, at, errors, HELP)?;
    let parts = uri.strip_prefix("https://").and_then(|rest| Some(rest.split_at(rest.find('/')?)));
    let Some((authority, path)) = parts.filter(|(authority, path)| is_authority(authority) && is_path(path)) else {
        errors.add_with_help(at, format!("`{uri}` is no https URL with a path"), HELP);
        return None;
    };
    Some((uri, authority, path))
}

fn read_most_bytes(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<usize> {
    let help = format!("write a whole number from 1 to {}, or leave it out", limits::STATUS_LIST_BYTES_MOST);
    let number = whole_number(value, at, errors, &help)?;
    let fitting = usize::try_from(number).ok().filter(|bytes| (1..=limits::STATUS_LIST_BYTES_MOST).contains(bytes));
    if fitting.is_none() {
        errors.add_with_help(at, format!("must be from 1 to {}", limits::STATUS_LIST_BYTES_MOST), help);
    }
    fitting
}
