//! What a proxy changes in a message's header fields, and which fields are never let through.

use std::fmt;

use crate::http::credentials::{Source, names_scheme};
use crate::http::head::Headers;
use crate::http::names::HEADER_PREFIX;
use crate::primitives::ascii::{push_audit_value, push_quoted_audit_value};

/// Changes to the fields of one message: first remove, then set.
///
/// All names and values stand in one buffer: an allowed request sets nine fields, and an allocation for each name and each
/// value would cost more than the fields do.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Edits {
    text: Vec<u8>,
    removed: Vec<Span>,
    replaced: Vec<(Span, Span)>,
    added: Vec<(Span, Span)>,
    /// Where the value of the audit id stands.
    audit_id: Option<Span>,
}

/// From where to where in [`Edits::text`].
type Span = (usize, usize);

impl Edits {
    /// Lists names whose every field goes, spelled as they came.
    pub fn removed(&self) -> impl Iterator<Item = &[u8]> {
        self.removed.iter().map(|name| self.span(*name))
    }

    /// Lists all fields that are there afterwards, name and value.
    pub fn set(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.replaced().chain(self.added())
    }

    /// Lists fields to set, name and value; a field of the same name that is there is replaced.
    pub fn replaced(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields(&self.replaced)
    }

    /// Lists fields to add, name and value, once the removed ones are gone: there is none of the same name then, and adding costs
    /// half of what replacing does.
    pub fn added(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields(&self.added)
    }

    fn fields<'e>(&'e self, fields: &'e [(Span, Span)]) -> impl Iterator<Item = (&'e [u8], &'e [u8])> {
        fields.iter().map(|(name, value)| (self.span(*name), self.span(*value)))
    }

    /// Makes them those of another exchange: its audit id in the place of the one that is there.
    pub(crate) fn identify(&mut self, audit_id: &str) {
        if let Some((start, end)) = self.audit_id
            && let Some(place) = self.text.get_mut(start..end)
            && place.len() == audit_id.len()
        {
            place.copy_from_slice(audit_id.as_bytes());
        }
    }

    fn span(&self, (start, end): Span) -> &[u8] {
        self.text.get(start..end).unwrap_or_default()
    }

    /// Writes into the buffer, and gives the place.
    fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Span {
        let start = self.text.len();
        write(&mut self.text);
        (start, self.text.len())
    }
}

/// Names alone: a value may be a credential.
impl fmt::Debug for Edits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let removed: Vec<_> = self.removed().map(String::from_utf8_lossy).collect();
        let set: Vec<_> = self.set().map(|(name, _)| String::from_utf8_lossy(name)).collect();
        f.debug_struct("Edits").field("remove", &removed).field("set", &set).finish()
    }
}

/// What a policy has taken off messages, kept by each exchange without the rest of the policy.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Strip {
    /// Lower case; the default's is [`HEADER_PREFIX`].
    pub(crate) prefix: String,
    /// Not in observe, which leaves everything but our own headers as it is.
    pub(crate) enforced: bool,
    /// Where tokens are; none when they are forwarded.
    pub(crate) tokens: Vec<Source>,
    /// The headers that credentials of the upstream go into, each once.
    pub(crate) credentials: Vec<String>,
    /// What else never passes.
    pub(crate) further: Vec<String>,
    /// Headers that are refused as the target's own credential.
    pub(crate) refused: Vec<String>,
}

impl Strip {
    pub(crate) fn prefix(&self) -> &str {
        if self.prefix.is_empty() { HEADER_PREFIX } else { &self.prefix }
    }
}

/// Fields by which a client asks an upstream to see another method, path or host than the one that was judged, or another user.
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
    "x-rewrite-uri",
    "x-override-url",
    "x-http-path-override",
    "x-middleware-subrequest",
    "x-forwarded-uri",
    "x-forwarded-path",
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-prefix",
    "x-forwarded-server",
    "x-original-host",
    "x-host",
    "x-http-host-override",
    "x-forwarded-user",
    "x-remote-user",
    "remote-user",
];

/// What Envoy's own names begin with. By some it lets a caller whom it takes for internal choose how often a request is sent and
/// for how long (retries, hedging, timeouts), whom it connects to (`x-envoy-original-dst-host`), which faults are made. All of
/// them go, not those of a list: each version has more. What Envoy says by them to a target, it sets when the filters are done.
const ENVOY: &str = "x-envoy-";

