//! What a request and its response carry: whether either is a file, and how many bytes of them have gone on.
//!
//! A file is known by the head: whatever is not a message between programs is one. What stands inside such a message, a file in
//! base64 perhaps, is bounded by its bytes alone.

use crate::decide::check::Findings;
use crate::decide::direct::Mark;
use crate::decide::trace::{CheckStep, Trace};
use crate::http::head::{Headers, Request, begins, values};
use crate::http::rpc::Rpc;
use crate::primitives::reason::Reason;
use crate::rules::grants::{SessionBytes, Transfers};
use crate::rules::policy::Rules;
use crate::state::sessions;

/// The rule of a grant's `transfers` that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransferRule {
    Upload,
    Download,
    RequestBytes,
    ResponseBytes,
    SessionRequestBytes,
    SessionResponseBytes,
}

impl TransferRule {
    /// As the record and explanations name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
            Self::RequestBytes => "request_bytes",
            Self::ResponseBytes => "response_bytes",
            Self::SessionRequestBytes => "session_request_bytes",
            Self::SessionResponseBytes => "session_response_bytes",
        }
    }
}

/// By what a request is known as an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// What follows an upgrade has no form that could be seen.
    Upgrade,
    /// `content-disposition` (RFC 6266), which names a file.
    Disposition,
    /// A part of a file: `content-range` (RFC 9110 §14.5), or a protocol of resumable uploads.
    Resumable,
    /// Coded, and so of a form that cannot be seen by whoever reads it without decoding.
    Coded,
    /// Its type is not that of a call, or it has none, or several.
    Type,
}

impl Sign {
    fn name(self) -> &'static str {
        match self {
            Self::Upgrade => "upgrade",
            Self::Disposition => "content-disposition",
            Self::Resumable => "part of a file",
            Self::Coded => "content-encoding",
            Self::Type => "content-type",
        }
    }
}

/// Bytes of a body, one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bytes {
    /// By `content-length`.
    promised: Option<u64>,
    /// That have come.
    moved: u64,
    /// Of these, what its session has been charged with: each once, whatever grant it is under by then.
    charged: u64,
}

impl Bytes {
    fn exceed(self, most: Option<u64>) -> bool {
        most.is_some_and(|most| self.known() > most)
    }

    /// As it says, or as they have come.
    fn known(self) -> u64 {
        self.promised.unwrap_or(0).max(self.moved)
    }

    /// What its session has to have left for it: what is still to come at least, of which `.1` has.
    fn uncharged(self) -> (u64, u64) {
        (self.known().saturating_sub(self.charged), self.moved.saturating_sub(self.charged))
    }

    fn promise(&mut self, length: &[u8]) {
        self.promised = self.promised.max(Some(number(length)));
    }

    /// A head need not end a message for that to have no body; but no byte of one may come then.
    fn are_none(self) -> bool {
        self.known() == 0 && self.promised.is_some()
    }
}

/// What an exchange carries, as far as that is known yet, and what it may.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Transfer {
    upload: Option<Sign>,
    /// A part of a response is asked for, as resumed downloads do.
    ranged: bool,
    /// By what a browser is known.
    mark: Option<Mark>,
    /// In which form the caller understands an answer.
    spoken: Option<Rpc>,
    /// Its method is HEAD, whose response has no body (RFC 9110 §9.3.2).
    of_head: bool,
    download: bool,
    up: Bytes,
    down: Bytes,
    /// Of the grant that allows it.
    limits: Option<Transfers>,
    /// What it breaks of these, when the grant was found.
    broken: Option<TransferRule>,
    /// What it has broken, where that is only observed.
    noted: Option<TransferRule>,
}

impl Transfer {
    /// By what its caller is known as a browser; `None` for a program.
    pub(crate) fn mark(&self) -> Option<Mark> {
        self.mark
    }

    /// Nothing but a browser's mark.
    pub(crate) fn marked(mark: Option<Mark>) -> Self {
        Self { mark, ..Self::default() }
    }

