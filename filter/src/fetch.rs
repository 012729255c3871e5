//! What the core wants fetched, through the proxy's own clusters: asked for from the tick, or when a request begins to wait for it, and
//! answered in a callback.

use std::rc::Rc;

use chaperone_policy::{Answer, Due, Fetch, Policy, Report, Ticket, Timestamp, Worker};
use rustc_hash::FxHashMap;

use crate::crypto::HostCrypto;
use crate::fields;
use crate::hostcalls::{self, Failed};
use crate::types::{BufferType, LogLevel, MapType};

/// Callouts under way, by the host's token: what the core calls each, and the longest body that is read.
#[derive(Default)]
pub(crate) struct Callouts(FxHashMap<u32, (Ticket, usize)>);

impl Callouts {
    /// Begins what is due for this policy. The host answers in the root context whose tick this is.
    pub(crate) fn begin(&mut self, worker: &mut Worker, policy: &Rc<Policy>, crypto: &HostCrypto, now: Timestamp) {
        let due = worker.due(policy, now);
        // The host tells nobody of a callout whose root context is gone.
        self.0.retain(|_, (ticket, _)| worker.awaits(*ticket));
        self.make(worker, due, crypto, now);
    }

    /// Begins what requests wait for. As this root context, which the host is told of the answer in: one that is made as a stream
    /// would end with the stream, and others may wait for it by then. Tells which of them there will be no answer to; afterwards the
    /// host's calls are about this root context.
    pub(crate) fn begin_wanted(&mut self, worker: &mut Worker, root: Option<u32>, crypto: &HostCrypto) -> Vec<Ticket> {
        let now = worker.latest();
        let due = worker.wanted();
        if root.is_some_and(|root| hostcalls::set_effective_context(root).is_ok()) {
            return self.make(worker, due, crypto, now);
        }
        due.lost.iter().for_each(tell);
        due.fetches.iter().for_each(|fetch| nothing_comes(worker, fetch.ticket, crypto, now));
        due.fetches.iter().map(|fetch| fetch.ticket).collect()
    }

    fn make(&mut self, worker: &mut Worker, due: Due, crypto: &HostCrypto, now: Timestamp) -> Vec<Ticket> {
        let Due { fetches, lost } = due;
        lost.iter().for_each(tell);
        let mut failed = Vec::new();
        for fetch in fetches {
            let body = fetch.post.as_ref().map(|post| &*post.body).unwrap_or_default();
            match hostcalls::dispatch_http_call(&fetch.cluster, &head(&fetch), body, fetch.timeout) {
                Ok(token) => drop(self.0.insert(token, (fetch.ticket, fetch.most_bytes))),
                Err(Failed) => {
                    nothing_comes(worker, fetch.ticket, crypto, now);
                    failed.push(fetch.ticket);
                }
            }
        }
        failed
    }

    /// The host has an answer, or the news that there will be none: then there are no headers. Tells what it was that was asked.
    pub(crate) fn answered(
        &mut self,
        worker: &mut Worker,
        crypto: &HostCrypto,
        token: u32,
        headers: usize,
        body: usize,
    ) -> Option<Ticket> {
        let (ticket, most) = self.0.remove(&token)?;
        let now = hostcalls::get_current_time().map(Timestamp::from_nanos);
        let response = if headers > 0 && now.is_ok() { response(body, most) } else { Err(Failed) };
        let answer = match &response {
            Ok((_, None)) => Answer::TooLarge,
            Ok((status, Some(body))) => Answer::Response { status: *status, body },
            Err(Failed) => Answer::Nothing,
        };
        worker.fetched(ticket, answer, now.unwrap_or(worker.latest()), crypto).iter().for_each(tell);
        Some(ticket)
    }
}

fn nothing_comes(worker: &mut Worker, ticket: Ticket, crypto: &HostCrypto, now: Timestamp) {
    worker.fetched(ticket, Answer::Nothing, now, crypto).iter().for_each(tell);
}

/// The head of what is asked, serialised.
fn head(fetch: &Fetch) -> Vec<u8> {
    let method = if fetch.post.is_some() { "POST" } else { "GET" };
    let head = [
        (":method", method),
        (":scheme", "https"),
        (":authority", &*fetch.authority),
        (":path", &*fetch.path),
        ("accept", fetch.accept),
    ];
    let mut head: Vec<_> = head.map(|(name, value)| (name, value.as_bytes())).into();
    if let Some(post) = &fetch.post {
        head.push(("content-type", post.content_type.as_bytes()));
        head.extend(post.authorization.as_deref().map(|value| ("authorization", value)));
    }
    fields::serialise(head.iter().copied())
}

/// Status and body; no body when it is too long to be read.
fn response(size: usize, most: usize) -> Result<(u16, Option<Vec<u8>>), Failed> {
    let map = hostcalls::get_map(MapType::HttpCallResponseHeaders)?;
    let status = fields::status(&fields::parse(&map)?).ok_or(Failed)?;
    if size > most {
        return Ok((status, None));
    }
    let body = hostcalls::get_buffer(BufferType::HttpCallResponseBody, size)?;
    // Half of a body is none.
    if body.len() == size { Ok((status, Some(body))) } else { Err(Failed) }
}

fn tell(report: &Report) {
    if report.is_news() {
        let level = if report.is_fault() { LogLevel::Error } else { LogLevel::Info };
        hostcalls::log(level, &format!("chaperone: {report}"));
    }
}