/// But for these, which are there before the filters: the caller's address as Envoy sees it, and what Istio's proxies tell each
/// other of their workloads. None asks for anything.
const OF_ENVOY_ITSELF: &[&str] = &["x-envoy-external-address", "x-envoy-peer-metadata", "x-envoy-peer-metadata-id"];

impl Edits {
    pub(crate) fn remove(&mut self, name: &[u8]) {
        // A name that repeats most often repeats at once. Removing it twice does no harm; looking through all names for each
        // would be quadratic in what an upstream sends, whose fields nobody counts.
        const LOOK_BACK: usize = 32;
        if !self.removed.iter().rev().take(LOOK_BACK).any(|known| self.span(*known) == name) {
            let name = self.write(|text| text.extend_from_slice(name));
            self.removed.push(name);
        }
    }

    pub(crate) fn put(&mut self, name: &str, value: &[u8]) {
        let name = self.write(|text| text.extend_from_slice(name.as_bytes()));
        let value = self.write(|text| text.extend_from_slice(value));
        self.replaced.push((name, value));
    }

    /// Adds the audit id, as [`Self::put_audit`] does.
    pub(crate) fn put_audit_id(&mut self, prefix: &str, audit_id: &str) {
        self.put_audit(prefix, "audit-id", audit_id);
        self.audit_id = self.added.last().map(|(_, value)| *value);
    }

    /// Adds one of our own fields, its value as an audit header shows it: whatever wears the prefix has been taken off
    /// ([`Self::strip_forged`]).
    pub(crate) fn put_audit(&mut self, prefix: &str, name: &str, value: &str) {
        let name = self.write(|text| {
            text.extend_from_slice(prefix.as_bytes());
            text.extend_from_slice(name.as_bytes());
        });
        let value = self.write(|text| push_audit_value(text, value));
        self.added.push((name, value));
    }

    /// Adds all of our own fields of a request as one: a Dictionary of Strings (RFC 9651 §3.2 and §3.3.3), whose members are called as
    /// the fields would be and say what these would say. The audit id is the first, so that its place does not depend on the others.
    pub(crate) fn put_audit_dictionary(
        &mut self,
        prefix: &str,
        audit_id: &str,
        members: impl FnOnce(&mut dyn FnMut(&str, &str)),
    ) {
        const FIRST: &[u8] = b"audit-id=\"";
        let name = self.write(|text| {
            text.extend_from_slice(prefix.as_bytes());
            text.extend_from_slice(b"audit");
        });
        let value = self.write(|text| {
            text.extend_from_slice(FIRST);
            text.extend_from_slice(audit_id.as_bytes());
            text.push(b'"');
            members(&mut |name, value| {
                text.extend_from_slice(b", ");
                text.extend_from_slice(name.as_bytes());
                text.extend_from_slice(b"=\"");
                push_quoted_audit_value(text, value);
                text.push(b'"');
            });
        });
        let id = value.0 + FIRST.len();
        self.audit_id = Some((id, id + audit_id.len()));
        self.added.push((name, value));
    }

    /// Makes room for an allowed request's fields, whose names and values are some 500 bytes.
    pub(crate) fn with_room() -> Self {
        Self { text: Vec::with_capacity(768), removed: Vec::with_capacity(4), added: Vec::with_capacity(12), ..Self::default() }
    }

