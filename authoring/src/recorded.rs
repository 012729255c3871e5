//! A recorded request: one line of `replay`'s input.

use crate::{
    cases::{Exchange, Reply},
    request::{Headers, LOCAL, Request, parse_address},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use chaperone_policy::nearest_name;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{error::Category, value::RawValue};
use std::{fmt, str::Utf8Error};

/// A recorded request.
#[derive(Debug, Clone)]
pub struct Line {
    /// The request, without a token of this run; in which pieces its body came; and what the target answered, where that is known.
    pub exchange: Exchange,
    /// Claims to be signed and sent with it: the JSON text as it was given.
    pub claims: Option<Vec<u8>>,
    /// When it was sent.
    pub at: Option<Timestamp>,
}

/// Why a line is no recorded request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Bytes from the beginning of the line.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl BadLine {
    /// Says of a line that its bytes are no text.
    #[must_use]
    pub fn not_utf8(error: Utf8Error, help: Option<&str>) -> Self {
        let message = "is not UTF-8 from here on".to_owned();
        Self { offset: error.valid_up_to(), message, help: help.map(str::to_owned) }
    }
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BadLine {}

/// The contract's members, for "did you mean".
const MEMBERS: [&str; 15] = [
    "method",
    "path",
    "authority",
    "scheme",
    "headers",
    "claims",
    "body",
    "body_base64",
    "chunks",
    "trailers",
    "reply",
    "at",
    "source_address",
    "client_certificate_sha256",
    "peer_uri_san",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "one JSON object")]
struct Raw<'l> {
    method: String,
    path: String,
    authority: String,
    scheme: Option<String>,
    headers: Vec<(String, String)>,
    #[serde(borrow)]
    claims: Option<&'l RawValue>,
    body: Option<String>,
    body_base64: Option<String>,
    chunks: Option<Vec<String>>,
    #[serde(borrow)]
    reply: Option<&'l RawValue>,
    trailers: Option<Vec<(String, String)>>,
    at: Option<String>,
    source_address: Option<String>,
    client_certificate_sha256: Option<String>,
    peer_uri_san: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "one JSON object")]
struct RawReply {
    status: Option<u16>,
    headers: Option<Vec<(String, String)>>,
    body: Option<String>,
    body_base64: Option<String>,
    chunks: Option<Vec<String>>,
    trailers: Option<Vec<(String, String)>>,
}

/// Its members, for "did you mean".
const OF_REPLY: [&str; 6] = ["status", "headers", "body", "body_base64", "chunks", "trailers"];

/// Only the issuer: whatever else is wrong with the claims is for the filter to judge.
#[derive(Deserialize)]
struct Issuer {
    iss: Option<serde_json::Value>,
}

impl Line {
    /// Reads one line.
    ///
    /// # Errors
    /// When it is not one JSON object with the contract's members and types.
    pub fn parse(text: &str) -> Result<Self, BadLine> {
        let raw: Raw<'_> = serde_json::from_str(text).map_err(|error| bad(&error, text, &MEMBERS))?;
        // It is a part of the line itself.
        let place_of_reply = raw.reply.map(|reply| {
            let at = reply.get().as_ptr().addr() - text.as_ptr().addr();
            at..at + reply.get().len()
        });
        let in_reply = |at: &usize| place_of_reply.as_ref().is_some_and(|place| place.contains(at));
        let wrong = |member: &str, message: &str, help: &str| BadLine {
            offset: text.match_indices(&format!("\"{member}\"")).map(|(at, _)| at).find(|at| !in_reply(at)).unwrap_or(0),
            message: format!("`{member}` {message}"),
            help: Some(help.to_owned()),
        };
        let pieces = pieces(raw.body, raw.body_base64, raw.chunks);
        let pieces = pieces.map_err(|(member, message, help)| wrong(member, message, help))?;
        let lengths: Vec<usize> = if pieces.len() > 1 { pieces.iter().map(Vec::len).collect() } else { Vec::new() };
        let body = pieces.concat();
        let reply = raw.reply.map(|reply| {
            let read = RawReply::read(reply.get());
            // Its place in the line.
            let at = place_of_reply.as_ref().map_or(0, |place| place.start);
            read.map_err(|bad| BadLine { offset: at + bad.offset, message: format!("`reply`: {}", bad.message), ..bad })
        });
        let reply = reply.transpose()?;
        let at = raw.at.map(|at| at.parse::<Timestamp>()).transpose();
        let at = at.map_err(|_| wrong("at", "is no instant", "RFC 3339: 2026-11-23T10:00:00Z"))?;
        let source_address = match raw.source_address.as_deref() {
            None => Some(LOCAL),
            Some(text) => Some(
                parse_address(text)
                    .ok_or_else(|| wrong("source_address", "is no IP address", "with or without a port: 192.0.2.7:49152"))?,
            ),
        };
        if raw.claims.is_some_and(|claims| !claims.get().starts_with('{')) {
            return Err(wrong("claims", "is not an object", "the claims of the session's token"));
        }
        Ok(Self {
            exchange: Exchange {
                request: Box::new(Request {
                    method: raw.method.into(),
                    path: raw.path.into(),
                    authority: raw.authority.into(),
                    scheme: raw.scheme.map_or_else(|| b"https".to_vec(), String::into_bytes),
                    headers: bytes(raw.headers),
                    body,
                    trailers: bytes(raw.trailers.unwrap_or_default()),
                    source_address,
                    client_certificate_sha256: raw.client_certificate_sha256,
                    peer_uri_san: raw.peer_uri_san,
                }),
                chunks: lengths,
                reply,
            },
            claims: raw.claims.map(|claims| claims.get().as_bytes().to_vec()),
            at,
        })
    }
}

