//! In which form a caller speaks of a method of a service: gRPC, gRPC-Web or Connect, by the head alone. A head has one reading, or it
//! is none of them.
//!
//! - gRPC (grpc/grpc, `doc/PROTOCOL-HTTP2.md`, "Requests"): POST, `"application/grpc" [("+proto" / "+json" / {custom})]`.
//! - gRPC-Web (grpc/grpc, `doc/PROTOCOL-WEB.md`, "Protocol differences"): `application/grpc-web`, "e.g. application/grpc-web+[proto,
//!   json, thrift]", and `application/grpc-web-text`, "text-encoded streams of application/grpc-web". Of the formats those of Protocol
//!   Buffers are taken. POST: "Access-Control-Allow-Methods to allow POST and (preflight) OPTIONS only".
//! - Connect (connectrpc.com/docs/protocol): Unary-Request, `Method-Post Path Unary-Content-Type [Connect-Protocol-Version]`, of which
//!   "proxies may reject traffic without this header": `application/json` alone says nothing of Connect, so here it is asked for.
//!   Streaming-Request, `"application/connect+" ("proto" / "json")`. Unary-Get-Request, `Method-Get Path "?" Query-Get` with
//!   `Query-Get → [Connect-Version-Query] [Base64-Query] [Compression-Query] Encoding-Query Message-Query`: "servers must accept query
//!   parameters in any order and allow unknown query parameters", and again proxies may ask for the version, as is done here.

use crate::http::head::{Headers, single};

/// One of these forms; with the content type of an answer where that follows the request's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rpc {
    Grpc,
    GrpcWeb(&'static str),
    GrpcWebText(&'static str),
    ConnectUnary,
    ConnectStream(&'static str),
    /// The message is in the query.
    ConnectGet,
}

/// The forms that a command takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forms(u8);

impl Forms {
    pub(crate) const GRPC: Self = Self(1);
    pub(crate) const GRPC_WEB: Self = Self(1 << 1);
    pub(crate) const GRPC_WEB_TEXT: Self = Self(1 << 2);
    pub(crate) const CONNECT: Self = Self(1 << 3);
    pub(crate) const CONNECT_GET: Self = Self(1 << 4);

    pub(crate) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(crate) fn take(self, rpc: Rpc) -> bool {
        let asked = match rpc {
            Rpc::Grpc => Self::GRPC,
            Rpc::GrpcWeb(_) => Self::GRPC_WEB,
            Rpc::GrpcWebText(_) => Self::GRPC_WEB_TEXT,
            Rpc::ConnectUnary | Rpc::ConnectStream(_) => Self::CONNECT,
            Rpc::ConnectGet => Self::CONNECT_GET,
        };
        self.0 & asked.0 != 0
    }
}

/// Content types but that of gRPC, which takes any format and parameters.
const KINDS: [(&str, Rpc); 9] = [
    ("application/grpc-web", Rpc::GrpcWeb("application/grpc-web")),
    ("application/grpc-web+proto", Rpc::GrpcWeb("application/grpc-web+proto")),
    ("application/grpc-web+json", Rpc::GrpcWeb("application/grpc-web+json")),
    ("application/grpc-web-text", Rpc::GrpcWebText("application/grpc-web-text")),
    ("application/grpc-web-text+proto", Rpc::GrpcWebText("application/grpc-web-text+proto")),
    ("application/connect+proto", Rpc::ConnectStream("application/connect+proto")),
    ("application/connect+json", Rpc::ConnectStream("application/connect+json")),
    ("application/proto", Rpc::ConnectUnary),
    ("application/json", Rpc::ConnectUnary),
];

impl Rpc {
    /// The form of a request with this head; `None` when it is in none of them, or could be read in two ways.
    pub(crate) fn read(headers: &Headers<'_>) -> Option<Self> {
        let one = |name| single(headers, name).ok();
        let version = || one("connect-protocol-version");
        match (one(":method")??, one("content-type")?) {
            (b"POST", Some(kind)) => {
                let rpc = of_kind(kind)?;
                let is_said = match rpc {
                    Self::Grpc | Self::GrpcWeb(_) | Self::GrpcWebText(_) => true,
                    Self::ConnectUnary => version()? == Some(b"1"),
                    Self::ConnectStream(_) | Self::ConnectGet => version()?.is_none_or(|version| version == b"1"),
                };
                is_said.then_some(rpc)
            }
            // A GET has no content, and so no type of it: a server that went by that would read another form.
            (b"GET", None) if version()?.is_none_or(|version| version == b"1") => {
                has_message(one(":path")??).then_some(Self::ConnectGet)
            }
            _ => None,
        }
    }

    /// Its word in a policy.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::GrpcWeb(_) => "grpc_web",
            Self::GrpcWebText(_) => "grpc_web_text",
            Self::ConnectUnary | Self::ConnectStream(_) => "connect",
            Self::ConnectGet => "connect_get",
        }
    }

    /// The form in which an answer is understood. What is of the type of gRPC the proxy answers so by itself, whatever else it is.
    pub(crate) fn spoken(headers: &Headers<'_>) -> Option<Self> {
        let mut fields = headers.iter();
        let seems_grpc = fields.any(|(name, value)| name.eq_ignore_ascii_case(b"content-type") && is_grpc(value));
        if seems_grpc { Some(Self::Grpc) } else { Self::read(headers) }
    }
}