    /// Makes room for one of our own fields.
    pub(crate) fn for_one() -> Self {
        Self { text: Vec::with_capacity(96), added: Vec::with_capacity(1), ..Self::default() }
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
            self.put("connection", b"upgrade");
        }
    }

    /// Takes off the fields that ask for another request than the one judged.
    pub(crate) fn strip_overrides(&mut self, headers: &Headers<'_>) {
        for (name, _) in headers {
            // All of them begin with one of three letters, and hardly any other field does.
            let begins = name.first().is_some_and(|first| matches!(first.to_ascii_lowercase(), b'x' | b'f' | b'r'));
            if begins && is_override(name) {
                self.remove(name);
            }
        }
    }

    /// Takes off every spelling of a name that is about to be set: servers fold what stands between its words.
    pub(crate) fn strip_named(&mut self, headers: &Headers<'_>, name: &str) {
        for (found, _) in headers {
            if same_name(found, name) {
                self.remove(found);
            }
        }
    }

    /// Has the target answer in a form that can be searched: without a coding, and not in ranges, which a caller could choose so
    /// that each shows a part of what is sought.
    pub(crate) fn ask_uncoded(&mut self, headers: &Headers<'_>) {
        for name in [
            "accept-encoding",
            "grpc-accept-encoding",
            "connect-accept-encoding",
            "sec-websocket-extensions",
            "range",
            "if-range",
        ] {
            self.strip_named(headers, name);
        }
        // Without the field any coding would be welcome (RFC 9110 §12.5.3).
        self.put("accept-encoding", b"identity");
    }

    /// Sets a field in the place of all that have its name.
    pub(crate) fn replace(&mut self, name: &str, value: &str) {
        self.remove(name.as_bytes());
        self.put(name, value.as_bytes());
    }

    /// For a request at an MCP endpoint: the protocol's fields stand there once and in their own spelling, as they were judged; the
    /// session is the server's again; and a body that was changed has its own length. `reads`: the answer has to be read.
    pub(crate) fn for_calls(
        &mut self,
        headers: &Headers<'_>,
        session: Option<&str>,
        name: Option<&str>,
        length: Option<usize>,
        reads: bool,
    ) {
        for known in ["mcp-session-id", "mcp-method", "mcp-name", "mcp-protocol-version"] {
            for (found, _) in headers {
                if same_name(found, known) && !found.eq_ignore_ascii_case(known.as_bytes()) {
                    self.remove(found);
                }
            }
        }
        if let Some(session) = session {
            self.replace("mcp-session-id", session);
        }
        if let Some(name) = name {
            self.replace("mcp-name", name);
        }
        if let Some(length) = length {
            for name in ["content-digest", "repr-digest", "digest", "content-md5"] {
                self.strip_named(headers, name);
            }
            if headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"content-length")) {
                self.replace("content-length", &length.to_string());
            }
        }
        if reads {
            self.ask_uncoded(headers);
        }
    }

    /// Lets a field be replaced that would be removed and then set: where there is one of that very name and no more, setting
    /// it says the same in one call fewer.
    pub(crate) fn replace_removed(&mut self, headers: &Headers<'_>) {
        let Self { text, removed, replaced, .. } = self;
        let span = |(start, end): Span| text.get(start..end).unwrap_or_default();
        removed.retain(|name| {
            let name = span(*name);
            let only = headers.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name)).count() == 1;
            !(only && replaced.iter().any(|(known, _)| span(*known) == name))
        });
    }

    /// Takes off request trailers that would be taken off, or set, as header fields.
    pub(crate) fn strip_trailers(&mut self, headers: &Headers<'_>, strip: &Strip) {
        if !strip.enforced {
            return;
        }
        self.strip_overrides(headers);
        // No trailers by the standard (RFC 9110 §6.5.1), and nothing that was judged with the head.
        ["host", "authorization", "proxy-authorization", "cookie"].iter().for_each(|name| self.strip_named(headers, name));
        let named = strip.credentials.iter().chain(&strip.further).chain(&strip.refused);
        for name in strip.tokens.iter().map(|source| &source.header).chain(named) {
            self.strip_named(headers, name);
        }
    }

    /// Takes off every field that carries a session token; another scheme's `authorization` stays.
    pub(crate) fn strip_tokens(&mut self, headers: &Headers<'_>, strip: &Strip) {
        for source in &strip.tokens {
            for (name, value) in headers {
                let carries = || source.scheme.is_none_or(|scheme| names_scheme(value, scheme));
                if name.eq_ignore_ascii_case(source.header.as_bytes()) && carries() {
                    self.remove(name);
                }
            }
        }
    }
}

/// Does the name begin with the prefix, in any case and whatever stands between its words? CGI makes `_` and `-` one, some
/// servers make everything that is no letter or digit one.
pub(crate) fn wears(name: &[u8], prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| same_name(start, prefix))
}

fn is_override(name: &[u8]) -> bool {
    let is_of = |names: &[&str]| names.iter().any(|known| same_name(name, known));
    if wears(name, ENVOY) { !is_of(OF_ENVOY_ITSELF) } else { is_of(OVERRIDES) }
}

