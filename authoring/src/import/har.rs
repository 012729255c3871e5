//! HAR 1.2, as browsers save it: the requests, without what is secret.

use super::{Drawn, Entry, LeftOut, Note};
use jiff::Timestamp;
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer as _, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Deserializer, Error};
use std::{fmt, io::Read};

/// Header fields that are kept: a decision may look at them, and none of them holds a secret. A list of those to leave out could
/// never be whole, for an API key may have any name.
const KEPT: [&str; 9] = [
    "accept",
    "access-control-request-headers",
    "access-control-request-method",
    "connection",
    "content-type",
    "origin",
    "te",
    "upgrade",
    "user-agent",
];

/// Fields without any part in a decision, whose absence is not worth a word.
const DULL: [&str; 12] = [
    "accept-encoding",
    "accept-language",
    "cache-control",
    "content-length",
    "dnt",
    "host",
    "if-modified-since",
    "if-none-match",
    "pragma",
    "priority",
    "referer",
    "upgrade-insecure-requests",
];

#[derive(Deserialize)]
struct HarEntry {
    #[serde(rename = "startedDateTime")]
    started: Option<String>,
    request: HarRequest,
}

#[derive(Deserialize)]
struct HarRequest {
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<Header>,
    #[serde(rename = "postData")]
    body: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: String,
}

impl HarEntry {
    fn request(self) -> Entry {
        let Self { started, request: HarRequest { method, url, headers, body } } = self;
        let Some((scheme, rest)) = url.split_once("://") else { return Entry::LeftOut(LeftOut::NotHttp) };
        // A WebSocket begins as a request of HTTP (RFC 6455 §4.1).
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" | "wss" => "https",
            "http" | "ws" => "http",
            _ => return Entry::LeftOut(LeftOut::NotHttp),
        };
        // A fragment is never sent (RFC 9110 §7.1).
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.find(['/', '?']).and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
        // Before `@` stand a name and a password.
        let authority = authority.rsplit('@').next().unwrap_or_default();
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        let mut drawn = Drawn::new(method, &target, authority.to_owned());
        drawn.scheme = Some(scheme.to_owned());
        drawn.at = started.and_then(|started| started.parse::<Timestamp>().ok());
        if drawn.at.is_none() {
            drawn.notes.push(Note::NoTime);
        }
        if body.is_some() {
            drawn.notes.push(Note::Body);
        }
        for Header { name, value } in headers {
            let lower = name.to_ascii_lowercase();
            if KEPT.contains(&lower.as_str()) {
                drawn.headers.push((lower, value));
            } else if !DULL.contains(&lower.as_str()) && !lower.starts_with(':') && !lower.starts_with("sec-") {
                drawn.notes.push(Note::Header(lower));
            }
        }
        Entry::Request(Box::new(drawn))
    }
}

/// Reads a HAR file and gives out each entry; of the file's text as much as one entry has is in memory at a time.
///
/// # Errors
/// When it is no JSON, or has no list `log.entries`, or an entry without a request; what stands before has been given out.
pub fn har(input: impl Read, mut take: impl FnMut(Entry)) -> Result<(), Error> {
    let mut reader = Deserializer::from_reader(input);
    let found = reader.deserialize_map(Within { path: &["log", "entries"], take: &mut take })?;
    reader.end()?;
    if found { Ok(()) } else { Err(Error::custom("no list `log.entries`, which a HAR 1.2 has")) }
}

/// The list at a path of names; the value says whether it was there.
struct Within<'f, F> {
    path: &'static [&'static str],
    take: &'f mut F,
}

impl<'de, F: FnMut(Entry)> DeserializeSeed<'de> for Within<'_, F> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        if self.path.is_empty() { deserializer.deserialize_seq(self) } else { deserializer.deserialize_map(self) }
    }
}