/// The pieces of a body, in whichever member it stands; or which one is wrong, what is wrong with it, and what to write.
fn pieces(
    body: Option<String>,
    coded: Option<String>,
    chunks: Option<Vec<String>>,
) -> Result<Vec<Vec<u8>>, (&'static str, &'static str, &'static str)> {
    let pieces = match (body, coded, chunks) {
        (Some(_), Some(_), _) => return Err(("body_base64", "stands beside `body`", "keep one of them")),
        (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => {
            return Err(("chunks", "stands beside another body", "keep one: `chunks` is a body in pieces"));
        }
        (Some(body), None, None) => vec![body.into_bytes()],
        (None, Some(coded), None) => {
            let decoded = STANDARD.decode(coded);
            vec![decoded.map_err(|_| ("body_base64", "is not base64", "base64 with padding (RFC 4648 §4)"))?]
        }
        (None, None, Some(chunks)) if chunks.iter().any(String::is_empty) => {
            return Err(("chunks", "has an empty piece", "leave it out: nothing arrives"));
        }
        (None, None, chunks) => chunks.unwrap_or_default().into_iter().map(String::into_bytes).collect(),
    };
    Ok(pieces.into_iter().filter(|piece| !piece.is_empty()).collect())
}

impl RawReply {
    /// `text`: the member as it stands in its line, from which places are counted.
    fn read(text: &str) -> Result<Reply, BadLine> {
        let wrong = |member: &str, message: &str, help: &str| BadLine {
            offset: text.find(&format!("\"{member}\"")).unwrap_or(0),
            message: format!("`{member}` {message}"),
            help: Some(help.to_owned()),
        };
        if !text.starts_with('{') {
            let help = r#"write {"status": 200, "headers": [["content-type", "application/json"]], "body": "{}"}"#;
            return Err(BadLine { offset: 0, message: "is not an object".to_owned(), help: Some(help.to_owned()) });
        }
        let Self { status, headers, body, body_base64, chunks, trailers } =
            serde_json::from_str(text).map_err(|error| bad(&error, text, &OF_REPLY))?;
        let chunks = pieces(body, body_base64, chunks);
        let chunks = chunks.map_err(|(member, message, help)| wrong(member, message, help))?;
        let status = status.unwrap_or(200);
        if !(200..=599).contains(&status) {
            return Err(wrong("status", "ends no request", "a status from 200 to 599"));
        }
        Ok(Reply { status, headers: bytes(headers.unwrap_or_default()), chunks, trailers: trailers.map(bytes) })
    }
}

/// The `iss` of claims, where it is a string and there once.
#[must_use]
pub fn issuer(claims: &[u8]) -> Option<String> {
    let issuer = serde_json::from_slice::<Issuer>(claims).ok()?;
    Some(issuer.iss?.as_str()?.to_owned())
}

fn bytes(headers: Vec<(String, String)>) -> Headers {
    headers.into_iter().map(|(name, value)| (name.into_bytes(), value.into_bytes())).collect()
}

/// serde_json's error in our words.
fn bad(error: &serde_json::Error, line: &str, members: &[&'static str]) -> BadLine {
    // One request may stand in several lines where it has a file of its own.
    let before: usize = line.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(&*text, |(before, _)| before);
    let unknown = text.strip_prefix("unknown field `").and_then(|rest| Some(rest.split_once('`')?.0));
    let missing = text.strip_prefix("missing field `").and_then(|rest| Some(rest.split_once('`')?.0));
    let (message, help) = match (error.classify(), unknown) {
        (Category::Data, None) if missing == Some("headers") => {
            (text.replace(" field `", " member `"), Some("`\"headers\": []` where there are none".to_owned()))
        }
        // The only objects in the contract's members are `claims` and `reply`, whose types serde does not look at.
        (Category::Data, None) if text.starts_with("invalid type: map, expected a sequence") => (
            "`headers` and `trailers` are lists of pairs and `chunks` is one of texts, not objects: a name may be there twice"
                .to_owned(),
            Some(r#"[["accept", "*/*"], ["x-a", "1"]]"#.to_owned()),
        ),
        (Category::Data, None) if text.ends_with("expected u16") => {
            ("`status` is no status".to_owned(), Some("a number from 200 to 599".to_owned()))
        }
        (Category::Data, Some(name)) => {
            let near = nearest_name(name, members.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            (format!("unknown member `{name}`"), near.or_else(|| Some(format!("one of: {}", members.join(", ")))))
        }
        (Category::Data, None) => (text.replace(" field `", " member `"), None),
        (Category::Eof, _) => ("the line ends in the middle".to_owned(), Some("one JSON object a line".to_owned())),
        (Category::Syntax | Category::Io, _) => (text.to_owned(), Some("one JSON object a line".to_owned())),
    };
    BadLine { offset: (before + error.column().saturating_sub(1)).min(line.len()), message, help }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contracts_members_are_read() {
        let line = Line::parse(
            r#"{"method":"POST","path":"/v1/orders","authority":"orders.example","scheme":"http","headers":[["X-A","1"],["x-a","2"]],
               "claims":{"iss":"https://broker.example","exp":1e400},"body_base64":"aGk=","trailers":[["x-sum","1"]],
               "at":"2026-11-23T10:00:00Z","source_address":"192.0.2.7","client_certificate_sha256":"ab","peer_uri_san":"spiffe://x"}"#,
        )
        .unwrap();
        assert_eq!(line.exchange.request.head()[3], (b":scheme".to_vec(), b"http".to_vec()));
        assert_eq!(line.exchange.request.head()[4], (b"x-a".to_vec(), b"1".to_vec()));
        assert_eq!(line.exchange.request.body, b"hi");
        assert_eq!(line.claims.as_deref(), Some(&br#"{"iss":"https://broker.example","exp":1e400}"#[..]), "byte by byte");
        assert_eq!(issuer(&line.claims.unwrap()).as_deref(), Some("https://broker.example"));
        assert_eq!(line.exchange.request.source_address.unwrap().to_string(), "192.0.2.7:0");
        assert_eq!(line.at.unwrap().as_second(), 1_795_428_000);
    }

    #[test]
    fn a_body_in_pieces_and_an_answer_are_read() {
        let line = Line::parse(
            r#"{"method":"POST","path":"/mcp","authority":"a","headers":[],"chunks":["ab","c"],
               "reply":{"headers":[["Content-Type","application/json"]],"chunks":["{","}"],"trailers":[["x-sum","1"]]}}"#,
        )
        .unwrap();
        let Exchange { request, chunks, reply } = line.exchange;
        assert_eq!((request.body.as_slice(), chunks.as_slice()), (&b"abc"[..], &[2, 1][..]));
        let reply = reply.unwrap();
        assert_eq!(
            (reply.status, reply.chunks.concat().as_slice(), reply.trailers.map(|fields| fields.len())),
            (200, &b"{}"[..], Some(1))
        );
    }

    #[test]
    fn a_broken_line_says_where_and_why() {
        let seen = |text: &str| {
            let bad = Line::parse(text).unwrap_err();
            format!("{}: {}", bad.offset, bad.message)
        };
        let base = r#"{"method":"GET","path":"/","authority":"a","headers":[]"#;
        assert_eq!(seen(base), "54: the line ends in the middle");
        assert!(seen(&format!("{base},\"hedaers\":[]}}")).contains("unknown member `hedaers`"));
        assert!(seen(&format!("{base},\"path\":\"/x\"}}")).contains("duplicate member `path`"));
        assert!(seen(r#"{"method":"GET","authority":"a","headers":[]}"#).contains("missing member `path`"));
        assert_eq!(seen(&format!("{base},\"at\":\"noon\"}}")), "56: `at` is no instant");
        assert_eq!(seen(&format!("{base},\"body\":\"\",\"body_base64\":\"\"}}")), "66: `body_base64` stands beside `body`");
        for (text, said) in [
            (r#""body":"a","chunks":["a"]"#, "67: `chunks` stands beside another body"),
            (r#""chunks":["a",""]"#, "56: `chunks` has an empty piece"),
            (r#""reply":{"chunks":["a"]},"chunks":["a",""]"#, "81: `chunks` has an empty piece"),
            (r#""reply":{"body":"a","chunks":["a"]}"#, "76: `reply`: `chunks` stands beside another body"),
            (r#""reply":{"status":100}"#, "65: `reply`: `status` ends no request"),
            (r#""reply":{"status":"200"}"#, "78: `reply`: `status` is no status"),
            (r#""reply":{"status":70000}"#, "78: `reply`: `status` is no status"),
            (r#""reply":{"body_base64":"?"}"#, "65: `reply`: `body_base64` is not base64"),
            (r#""reply":[200,[],"x",null,null]"#, "64: `reply`: is not an object"),
        ] {
            assert_eq!(seen(&format!("{base},{text}}}")), said);
        }
        let helped = |reply: &str| Line::parse(&format!("{base},\"reply\":{reply}}}")).unwrap_err().help.unwrap();
        assert_eq!(helped(r#"{"boddy":"a"}"#), "did you mean `body`?");
        assert_eq!(helped(r#"{"path":"a"}"#), "one of: status, headers, body, body_base64, chunks, trailers");
        assert_eq!(seen(&format!("{base},\"claims\":[]}}")), "56: `claims` is not an object");
        assert_eq!(seen(&format!("{base},\"source_address\":\"here\"}}")), "56: `source_address` is no IP address");
    }
}