    /// By a request's head. `body`: something follows it.
    pub(crate) fn of(headers: &Headers<'_>, request: &Request<'_>, body: bool) -> Self {
        let mut transfer = Self { spoken: Rpc::spoken(headers), of_head: request.method == b"HEAD", ..Self::default() };
        let mut types = Types::default();
        let (mut disposition, mut resumable, mut coded) = (false, false, false);
        for (name, value) in headers {
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            let begins = |known: &str| begins(name, known);
            types.see(name, value);
            transfer.mark = transfer.mark.or_else(|| Mark::of(name, value));
            transfer.ranged |= is("range") || is("if-range");
            disposition |= is("content-disposition");
            // tus 1.0, IETF resumable uploads (both `upload-…`), and the ways of Google's APIs.
            resumable |= is("content-range") || is("tus-resumable") || is("x-goog-resumable");
            resumable |= begins("upload-") || begins("x-upload-content-") || begins("x-goog-upload-");
            coded |= is("content-encoding") && !value.trim_ascii().eq_ignore_ascii_case(b"identity");
            if body && is("content-length") {
                transfer.up.promise(value);
            }
        }
        let signs = [
            (request.upgrade, Sign::Upgrade),
            (disposition, Sign::Disposition),
            (resumable, Sign::Resumable),
            (coded && body, Sign::Coded),
            (body && !types.is_one(is_message), Sign::Type),
        ];
        transfer.upload = signs.into_iter().find(|(shown, _)| *shown).map(|(_, sign)| sign);
        // What comes back after an upgrade has no form either.
        transfer.download = request.upgrade;
        transfer
    }

    /// Takes the head of a response that has a body, and says whether its bytes may follow as far as the grant of the moment
    /// says. Where the session's total has to be asked it says no.
    pub(crate) fn respond(&mut self, headers: &Headers<'_>) -> bool {
        let mut types = Types::default();
        let mut part = false;
        // All that is looked for begins so.
        for (name, value) in headers.iter().filter(|(name, _)| name.first().is_some_and(|first| first | 0x20 == b'c')) {
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            types.see(name, value);
            part |= is("content-range") || (is("content-disposition") && !value.trim_ascii().eq_ignore_ascii_case(b"inline"));
            if is("content-length") {
                self.down.promise(value);
            }
        }
        let status = values(headers, ":status").next().unwrap_or_default();
        part |= status == b"206";
        if self.of_head || matches!(status, b"204" | b"304") {
            // RFC 9110 §15.3.5 and §15.4.5; the length that such a head names is that of another response.
            self.down.promised = Some(0);
        }
        // What a proxy or a server says instead of an answer is a page, and nothing that was asked for.
        let instead = matches!(status.first(), Some(b'3' | b'4' | b'5'));
        self.download |= part || !types.is_one(|kind| is_answer(kind) || (instead && is_page(kind)));
        self.broken_now().is_none() && (self.session_bytes().is_none() || self.down.uncharged().0 == 0)
    }

    /// Does nothing that its grant says depend on what it carries?
    pub(crate) fn is_free(&self) -> bool {
        self.limits.is_none() && self.broken.is_none() && self.noted.is_none()
    }

    pub(crate) fn request_bytes(&mut self, bytes: u64) {
        self.up.moved = self.up.moved.saturating_add(bytes);
    }

    pub(crate) fn response_bytes(&mut self, bytes: u64) {
        self.down.moved = self.down.moved.saturating_add(bytes);
    }

    pub(crate) fn spoken(&self) -> Option<Rpc> {
        self.spoken
    }

    /// What of these rules it breaks by now.
    pub(crate) fn breaks(&self, rules: &Transfers) -> Option<TransferRule> {
        let Transfers { uploads, downloads, max_request_bytes, max_response_bytes, session: _ } = rules;
        let all = [
            (!uploads && self.uploads(), TransferRule::Upload),
            (!downloads && (self.ranged || (self.download && !self.down.are_none())), TransferRule::Download),
            (self.up.exceed(*max_request_bytes), TransferRule::RequestBytes),
            (self.down.exceed(*max_response_bytes), TransferRule::ResponseBytes),
        ];
        all.into_iter().find(|(broken, _)| *broken).map(|(_, rule)| rule)
    }

    fn uploads(&self) -> bool {
        match self.upload {
            Some(Sign::Upgrade | Sign::Disposition | Sign::Resumable) => true,
            Some(Sign::Coded | Sign::Type) => !self.up.are_none(),
            None => false,
        }
    }

    /// The same of the grant that allowed it.
    pub(crate) fn broken_now(&self) -> Option<TransferRule> {
        self.limits.as_ref().and_then(|limits| self.breaks(limits))
    }

    /// Does it break by now what it did not break when it was last judged?
    pub(crate) fn must_be_judged(&self) -> bool {
        self.noted.is_none() && self.broken_now().is_some()
    }

    /// It is under a grant with these rules, which it breaks or not.
    pub(crate) fn granted(&mut self, limits: Option<Transfers>, broken: Option<TransferRule>) {
        self.limits = limits;
        self.broken = broken;
    }

    /// The totals of the grant that allowed it.
    pub(crate) fn session_bytes(&self) -> Option<SessionBytes> {
        self.limits.and_then(|limits| limits.session)
    }

