//! What a proxy changes in a message's header fields, and which fields are never let through.

use std::fmt;

use crate::limits;
use crate::path::upper_escape;
use crate::policy::Rules;
use crate::request::{Headers, names_scheme};

/// Changes to the fields of one message: first remove, then set.
#[derive(Default, PartialEq, Eq)]
pub struct Edits {
    /// Names whose every field goes, spelled as they came.
    pub remove: Vec<Vec<u8>>,
    /// Fields to set; a field of the same name that is there is replaced.
    pub set: Vec<(String, Vec<u8>)>,
}

/// Names alone: a value may be a credential.
impl fmt::Debug for Edits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set: Vec<&str> = self.set.iter().map(|(name, _)| name.as_str()).collect();
        let remove: Vec<_> = self.remove.iter().map(|name| String::from_utf8_lossy(name)).collect();
        f.debug_struct("Edits").field("remove", &remove).field("set", &set).finish()
    }
}

/// Fields by which a client asks an upstream to see another method or path than the one that was judged.
const OVERRIDES: &[&str] = &[
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-method",
    "x-forwarded-method",
    "x-original-url",
    "x-original-uri",
    "x-original-path",
    "x-rewrite-url",
    "x-forwarded-uri",
    "x-forwarded-path",
    "x-envoy-original-path",
    "x-envoy-original-method",
    "x-envoy-original-host",
];

impl Edits {
    pub(crate) fn remove(&mut self, name: &[u8]) {
        // A name that repeats most often repeats at once. Removing it twice does no harm; looking through all names for each
        // would be quadratic in what an upstream sends, whose fields nobody counts.
        const LOOK_BACK: usize = 32;
        if !self.remove.iter().rev().take(LOOK_BACK).any(|known| known == name) {
            self.remove.push(name.to_vec());
        }
    }

    pub(crate) fn set(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.set.push((name.into(), value.into()));
    }

    /// Takes off whatever wears our prefix. `connection` may not name such a field either: the next proxy would take ours
    /// off as a hop-by-hop field (RFC 9110 §7.6.1).
    pub(crate) fn strip_forged(&mut self, headers: &Headers<'_>, prefix: &str) {
        for (name, value) in headers {
            if wears(name, prefix) {
                self.remove(name);
            } else if name.eq_ignore_ascii_case(b"connection") {
                self.strip_connection(name, value, |option| wears(option, prefix));
            }
        }
    }

    fn strip_connection(&mut self, name: &[u8], value: &[u8], forbidden: impl Fn(&[u8]) -> bool) {
        let options = || value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        if !options().any(&forbidden) {
            return;
        }
        self.remove(name);
        if options().any(|option| option.eq_ignore_ascii_case(b"upgrade")) {
            self.set("connection", "upgrade");
        }
    }

    /// Takes off the fields that ask for another request than the one judged.
    pub(crate) fn strip_overrides(&mut self, headers: &Headers<'_>) {
        for (name, _) in headers {
            if OVERRIDES.iter().any(|override_name| same_name(name, override_name)) {
                self.remove(name);
            }
        }
    }

    /// Takes off every field that carries a session token; another scheme's `authorization` stays.
    pub(crate) fn strip_tokens(&mut self, headers: &Headers<'_>, rules: &Rules) {
        for source in &rules.tokens.sources {
            for (name, value) in headers {
                let carries = source.scheme.is_none_or(|scheme| names_scheme(value, scheme));
                if name.eq_ignore_ascii_case(source.header.as_bytes()) && carries {
                    self.remove(name);
                }
            }
        }
    }
}

/// Does the name begin with the prefix, in any case and whatever stands between its words? CGI makes `_` and `-` one, some
/// servers make everything that is no letter or digit one.
fn wears(name: &[u8], prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| same_name(start, prefix))
}

fn same_name(name: &[u8], known: &str) -> bool {
    let fold = |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
    name.len() == known.len() && name.iter().zip(known.bytes()).all(|(a, b)| fold(*a) == fold(b))
}

/// A value for an audit header: visible ASCII; everything else, `%` and `,` percent-encoded; cut at a whole character.
pub(crate) fn audit_value(text: &str) -> Vec<u8> {
    let mut value = Vec::with_capacity(text.len());
    for character in text.chars() {
        let before = value.len();
        if ('\u{21}'..='\u{7e}').contains(&character) && character != '%' && character != ',' {
            value.extend(u8::try_from(character));
        } else {
            value.extend(character.encode_utf8(&mut [0; 4]).bytes().flat_map(upper_escape));
        }
        if value.len() > limits::AUDIT_VALUE_BYTES {
            value.truncate(before);
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(headers: &Headers<'_>) -> Edits {
        let mut edits = Edits::default();
        edits.strip_forged(headers, "x-chaperone-");
        edits
    }

    #[test]
    fn whatever_wears_our_prefix_is_removed() {
        let edits = stripped(&[
            (b"X-Chaperone-Session", b"a"),
            (b"x_chaperone_session", b"b"),
            (b"x-chaperone-anything", b"c"),
            (b"x.chaperone.session", b"d"),
            (b"x-chaperone", b"not ours"),
            (b"y-x-chaperone-session", b"not ours"),
        ]);
        assert_eq!(
            edits.remove,
            [
                b"X-Chaperone-Session".to_vec(),
                b"x_chaperone_session".to_vec(),
                b"x-chaperone-anything".to_vec(),
                b"x.chaperone.session".to_vec()
            ]
        );
    }

    #[test]
    fn connection_may_not_name_our_headers() {
        assert_eq!(stripped(&[(b"connection", b"keep-alive, x-other")]), Edits::default());
        assert_eq!(stripped(&[(b"connection", b"close, X-Chaperone-Session")]).remove, [b"connection".to_vec()]);
        let upgrade = stripped(&[(b"connection", b"Upgrade, x_chaperone_session")]);
        assert_eq!(upgrade.set, [("connection".to_owned(), b"upgrade".to_vec())]);
    }

    #[test]
    fn overrides_are_removed_in_any_spelling() {
        let mut edits = Edits::default();
        edits.strip_overrides(&[(b"X_HTTP_Method_Override", b"DELETE"), (b"x-original-url", b"/admin"), (b"x-request-id", b"1")]);
        assert_eq!(edits.remove.len(), 2);
    }

    #[test]
    fn audit_values_are_visible_ascii_and_bounded() {
        assert_eq!(audit_value("agent-7"), b"agent-7");
        assert_eq!(audit_value("a\r\nx: y,%\u{e9} "), b"a%0D%0Ax:%20y%2C%25%C3%A9%20");
        assert_eq!(audit_value(&"\u{e9}".repeat(200)).len(), 252, "whole characters of two bytes, six each");
        assert_eq!(audit_value(&"a".repeat(300)).len(), 256);
    }
}