/// Is a body of this type base64 throughout, as that of gRPC-Web can be?
pub(crate) fn is_base64(content_type: &[u8]) -> bool {
    const NAME: &[u8] = b"application/grpc-web-text";
    content_type.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME))
}

fn of_kind(kind: &[u8]) -> Option<Rpc> {
    // Several in one field are two readings.
    if kind.contains(&b',') {
        return None;
    }
    if is_grpc(kind) {
        return Some(Rpc::Grpc);
    }
    let mut parts = kind.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let essence = parts.next()?;
    let (name, rpc) = KINDS.into_iter().find(|(name, _)| essence.eq_ignore_ascii_case(name.as_bytes()))?;
    // JSON is UTF-8, and may say so (RFC 8259 §8.1); nothing else has a parameter.
    let mut parameters = parts;
    let is_plain = parameters.all(|part| name.ends_with("json") && part.eq_ignore_ascii_case(b"charset=utf-8"));
    is_plain.then_some(rpc)
}

/// `application/grpc`, alone or with a message format (`+proto`) or parameters; gRPC-Web is another protocol.
fn is_grpc(content_type: &[u8]) -> bool {
    const NAME: &[u8] = b"application/grpc";
    match content_type.split_at_checked(NAME.len()) {
        Some((name, rest)) => name.eq_ignore_ascii_case(NAME) && matches!(rest.first(), None | Some(b'+' | b';')),
        None => false,
    }
}

