//! What the core wants fetched, through the proxy's own clusters: asked for from the tick, answered in a callback.

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
        let Due { fetches, lost } = worker.due(policy, now);
        lost.iter().for_each(tell);
        // The host tells nobody of a callout whose root context is gone.
        self.0.retain(|_, (ticket, _)| worker.awaits(*ticket));
        for fetch in fetches {
            let body = fetch.post.as_ref().map(|post| &*post.body).unwrap_or_default();
            match hostcalls::dispatch_http_call(&fetch.cluster, &head(&fetch), body, fetch.timeout) {
                Ok(token) => drop(self.0.insert(token, (fetch.ticket, fetch.most_bytes))),
                Err(Failed) => worker.fetched(fetch.ticket, Answer::Nothing, now, crypto).iter().for_each(tell),
            }
        }
    }

    /// The host has an answer, or the news that there will be none: then there are no headers.
    pub(crate) fn answered(&mut self, worker: &mut Worker, crypto: &HostCrypto, token: u32, headers: usize, body: usize) {
        let Some((ticket, most)) = self.0.remove(&token) else { return };
        let now = hostcalls::get_current_time().map(Timestamp::from_nanos);
        let response = if headers > 0 && now.is_ok() { response(body, most) } else { Err(Failed) };
        let answer = match &response {
            Ok((_, None)) => Answer::TooLarge,
            Ok((status, Some(body))) => Answer::Response { status: *status, body },
            Err(Failed) => Answer::Nothing,
        };
        worker.fetched(ticket, answer, now.unwrap_or(worker.latest()), crypto).iter().for_each(tell);
    }
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
