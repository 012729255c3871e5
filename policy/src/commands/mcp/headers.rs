//! The headers that say again what is in the body (2026-07-28, *Request Metadata*), and whether they do.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::commands::mcp::error::Fault;
use crate::commands::mcp::handle::HandleKind;
use crate::commands::mcp::message::{Message, Wanted};
use crate::commands::mcp::version::Version;
use crate::http::head::{Headers, values};

const VERSION: &str = "mcp-protocol-version";
const METHOD: &str = "mcp-method";
pub(super) const NAME: &str = "mcp-name";

/// Longest version that is told back as not supported, in bytes: a date, and what drafts put around it.
const VERSION_BYTES: usize = 32;

/// What the headers say. `Mcp-Param-*` is not among them: which argument such a header repeats is known to who has the tool's
/// schema, so that the specification has intermediaries pass it on and the server compare it.
pub(super) struct Declared<'h> {
    pub(super) version: Option<Version>,
    method: Option<&'h [u8]>,
    name: Option<&'h [u8]>,
}

impl<'h> Declared<'h> {
    pub(super) fn read(headers: &'h Headers<'_>) -> Result<Self, Fault> {
        let version = single(headers, VERSION, "MCP-Protocol-Version is there twice")?;
        let version = version.map(read_version).transpose()?;
        let method = single(headers, METHOD, "Mcp-Method is there twice")?;
        let name = single(headers, NAME, "Mcp-Name is there twice")?;
        Ok(Self { version, method, name })
    }

    pub(super) fn is_modern(&self) -> bool {
        self.version.is_some_and(Version::is_modern)
    }

    pub(super) fn has_name(&self) -> bool {
        self.name.is_some()
    }

    /// Do they say nothing of a single message? A batch has none that they could repeat.
    pub(super) fn suits_batch(&self) -> Result<(), Fault> {
        if self.method.is_some() || self.name.is_some() {
            return Err(Fault::HeaderMismatch("a batch has no single method and name"));
        }
        Ok(())
    }

    /// Is the version that a message's own `_meta` says that of the header?
    pub(super) fn suits_version(&self, said: Option<&str>, request: bool) -> Result<(), Fault> {
        match (said, self.version) {
            (None, _) if self.is_modern() && request => Err(Fault::HeaderMismatch("_meta has no protocol version")),
            (None, _) => Ok(()),
            (Some(_), None) => Err(Fault::HeaderMismatch("MCP-Protocol-Version is missing")),
            (Some(said), Some(declared)) if said == declared.as_str() => Ok(()),
            (Some(_), Some(_)) => Err(Fault::HeaderMismatch("MCP-Protocol-Version is not that of _meta")),
        }
    }

    /// Do they say what the message says? Before 2026-07-28 they need not be there, and where they are, they are held to the same.
    pub(super) fn suits(&self, message: &Message) -> Result<(), Fault> {
        let modern_request = self.is_modern() && message.id.is_some();
        match (self.method, &message.method) {
            (None, _) if modern_request => return Err(Fault::HeaderMismatch("Mcp-Method is missing")),
            (None, _) => {}
            (Some(declared), Some(method)) if declared == method.as_bytes() => {}
            (Some(_), _) => return Err(Fault::HeaderMismatch("Mcp-Method is not the method")),
        }
        match (self.name, name_of(message)) {
            (None, Some(Named { required: true, .. })) if modern_request => Err(Fault::HeaderMismatch("Mcp-Name is missing")),
            (None, _) => Ok(()),
            (Some(declared), Some(Named { text, .. })) if is_value(declared, text) => Ok(()),
            (Some(_), _) => Err(Fault::HeaderMismatch("Mcp-Name is not the name")),
        }
    }
}

struct Named<'m> {
    text: &'m str,
    /// SEP-2663 has clients of the task extension set it, too, for routing; what is judged does not need it there.
    required: bool,
}

