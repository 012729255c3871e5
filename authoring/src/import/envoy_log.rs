//! A line of Envoy's access log: its default text, Istio's, or JSON with the usual names.

use super::{Drawn, Entry, LeftOut, Note, address, said};
use crate::recorded::BadLine;
use jiff::Timestamp;
use serde_json::{Map, Value};

const EXPECTED: &str = r#"Envoy's or Istio's default format ([TIME] "METHOD PATH PROTOCOL" …), or one JSON object a line with `method`, `path`, `authority` and `start_time`"#;

/// Reads one entry.
///
/// # Errors
/// When it is in none of the formats, or could be read in two ways.
pub fn envoy_log(entry: &[u8]) -> Result<Entry, BadLine> {
    let text = std::str::from_utf8(entry).map_err(|error| BadLine::not_utf8(error, None))?;
    match text.trim_start().bytes().next() {
        Some(b'{') => json(text),
        Some(b'[') => plain(text.trim_start()),
        Some(_) | None => Err(wrong(0, "is no line of Envoy's access log")),
    }
}

fn wrong(offset: usize, message: &str) -> BadLine {
    BadLine { offset, message: message.to_owned(), help: Some(EXPECTED.to_owned()) }
}

/// A part of a text line, without its quotes or brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word<'l> {
    Bracketed(&'l str),
    Quoted(&'l str),
    Bare(&'l str),
}

/// Splits a line. Envoy escapes nothing: a quote within a quoted text looks like its end where a blank follows, so that the line
/// has more words than its format.
fn words(mut rest: &str) -> Option<Vec<Word<'_>>> {
    let mut words = Vec::with_capacity(24);
    while !rest.is_empty() {
        let (word, after) = if let Some(inner) = rest.strip_prefix('[') {
            let (inner, after) = inner.split_once(']')?;
            (Word::Bracketed(inner), after)
        } else if let Some(inner) = rest.strip_prefix('"') {
            match inner.split_once("\" ") {
                Some((inner, after)) => (Word::Quoted(inner), after),
                None => (Word::Quoted(inner.strip_suffix('"')?), ""),
            }
        } else {
            let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
            (Word::Bare(word), after)
        };
        words.push(word);
        rest = after.strip_prefix(' ').unwrap_or(after);
    }
    Some(words)
}

/// Envoy's default format (since 1.0) has 13 words, Istio's (since 1.6) 22, of which both tell request, host and time.
fn plain(line: &str) -> Result<Entry, BadLine> {
    use Word::{Bare, Bracketed, Quoted};
    let words = words(line).ok_or_else(|| wrong(0, "is no line of Envoy's access log"))?;
    let (time, request, authority, source) = match *words.as_slice() {
        [
            Bracketed(time),
            Quoted(request),
            Bare(_),
            Bare(_),
            Bare(_),
            Bare(_),
            Bare(_),
            Bare(_),
            Quoted(_),
            Quoted(_),
            Quoted(_),
            Quoted(authority),
            Quoted(_),
        ] => (time, request, authority, None),
        [
            Bracketed(time),
            Quoted(request),
            Bare(_),
            Bare(_),
            Bare(_),
            Bare(_),
            Quoted(_),
            Bare(_),
            Bare(_),
            Bare(_),
            Bare(_),
            Quoted(_),
            Quoted(_),
            Quoted(_),
            Quoted(authority),
            Quoted(_),
            Bare(_),
            Bare(_),
            Bare(_),
            Bare(remote),
            Bare(_),
            Bare(_),
        ] => (time, request, authority, address(remote)),
        [Bracketed(_), Quoted(_), ..] => {
            let found = format!("has {} words, where Envoy's default format has 13 and Istio's 22", words.len());
            return Err(wrong(0, &found));
        }
        _ => return Err(wrong(0, "is no line of Envoy's access log")),
    };
    let (method, rest) = request.split_once(' ').ok_or_else(|| wrong(0, "names no request"))?;
    let (path, _protocol) = rest.rsplit_once(' ').ok_or_else(|| wrong(0, "names no request"))?;
    Ok(drawn(said(method), said(path), said(authority), said(time), source))
}

fn json(text: &str) -> Result<Entry, BadLine> {
    let members: Map<String, Value> = serde_json::from_str(text).map_err(|error| {
        let message = if error.is_eof() { "the line ends in the middle" } else { "is no JSON object" };
        wrong(error.column().saturating_sub(1).min(text.len()), message)
    })?;
    // Istio's names, and what Envoy Gateway and Contour call the same.
    let first = |names: &[&str]| names.iter().find_map(|name| members.get(*name));
    let text_of = |names: &[&str]| first(names).and_then(Value::as_str).and_then(said);
    let path = ["path", "x-envoy-origin-path", "x-envoy-original-path", "x_envoy_original_path", ":path"];
    let (method, authority) = (["method", ":method", "request_method"], ["authority", ":authority", "host"]);
    if first(&method).is_none() || first(&path).is_none() || first(&authority).is_none() {
        if members.contains_key("session_audit") {
            let help = "read the filter's records in it: policy-host import records FILE";
            let message = "has no `method`, `path` and `authority`, and a record of the filter".to_owned();
            return Err(BadLine { offset: 0, message, help: Some(help.to_owned()) });
        }
        return Err(wrong(0, "has no `method`, `path` and `authority`"));
    }
    let time = text_of(&["start_time", "@timestamp", "timestamp", "time"]);
    let source = text_of(&["downstream_remote_address"]).and_then(address);
    Ok(drawn(text_of(&method), text_of(&path), text_of(&authority), time, source))
}

fn drawn(method: Option<&str>, path: Option<&str>, authority: Option<&str>, time: Option<&str>, source: Option<String>) -> Entry {
    let (Some(method), Some(path), Some(authority)) = (method, path, authority) else {
        return Entry::LeftOut(LeftOut::NoRequest);
    };
    let mut drawn = Drawn::new(method.to_owned(), path, authority.to_owned());
    drawn.at = time.and_then(|time| time.parse::<Timestamp>().ok());
    if drawn.at.is_none() {
        drawn.notes.push(Note::NoTime);
    }
    drawn.source_address = source;
    Entry::Request(Box::new(drawn))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_or_password_of_a_log_is_in_what_comes_out() {
        let secret = "sekret";
        for (path, authority, left) in [
            (format!("/cb#access_token={secret}"), "a.example".to_owned(), "/cb# a.example"),
            (format!("/x?token={secret}#{secret}"), format!("user:{secret}@a.example"), "/x -@a.example"),
            (format!("http://u:{secret}@a.example:80/x?{secret}"), "a.example".to_owned(), "http://-@a.example:80/x a.example"),
        ] {
            let line = serde_json::json!({"method": "GET", "path": path, "authority": authority, "authorization": secret});
            let drawn = request(&line.to_string());
            assert_eq!(format!("{} {}", drawn.path, drawn.authority), left);
            assert!(drawn.notes.contains(&Note::Secret) && !serde_json::to_string(&drawn).unwrap().contains(secret));
        }
        assert_eq!(request(ISTIO).notes, [Note::Query]);
    }

    const ISTIO: &str = r#"[2026-11-23T10:00:00.123Z] "GET /v1/orders?token=x HTTP/1.1" 200 - via_upstream - "-" 0 178 1 1 "-" "curl/8.5.0" "5a9e3b7e-0000-4000-8000-000000000000" "orders.example" "10.0.0.7:8080" inbound|8080|| 127.0.0.6:40000 10.0.0.7:8080 10.0.0.9:50000 - default"#;
    const ENVOY: &str = r#"[2016-04-15T20:17:00.310Z] "POST /api/v1/locations HTTP/2" 204 - 154 0 226 100 "10.0.35.28" "nsq2http" "cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2" "locations" "tcp://10.0.2.1:80""#;

    fn request(line: &str) -> Drawn {
        match envoy_log(line.as_bytes()).unwrap() {
            Entry::Request(drawn) => *drawn,
            Entry::LeftOut(why) => panic!("{why}"),
        }
    }

    fn message(line: &str) -> String {
        envoy_log(line.as_bytes()).unwrap_err().message
    }

    #[test]
    fn the_default_formats_are_read() {
        let istio = request(ISTIO);
        assert_eq!(
            (istio.method.as_str(), istio.path.as_str(), istio.authority.as_str()),
            ("GET", "/v1/orders", "orders.example")
        );
        assert_eq!(istio.source_address.as_deref(), Some("10.0.0.9:50000"));
        assert_eq!(istio.at.unwrap().to_string(), "2026-11-23T10:00:00.123Z");
        assert_eq!(istio.notes, [Note::Query]);
        let envoy = request(ENVOY);
        assert_eq!(
            (envoy.method.as_str(), envoy.path.as_str(), envoy.authority.as_str()),
            ("POST", "/api/v1/locations", "locations")
        );
        assert_eq!(envoy.source_address, None, "x-forwarded-for is what a client says");
    }

    #[test]
    fn json_is_read_by_the_names_of_istio_and_envoy_gateway() {
        let istio = request(
            r#"{"start_time":"2026-11-23T10:00:00.123Z","method":"GET","path":"/v1/orders","authority":"orders.example","response_code":200,"x_forwarded_for":null}"#,
        );
        assert_eq!((istio.path.as_str(), istio.at.is_some()), ("/v1/orders", true));
        let gateway = request(
            r#"{"start_time":"today","method":"GET","x-envoy-origin-path":"/a","protocol":"HTTP/2",":authority":"a.example"}"#,
        );
        assert_eq!((gateway.path.as_str(), gateway.authority.as_str()), ("/a", "a.example"));
        assert_eq!(gateway.notes, [Note::NoTime]);
    }

    #[test]
    fn a_connection_without_a_request_is_left_out() {
        let none = ISTIO.replace("GET /v1/orders?token=x HTTP/1.1", "- - -").replace("\"orders.example\"", "\"-\"");
        assert_eq!(envoy_log(none.as_bytes()).unwrap(), Entry::LeftOut(LeftOut::NoRequest));
        let json = br#"{"method":null,"path":null,"authority":null,"start_time":"2026-11-23T10:00:00Z"}"#;
        assert_eq!(envoy_log(json).unwrap(), Entry::LeftOut(LeftOut::NoRequest));
    }

    /// Envoy writes a client's quotes as they came: what could be read in two ways is not read.
    #[test]
    fn a_client_cannot_write_another_host_into_a_line() {
        for line in [ISTIO, ENVOY] {
            for agent in [r#"x" "id" "evil.example" "10.0.0.1:80"#, r#"x" y"#] {
                let forged = line.replace("curl/8.5.0", agent).replace("nsq2http", agent);
                assert!(message(&forged).contains("words"), "{forged}");
            }
        }
    }

    #[test]
    fn other_lines_say_what_was_expected() {
        let nginx = r#"10.0.0.9 - - [23/Nov/2026:10:00:00 +0000] "GET /v1/orders HTTP/1.1" 200 178 "-" "curl/8.5.0""#;
        let bad = envoy_log(nginx.as_bytes()).unwrap_err();
        assert_eq!(bad.message, "is no line of Envoy's access log");
        assert!(bad.help.unwrap().contains("METHOD PATH PROTOCOL"));
        assert!(message(r#"{"session_audit":[]}"#).contains("record of the filter"));
        assert!(message(r#"{"a":1}"#).contains("`authority`"));
        assert!(message("[2026").contains("no line"));
        assert!(message(r#"{"method":"GET""#).contains("ends in the middle"));
    }
}