    /// What the session has to have left for it, each way: what it has not been charged with, of which the second has come.
    pub(crate) fn uncharged(&self) -> [(TransferRule, sessions::Bytes, sessions::Bytes); 2] {
        let [up, down] = [self.up.uncharged(), self.down.uncharged()];
        let request = |request| sessions::Bytes { request, response: 0 };
        let response = |response| sessions::Bytes { request: 0, response };
        [
            (TransferRule::SessionRequestBytes, request(up.0), request(up.1)),
            (TransferRule::SessionResponseBytes, response(down.0), response(down.1)),
        ]
    }

    /// The session has been charged with all that has come.
    pub(crate) fn is_charged(&mut self) {
        (self.up.charged, self.down.charged) = (self.up.moved, self.down.moved);
    }

    /// The session has not so much left.
    pub(crate) fn outgrows(&mut self, rule: TransferRule) {
        self.broken = Some(rule);
    }

    /// What it breaks is only recorded.
    pub(crate) fn note(&mut self) {
        self.noted = self.noted.or(self.broken);
    }

    /// As explanations show it.
    pub(crate) fn seen(&self) -> CheckStep {
        CheckStep::Transfer {
            rules: self.limits.as_ref().map(Transfers::texts).unwrap_or_default(),
            upload: self.upload.map(Sign::name),
            ranged: self.ranged,
            bytes: self.up.known(),
            broken: self.broken.map(TransferRule::name),
        }
    }

    pub(crate) fn broken(&self) -> Option<TransferRule> {
        self.broken
    }

    pub(crate) fn noted(&self) -> Option<TransferRule> {
        self.noted
    }
}

/// `transfer_not_allowed`: no grant of the command lets this be carried.
pub(crate) fn may_transfer(rules: &Rules, findings: &mut Findings, trace: &mut impl Trace) -> Result<(), Reason> {
    trace.saw(|| findings.transfer.seen());
    if findings.transfer.broken.is_none() {
        return Ok(());
    }
    findings.deny(Reason::TransferNotAllowed, rules)?;
    findings.transfer.note();
    Ok(())
}

/// The content types of a head.
#[derive(Default)]
struct Types<'h> {
    first: Option<&'h [u8]>,
    more: bool,
}

impl<'h> Types<'h> {
    fn see(&mut self, name: &[u8], value: &'h [u8]) {
        if name.eq_ignore_ascii_case(b"content-type") {
            self.more |= self.first.is_some();
            self.first = Some(value);
        }
    }

    /// Is there exactly one, and is it such a one? Several in one field, by a comma, are two readings.
    fn is_one(&self, such: impl FnOnce(&[u8]) -> bool) -> bool {
        let Some(value) = self.first.filter(|value| !self.more && !value.contains(&b',')) else { return false };
        let kind = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        such(&kind.to_ascii_lowercase())
    }
}

/// Is this type one in which programs speak with each other? JSON, XML, forms, GraphQL, and the forms of gRPC. With a suffix of
/// RFC 6839 only under `application/`: `image/svg+xml` is a picture and `model/gltf+json` a model. `text/plain` and `text/csv`
/// are what a file with text has, `multipart/form-data` is how browsers send files.
fn is_message(kind: &[u8]) -> bool {
    let Some(name) = kind.strip_prefix(b"application/") else { return kind == b"text/xml" };
    match name {
        b"json" | b"x-ndjson" | b"json-seq" | b"xml" | b"x-www-form-urlencoded" | b"graphql" => true,
        b"grpc" | b"grpc-web" | b"grpc-web-text" | b"proto" | b"protobuf" | b"x-protobuf" => true,
        _ => {
            let of_rpc = [&b"grpc+"[..], b"grpc-web+", b"grpc-web-text+", b"connect+"];
            let is_rpc = of_rpc.iter().any(|beginning| name.starts_with(beginning));
            is_rpc || (name.len() > 5 && name.ends_with(b"+json")) || (name.len() > 4 && name.ends_with(b"+xml"))
        }
    }
}

/// The same of a response: events are an answer that goes on.
fn is_answer(kind: &[u8]) -> bool {
    is_message(kind) || kind == b"text/event-stream"
}

fn is_page(kind: &[u8]) -> bool {
    matches!(kind, b"text/plain" | b"text/html")
}

/// A `content-length` (RFC 9110 §8.6). What is none promises the most that there is.
fn number(value: &[u8]) -> u64 {
    let text = std::str::from_utf8(value.trim_ascii()).unwrap_or_default();
    text.parse().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