impl<'de, F: FnMut(Entry)> Visitor<'de> for Within<'_, F> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.path.is_empty() { "the list `log.entries` of a HAR 1.2" } else { "the object of a HAR 1.2" })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        let mut found = false;
        let (next, rest) = self.path.split_first().ok_or_else(|| A::Error::custom("a list is expected"))?;
        while let Some(name) = members.next_key::<String>()? {
            if name == *next {
                found |= members.next_value_seed(Within { path: rest, take: &mut *self.take })?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        if !self.path.is_empty() {
            return Err(A::Error::custom("an object is expected"));
        }
        while let Some(entry) = items.next_element::<HarEntry>()? {
            (self.take)(entry.request());
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(har_file: &Value) -> Result<Vec<Entry>, String> {
        let mut entries = Vec::new();
        har(har_file.to_string().as_bytes(), |entry| entries.push(entry)).map_err(|error| error.to_string())?;
        Ok(entries)
    }

    fn file(request: &Value) -> Value {
        json!({"log": {"version": "1.2", "pages": [], "entries": [
            {"startedDateTime": "2026-11-23T11:00:00.000+01:00", "request": request, "response": {"content": {"text": "{}"}}},
        ]}})
    }

    #[test]
    fn no_secret_of_a_har_is_in_what_comes_out() {
        let secret = "sekret";
        let headers =
            ["authorization", "Cookie", "x-api-key", "X-Amz-Security-Token", "dpop", "proxy-authorization", "x-a", "referer"];
        let mut list: Vec<Value> = headers.iter().map(|name| json!({"name": name, "value": secret})).collect();
        list.push(json!({"name": "Content-Type", "value": "application/json"}));
        list.push(json!({"name": ":path", "value": format!("/{secret}")}));
        let entries = read(&file(&json!({
            "method": "POST", "url": format!("https://user:{secret}@orders.example:8443/v1/orders?access_token={secret}#{secret}"),
            "headers": list, "cookies": [{"name": "c", "value": secret}], "queryString": [{"name": "q", "value": secret}],
            "postData": {"mimeType": "application/json", "text": secret},
        })))
        .unwrap();
        let Entry::Request(drawn) = &entries[0] else { panic!() };
        let line = serde_json::to_string(drawn).unwrap();
        assert!(!line.contains(secret), "{line}");
        assert_eq!(
            line,
            r#"{"method":"POST","path":"/v1/orders","authority":"orders.example:8443","scheme":"https","headers":[["content-type","application/json"]],"at":"2026-11-23T10:00:00Z"}"#
        );
        assert!(drawn.notes.contains(&Note::Header("x-api-key".to_owned())));
        assert!(drawn.notes.contains(&Note::Body) && drawn.notes.contains(&Note::Query));
    }

    #[test]
    fn urls_are_taken_apart_as_a_client_sends_them() {
        let of = |url: &str| match read(&file(&json!({"method": "GET", "url": url}))).unwrap().remove(0) {
            Entry::Request(drawn) => format!("{} {} {}", drawn.scheme.unwrap(), drawn.authority, drawn.path),
            Entry::LeftOut(why) => why.to_string(),
        };
        assert_eq!(of("https://a.example"), "https a.example /");
        assert_eq!(of("http://a.example?x=/y"), "http a.example /");
        assert_eq!(of("wss://a.example/feed"), "https a.example /feed");
        assert_eq!(of("data:text/plain,x"), LeftOut::NotHttp.to_string());
        assert_eq!(of("chrome-extension://abc/x.js"), LeftOut::NotHttp.to_string());
    }

    #[test]
    fn other_json_is_no_har() {
        assert!(read(&json!({"log": {}})).unwrap_err().contains("log.entries"));
        assert!(read(&json!({"log": {"entries": {}}})).unwrap_err().contains("log.entries"));
        assert!(read(&json!([])).unwrap_err().contains("HAR"));
        assert!(read(&json!({"log": {"entries": [{}]}})).unwrap_err().contains("missing field `request`"));
    }
}