/// What `Mcp-Name` repeats.
fn name_of(message: &Message) -> Option<Named<'_>> {
    match message.wants.first()? {
        Wanted::Tool { name, .. } | Wanted::Prompt { name, .. } => Some(Named { text: name, required: true }),
        Wanted::Resource { uri } => Some(Named { text: uri, required: message.method.as_deref() == Some("resources/read") }),
        Wanted::Method(method) if method.starts_with("tasks/") => {
            let task = message.handles.iter().find(|handle| handle.kind == HandleKind::Task)?;
            Some(Named { text: &task.text, required: false })
        }
        Wanted::Method(_) | Wanted::Answer => None,
    }
}

fn single<'h>(headers: &'h Headers<'_>, name: &'static str, twice: &'static str) -> Result<Option<&'h [u8]>, Fault> {
    let mut found = values(headers, name);
    match (found.next(), found.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Fault::HeaderMismatch(twice)),
    }
}

fn read_version(value: &[u8]) -> Result<Version, Fault> {
    let text = std::str::from_utf8(value).ok().filter(|text| is_version(text));
    let text = text.ok_or(Fault::HeaderMismatch("MCP-Protocol-Version is no version"))?;
    text.parse().map_err(|_| Fault::UnsupportedVersion { requested: text.to_owned() })
}

/// Could it be a version at all?
pub(super) fn is_version(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    (1..=VERSION_BYTES).contains(&text.len()) && text.bytes().all(good)
}

const BEGINS: &[u8] = b"=?base64?";
const ENDS: &[u8] = b"?=";

/// Does a header's value stand for this text (2026-07-28, *Value Encoding*)?
fn is_value(value: &[u8], text: &str) -> bool {
    match value.strip_prefix(BEGINS).and_then(|rest| rest.strip_suffix(ENDS)) {
        Some(coded) => STANDARD.decode(coded).is_ok_and(|plain| plain == text.as_bytes()),
        None => value == text.as_bytes() && is_plain(text),
    }
}

/// May a header have it as it is?
fn is_plain(text: &str) -> bool {
    let visible = text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    visible && text.trim_matches([' ', '\t']) == text
}

/// A text as the value of `Mcp-Name`.
pub(crate) fn encode_value(text: &str) -> String {
    if is_plain(text) && !(text.as_bytes().starts_with(BEGINS) && text.as_bytes().ends_with(ENDS)) {
        return text.to_owned();
    }
    format!("=?base64?{}?=", STANDARD.encode(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of *Value Encoding*.
    const ENCODED: [(&str, &str); 5] = [
        ("us-west1", "us-west1"),
        ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
    ];

    #[test]
    fn values_are_encoded_as_the_specification_does() {
        for (text, value) in ENCODED {
            assert_eq!(encode_value(text), value);
            assert!(is_value(value.as_bytes(), text), "{text}");
        }
        assert!(is_value(b"=?base64?dXMtd2VzdDE=?=", "us-west1"), "what need not be encoded may be");
        assert!(is_value(b"file:///a,b", "file:///a,b"));
        assert!(is_value(b"", "") && encode_value("").is_empty());
    }

    #[test]
    fn a_value_that_is_not_the_text_in_one_of_the_two_ways_is_another() {
        for (text, value) in [
            ("us-west1", "US-west1"),
            ("us-west1", "us-west1, us-west1"),
            ("us-west1", " us-west1"),
            (" padded ", " padded "),
            ("世界", "世界"),
            ("=?base64?literal?=", "=?base64?literal?="),
            ("us-west1", "=?base64?dXMtd2VzdDE?="),
            ("us-west1", "=?base64?dXMtd2VzdDF=?="),
            ("us-west1", "=?BASE64?dXMtd2VzdDE=?="),
            ("us-west1", "=?base64?dXMtd2VzdDE=?= "),
            ("us-west1", "=?base64?dXMtd2Vz dDE=?="),
            ("a?", "=?base64?YT8?="),
            ("a>", "=?base64?YT4-?="),
        ] {
            assert!(!is_value(value.as_bytes(), text), "{text} {value}");
        }
        assert!(is_value(b"=?base64?literal", "=?base64?literal"), "without its end it is no marker");
    }
}
