//! A file that was taken for another: what it is, and which way it can be used.

/// What a file is that is no list of recorded requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrongKind {
    /// Envoy's access log, as text or JSON.
    EnvoyLog,
    /// An access log with the filter's records, or such records alone.
    Records,
    /// A HAR file.
    Har,
    /// An OpenAPI document.
    OpenApi,
    /// Recorded requests in one JSON array.
    Array,
    /// Recorded requests over several lines each.
    Objects,
    /// The log of another server.
    OtherLog,
}

impl WrongKind {
    /// What it is.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::EnvoyLog => "this is an access log of Envoy, not recorded requests",
            Self::Records => "these are the filter's records, not recorded requests",
            Self::Har => "this is a HAR file, not recorded requests",
            Self::OpenApi => "this is an OpenAPI document, not recorded requests",
            Self::Array => "this is a JSON array, not one object a line",
            Self::Objects => "this is JSON over several lines, not one object a line",
            Self::OtherLog => "this is the log of another server than Envoy",
        }
    }

    /// What to do with it.
    #[must_use]
    pub fn help(self, file: &str) -> String {
        match self {
            Self::EnvoyLog => format!("policy-host import envoy-log {file} > requests.jsonl"),
            Self::Records => format!("policy-host import records --policy POLICY --authority HOST {file} > requests.jsonl"),
            Self::Har => format!("policy-host import har {file} > requests.jsonl"),
            Self::OpenApi => format!("policy-host import openapi {file} drafts a policy's `commands` from it"),
            Self::Array => format!("jq -c '.[]' {file} > requests.jsonl"),
            Self::Objects => format!("jq -c . {file} > requests.jsonl"),
            Self::OtherLog => {
                "write each request as a JSON object: {\"method\",\"path\",\"authority\",\"headers\"}; policy-host import reads Envoy's \
                 logs, the filter's records and HAR"
                    .to_owned()
            }
        }
    }
}

/// Tells a file of another kind by its first line that is not blank and what follows; `None` when it may be recorded requests.
#[must_use]
pub fn recognise(line: &[u8], following: &[u8]) -> Option<WrongKind> {
    let line = String::from_utf8_lossy(line.trim_ascii());
    if line.starts_with('[') {
        let inner = line.trim_start_matches(['[', ' ', '\t']);
        return if inner.is_empty() || inner.starts_with('{') {
            let start = format!("{inner}{}", String::from_utf8_lossy(following));
            Some(members(&start).unwrap_or(WrongKind::Array))
        } else {
            inner.starts_with(|c: char| c.is_ascii_digit()).then_some(WrongKind::EnvoyLog)
        };
    }
    if line.starts_with('{') {
        let whole = serde_json::from_str::<serde::de::IgnoredAny>(&line).is_ok();
        if whole {
            return members(&line);
        }
        let start = format!("{line}{}", String::from_utf8_lossy(following));
        let open = line == "{" || line.ends_with([',', '{', '[', ':']) && !following.trim_ascii().is_empty();
        return members(&start).filter(|_| open).or(open.then_some(WrongKind::Objects));
    }
    if line.starts_with("openapi:") || line.starts_with("swagger:") {
        return Some(WrongKind::OpenApi);
    }
    // NCSA's common log format, of Apache and nginx: HOST IDENT USER [23/Nov/2026:10:00:00 +0000] "GET …
    let common = line.split_once(" [").and_then(|(_, rest)| rest.split_once("] \""));
    common.is_some_and(|(time, _)| time.contains('/') && time.contains(':')).then_some(WrongKind::OtherLog)
}

/// The kind of a JSON object by the members that are near its beginning.
fn members(start: &str) -> Option<WrongKind> {
    let has = |name: &str| start.contains(&format!("\"{name}\""));
    if has("session_audit") || has("metadata") && has("class_uid") {
        Some(WrongKind::Records)
    } else if has("log") && (has("entries") || has("creator")) {
        Some(WrongKind::Har)
    } else if has("openapi") || has("swagger") {
        Some(WrongKind::OpenApi)
    } else if has("start_time") || has("response_code") {
        Some(WrongKind::EnvoyLog)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_known_by_its_beginning() {
        for (text, kind) in [
            (r#"[2026-11-23T10:00:00.123Z] "GET / HTTP/1.1" 200"#, Some(WrongKind::EnvoyLog)),
            (r#"{"start_time": "x", "method": "GET", "path": "/"}"#, Some(WrongKind::EnvoyLog)),
            (r#"{"start_time":"x","session_audit":[]}"#, Some(WrongKind::Records)),
            ("{\n \"log\": {\n  \"version\": \"1.2\",\n  \"entries\": [", Some(WrongKind::Har)),
            ("{\"log\": {\"version\": \"1.2\", \"entries\": []}}", Some(WrongKind::Har)),
            ("openapi: 3.1.0\ninfo: {}", Some(WrongKind::OpenApi)),
            ("{\n \"swagger\": \"2.0\"", Some(WrongKind::OpenApi)),
            (r#"[{"method": "GET", "path": "/"}]"#, Some(WrongKind::Array)),
            ("[\n{\"start_time\": 1}", Some(WrongKind::EnvoyLog)),
            ("{\n\"method\": \"GET\"", Some(WrongKind::Objects)),
            (r#"10.0.0.9 - - [23/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200"#, Some(WrongKind::OtherLog)),
            (r#"{"method": "GET", "path": "/"}"#, None),
            (r#"{"method": "GET", "pa"#, None),
            ("hello", None),
        ] {
            let (line, following) = text.split_once('\n').unwrap_or((text, ""));
            assert_eq!(recognise(line.as_bytes(), following.as_bytes()), kind, "{text}");
        }
    }
}