pub(crate) fn same_name(name: &[u8], known: &str) -> bool {
    let fold = |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
    name.len() == known.len() && name.iter().zip(known.bytes()).all(|(a, b)| fold(*a) == fold(b))
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
        let removed: Vec<_> = edits.removed().map(String::from_utf8_lossy).collect();
        assert_eq!(removed, ["X-Chaperone-Session", "x_chaperone_session", "x-chaperone-anything", "x.chaperone.session"]);
    }

    #[test]
    fn connection_may_not_name_our_headers() {
        assert_eq!(stripped(&[(b"connection", b"keep-alive, x-other")]), Edits::default());
        let close = stripped(&[(b"connection", b"close, X-Chaperone-Session")]);
        assert_eq!(close.removed().collect::<Vec<_>>(), [b"connection"]);
        let upgrade = stripped(&[(b"connection", b"Upgrade, x_chaperone_session")]);
        assert_eq!(upgrade.set().collect::<Vec<_>>(), [(b"connection".as_slice(), b"upgrade".as_slice())]);
    }

    #[test]
    fn what_is_set_again_is_replaced_where_there_is_one() {
        let removed = |headers: &Headers<'_>| {
            let mut edits = Edits::default();
            edits.strip_named(headers, "authorization");
            edits.put("authorization", b"Bearer upstream");
            edits.replace_removed(headers);
            edits.removed().map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        assert!(removed(&[(b"authorization", b"Bearer a"), (b"x", b"y")]).is_empty());
        // Setting replaces the first of several, and no field of another spelling.
        assert_eq!(removed(&[(b"authorization", b"a"), (b"authorization", b"b")]), [b"authorization"]);
        assert_eq!(removed(&[(b"authorization", b"a"), (b"Authorization", b"b")]).len(), 2);
        assert_eq!(removed(&[(b"Authorization", b"a")]), [b"Authorization"]);
    }

    #[test]
    fn overrides_are_removed_in_any_spelling() {
        let mut edits = Edits::default();
        edits.strip_overrides(&[(b"X_HTTP_Method_Override", b"DELETE"), (b"x-original-url", b"/admin"), (b"x-request-id", b"1")]);
        assert_eq!(edits.removed().count(), 2);
        // Some that have let others choose the host, the path or the user.
        for name in ["x-forwarded-host", "x-http-host-override", "x-rewrite-uri", "x-override-url", "remote-user"] {
            assert!(OVERRIDES.contains(&name), "{name}");
        }
        // Each of the list is found, also in capitals.
        for name in OVERRIDES {
            let mut edits = Edits::default();
            edits.strip_overrides(&[(name.to_ascii_uppercase().as_bytes(), b"x")]);
            assert_eq!(edits.removed().count(), 1, "{name}");
        }
    }

    #[test]
    fn what_asks_envoy_for_something_is_removed_and_what_it_says_itself_stays() {
        let removed = |name: &[u8]| {
            let mut edits = Edits::default();
            edits.strip_overrides(&[(name, b"x")]);
            edits.removed().count() == 1
        };
        for name in [
            "x-envoy-retry-on",
            "X-Envoy-Retry-Grpc-On",
            "x_envoy_max_retries",
            "x-envoy-hedge-on-per-try-timeout",
            "x-envoy-upstream-rq-timeout-ms",
            "x-envoy-upstream-rq-per-try-timeout-ms",
            "x-envoy-expected-rq-timeout-ms",
            "x-envoy-upstream-alt-stat-name",
            "x-envoy-decorator-operation",
            "x-envoy-force-trace",
            "x-envoy-internal",
            "x-envoy-ip-tags",
            "x-envoy-downstream-service-cluster",
            "x-envoy-original-dst-host",
            "x-envoy-fault-delay-request",
            "x-envoy-what-the-next-version-brings",
            "x-envoy-",
        ] {
            assert!(removed(name.as_bytes()), "{name}");
        }
        for name in ["x-envoy-external-address", "x-envoy-peer-metadata", "X-Envoy-Peer-Metadata-Id", "x-envoy", "x-request-id"] {
            assert!(!removed(name.as_bytes()), "{name}");
        }
    }
}
