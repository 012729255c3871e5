//! What the client, the upstream and the access log saw, in lines that are the same for the same.

/// Fields that Envoy or the HTTP libraries add by themselves, and those that only steer the test.
const NOT_SHOWN: [&str; 14] = [
    "date",
    "server",
    "host",
    "te",
    "user-agent",
    "transfer-encoding",
    "x-forwarded-proto",
    "x-row",
    "x-stream",
    "x-envoy-upstream-service-time",
    "x-envoy-attempt-count",
    "x-envoy-expected-rq-timeout-ms",
    "x-request-id",
    "content-length",
];

fn fields(headers: &[(String, String)]) -> String {
    let shown = |name: &str| !name.starts_with(':') && !NOT_SHOWN.contains(&name);
    let mut lines: Vec<String> =
        headers.iter().filter(|(name, _)| shown(name)).map(|(name, value)| format!("{name}={value}")).collect();
    lines.sort();
    lines.join(" ")
}

/// What one side got.
#[derive(Debug, Clone, Default)]
pub(super) struct Message {
    /// `200`, or `POST /path`; `None`: nothing came.
    pub(super) start: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Vec<(String, String)>,
    pub(super) ended: bool,
    pub(super) reset: bool,
}

impl Message {
    pub(super) fn line(&self, whom: &str) -> String {
        let Some(start) = &self.start else {
            return format!("{whom}: {}", if self.reset { "reset" } else { "nothing" });
        };
        let body = if self.body.len() > 100 {
            format!("{} bytes", self.body.len())
        } else {
            String::from_utf8_lossy(&self.body).into_owned()
        };
        let trailers = fields(&self.trailers);
        let trailers = if trailers.is_empty() { String::new() } else { format!(", trailers {trailers}") };
        let end = if self.reset {
            ", then reset"
        } else if self.ended {
            ""
        } else {
            ", and open"
        };
        format!("{whom}: {start} {} [{body}]{trailers}{end}", fields(&self.headers)).replace("  ", " ")
    }
}