/// Is the query a Query-Get of Connect, to every reader? Each of its parameters is there once, under its plain name: one that is
/// escaped, in another case or beyond a `;` would be another message to some.
pub(crate) fn has_message(path: &[u8]) -> bool {
    let mut halves = path.splitn(2, |byte| *byte == b'?');
    let Some(query) = halves.nth(1).filter(|query| !query.contains(&b';')) else { return false };
    let (mut version, mut encoding, mut message, mut base64, mut compression) = (0, 0, 0, 0, 0);
    for pair in query.split(|byte| *byte == b'&') {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        let (seen, is_good) = match name.to_ascii_lowercase().as_slice() {
            b"connect" => (&mut version, value == b"v1"),
            b"encoding" => (&mut encoding, matches!(value, b"proto" | b"json")),
            b"message" => (&mut message, true),
            b"base64" => (&mut base64, value == b"1"),
            b"compression" => (&mut compression, !value.is_empty() && value.iter().all(u8::is_ascii_alphanumeric)),
            _ if name.iter().any(|byte| matches!(byte, b'%' | b'+')) => return false,
            _ => continue,
        };
        *seen += 1;
        if !is_good || name.iter().any(u8::is_ascii_uppercase) {
            return false;
        }
    }
    (version, encoding, message) == (1, 1, 1) && base64 <= 1 && compression <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, path: &str, fields: &[(&str, &str)]) -> Option<Rpc> {
        let head = [(":method", method), (":path", path)];
        let fields: Vec<(&[u8], &[u8])> =
            head.iter().chain(fields).map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        Rpc::read(&fields)
    }

    #[test]
    fn each_content_type_is_one_form() {
        let post =
            |kind: &str, version: &str| read("POST", "/s.S/M", &[("content-type", kind), ("connect-protocol-version", version)]);
        assert_eq!(post("application/grpc+thrift", "1"), Some(Rpc::Grpc));
        for (kind, rpc) in KINDS {
            assert_eq!(post(kind, "1"), Some(rpc), "{kind}");
            assert_eq!(post(&kind.to_uppercase(), "1"), Some(rpc), "types have no case (RFC 9110 §8.3.1)");
            let alone = read("POST", "/s.S/M", &[("Content-Type", kind)]);
            assert_eq!(alone.is_none(), rpc == Rpc::ConnectUnary, "{kind}: what is no more than JSON is not Connect");
            let of_connect = matches!(rpc, Rpc::ConnectUnary | Rpc::ConnectStream(_));
            assert_eq!(post(kind, "2").is_none(), of_connect, "{kind}");
            assert_eq!(post(&format!("{kind}; charset=UTF-8"), "1").is_some(), kind.ends_with("json"), "{kind}");
            assert_eq!(post(&format!("{kind}; charset=latin1"), "1"), None, "{kind}");
            assert_eq!(post(&format!("{kind}, {kind}"), "1"), None, "{kind}");
            for method in ["GET", "HEAD", "PUT", "OPTIONS"] {
                assert_eq!(
                    read(method, "/s.S/M?connect=v1&encoding=json&message=", &[("content-type", kind)]),
                    None,
                    "{method} {kind}"
                );
            }
            let twice = [("content-type", kind), ("content-type", kind), ("connect-protocol-version", "1")];
            assert_eq!(read("POST", "/s.S/M", &twice), None, "{kind}");
            let said_twice = [("content-type", kind), ("connect-protocol-version", "1"), ("connect-protocol-version", "1")];
            assert_eq!(read("POST", "/s.S/M", &said_twice).is_none(), of_connect, "{kind}");
        }
        for kind in [
            "application/grpc-web+thrift",
            "application/grpc-webx",
            "application/grpc-web-text-base64",
            "application/connect",
            "application/connect+xml",
            "application/grpc,application/json",
            "application/grpc+proto, application/json",
            "text/json",
            "",
        ] {
            assert_eq!(post(kind, "1"), None, "{kind}");
        }
    }

    #[test]
    fn a_get_has_one_message_to_every_reader() {
        let get = |query: &str| read("GET", &format!("/s.S/M{query}"), &[]);
        for query in [
            "?connect=v1&encoding=json&message=%7B%7D",
            "?message=&encoding=proto&connect=v1",
            "?connect=v1&base64=1&compression=gzip&encoding=proto&message=AAAA",
            "?page=1&connect=v1&encoding=json&message={}&x",
            "?connect=v1&encoding=json&message=a=b?c",
        ] {
            assert_eq!(get(query), Some(Rpc::ConnectGet), "{query}");
            assert_eq!(read("HEAD", &format!("/s.S/M{query}"), &[]), None, "HEAD is another request");
            assert_eq!(read("POST", &format!("/s.S/M{query}"), &[]), None, "{query}");
            assert_eq!(read("GET", &format!("/s.S/M{query}"), &[("connect-protocol-version", "2")]), None, "{query}");
            assert_eq!(read("GET", &format!("/s.S/M{query}"), &[("connect-protocol-version", "1")]), Some(Rpc::ConnectGet));
        }
        for query in [
            "",
            "?",
            "?encoding=json&message={}",
            "?connect=v2&encoding=json&message={}",
            "?connect=v1&message={}",
            "?connect=v1&encoding=json",
            "?connect=v1&encoding=xml&message={}",
            "?connect=v1&encoding=json&message={}&message={}",
            "?connect=v1&encoding=json&encoding=proto&message={}",
            "?connect=v1&connect=v1&encoding=json&message={}",
            "?connect=v1&encoding=json&message={}&base64=0",
            "?connect=v1&encoding=json&message={}&base64=1&base64=1",
            "?connect=v1&encoding=json&message={}&compression=gzip&compression=br",
            "?connect=v1&encoding=json&message={}&compression=%67zip",
            "?connect=v1&encoding=json&message={}&%6dessage={}",
            "?connect=v1&encoding=json&message={}&Message={}",
            "?connect=v1&encoding=json&Message={}",
            "?connect=v1&encoding=json&message={};message={}",
        ] {
            assert_eq!(get(query), None, "{query}");
        }
    }

    #[test]
    fn a_command_takes_the_forms_that_it_names() {
        let all = [Forms::GRPC, Forms::GRPC_WEB, Forms::GRPC_WEB_TEXT, Forms::CONNECT, Forms::CONNECT_GET];
        let mut rpcs: Vec<Rpc> = KINDS.iter().map(|(_, rpc)| *rpc).chain([Rpc::Grpc, Rpc::ConnectGet]).collect();
        rpcs.dedup();
        for rpc in rpcs {
            assert_eq!(all.iter().filter(|forms| forms.take(rpc)).count(), 1, "{rpc:?}");
            assert!(!Forms::default().take(rpc));
        }
    }

    #[test]
    fn an_answer_is_in_the_form_that_was_spoken() {
        let spoken = |method: &'static str, kinds: &[&'static str]| {
            let mut fields: Vec<(&[u8], &[u8])> = vec![(b":method", method.as_bytes())];
            fields.extend(kinds.iter().map(|kind| (b"content-type".as_slice(), kind.as_bytes())));
            Rpc::spoken(&fields)
        };
        assert_eq!(spoken("PUT", &["application/grpc"]), Some(Rpc::Grpc));
        assert_eq!(spoken("POST", &["text/plain", "application/grpc"]), Some(Rpc::Grpc));
        assert_eq!(spoken("POST", &["application/grpc-web"]), Some(Rpc::GrpcWeb("application/grpc-web")));
        assert_eq!(spoken("POST", &["application/json"]), None);
    }
}
