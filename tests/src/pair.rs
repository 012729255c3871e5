//! The native core and the .wasm side by side: both get each message and each document, and must make the same of it.

use crate::{
    scenario,
    stages::{Message, Ran, run_stream},
};
use chaperone_policy::{
    Context, Decision, Denial, Edits, End, Exchange, Head, Peer, Policy, RustCrypto, Secret, Source, Timestamp, Worker,
};
use policy_host::host::{
    self, Canary, Clock, ConfigureError, FailurePolicy, Headers, MapType, Module, PeerCertificate, Plugin, Properties, VmOptions,
    as_received,
};
use serde_json::Value;
use std::{collections::BTreeMap, rc::Rc, sync::Arc};

/// Two filters of one policy, in lockstep.
pub struct Pair {
    module: Module,
    clock: Clock,
    canary: Canary,
    filter: host::Worker,
    policy: Rc<Policy>,
    core: Worker,
    serving: Vec<u8>,
}

/// What the core makes of a message.
struct Native {
    upstream: Option<Headers>,
    upstream_trailers: Option<Headers>,
    client: Option<Headers>,
    client_trailers: Option<Headers>,
    denial: Option<Denial>,
    exchange: Exchange,
}

impl Pair {
    /// Both serve this policy, from this instant (Unix seconds) on.
    ///
    /// # Panics
    /// When either does not take the policy.
    #[must_use]
    pub fn start(module: &Module, policy: &[u8], seconds: u64) -> Self {
        let clock = Clock::fixed(seconds * 1_000_000_000);
        let (options, plugin) = (options(&clock), Plugin::default());
        let filter = host::Worker::start(module, &options, &plugin, FailurePolicy::Closed).expect("the filter starts");
        let (policy_json, policy) = (policy, Rc::new(Policy::deny_all()));
        let canary = Canary::new(module, &options, &plugin);
        let mut pair = Self { module: module.clone(), clock, canary, filter, policy, core: core(), serving: Vec::new() };
        assert_eq!(pair.update(policy_json), Ok(true));
        pair
    }

    /// Gives both a document; answers whether they took it.
    ///
    /// # Errors
    /// When they differ, or the filter traps.
    pub fn update(&mut self, document: &[u8]) -> Result<bool, String> {
        let compiled = Policy::compile(document);
        let mut taken = self.canary.check(document);
        if taken.is_ok() {
            taken = self.filter.apply(document).map(|_| ());
        } else if let Ok(applied) = self.filter.apply(document) {
            return Err(format!("the canary refuses what the worker takes: {applied:?}"));
        }
        match (compiled, taken) {
            (Ok(policy), Ok(())) => {
                self.policy = Rc::new(policy);
                self.serving = document.to_vec();
                Ok(true)
            }
            (Err(_), Err(ConfigureError::Rejected)) => Ok(false),
            (compiled, taken) => {
                self.restart();
                Err(format!(
                    "the core: {:?}, the filter: {taken:?}",
                    compiled.map(|_| "taken").map_err(|errors| errors.to_string())
                ))
            }
        }
    }

    /// Sends both a message.
    ///
    /// # Errors
    /// When they differ, the filter traps, or what it lets through carries a field that wears our prefix and is not ours.
    pub fn ask(&mut self, message: &Message) -> Result<Ran, String> {
        // Each second has its own allowance of signature checks, which this stays below.
        self.clock.set(self.clock.wall() + 10_000_000);
        let native = self.native(message);
        let stream = self.filter.open(Arc::clone(&message.properties)).map_err(|reply| format!("{reply:?}"))?;
        let ran = run_stream(self.filter.vm(), stream, message, |_, _| {});
        let compared = compare(&native, &ran).and_then(|()| only_ours(&ran));
        if compared.is_err() {
            self.restart();
        }
        compared.map(|()| ran)
    }

    /// After a difference, so that a shrinking test goes on with a filter that works.
    fn restart(&mut self) {
        self.filter = host::Worker::start(&self.module, &options(&self.clock), &Plugin::default(), FailurePolicy::Closed)
            .expect("the filter starts");
        self.filter.apply(&self.serving).expect("it has served before");
        self.core = core();
    }

    fn native(&mut self, message: &Message) -> Native {
        let now = Timestamp::from_nanos(self.clock.wall());
        let received = as_received(MapType::RequestHeaders, message.request.clone());
        let source = message.properties.source.map(|address| address.to_string());
        let fields = borrowed(&received);
        let head = Head {
            headers: &fields,
            source: source.as_deref().map_or(Source::Unknown, |source| Source::Told(source.as_bytes())),
            body: message.request_body.is_some() || message.request_trailers.is_some(),
            peer: peer(&message.properties),
        };
        let mut exchange = Exchange::begin(Rc::clone(&self.policy));
        let decision = exchange.request(&head, &mut self.core, &Context { now, newest: &self.policy, verifier: &RustCrypto });
        let mut native =
            Native { upstream: None, upstream_trailers: None, client: None, client_trailers: None, denial: None, exchange };
        match decision {
            Decision::Hold(need) => panic!("no document can make a request wait: {need:?}"),
            Decision::Refuse(denial) => native.denial = Some(denial),
            Decision::Forward(permit) => {
                let exchange = &mut native.exchange;
                let response = as_received(MapType::ResponseHeaders, message.response.clone());
                let edits = exchange.response_edits(&borrowed(&response), false);
                let mut trailers = |map, trailers: &Option<Headers>| {
                    let received = as_received(map, trailers.clone()?);
                    let fields = borrowed(&received);
                    let edits = if map == MapType::RequestTrailers {
                        exchange.request_trailer_edits(&fields)
                    } else {
                        exchange.response_trailer_edits(&fields)
                    };
                    Some(edited(received, &edits))
                };
                let request_trailers = trailers(MapType::RequestTrailers, &message.request_trailers);
                let response_trailers = trailers(MapType::ResponseTrailers, &message.response_trailers);
                native.upstream = Some(edited(received.clone(), permit.edits()));
                native.client = Some(edited(response, &edits));
                (native.upstream_trailers, native.client_trailers) = (request_trailers, response_trailers);
            }
        }
        native
    }
}

fn options(clock: &Clock) -> VmOptions {
    let (name, value) = scenario::CREDENTIAL;
    VmOptions { environment: vec![(name.to_owned(), value.to_owned())], clock: clock.clone(), ..VmOptions::default() }
}

fn core() -> Worker {
    let (name, value) = scenario::CREDENTIAL;
    Worker::new([1; 16], [2; 32], BTreeMap::from([(name.to_owned(), Secret::new(value.to_owned()))]))
}

fn borrowed(fields: &Headers) -> Vec<(&[u8], &[u8])> {
    fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect()
}

/// Edits as a proxy makes them.
fn edited(mut fields: Headers, edits: &Edits) -> Headers {
    fields.retain(|(name, _)| !edits.removed().any(|removed| removed == name.as_slice()));
    for (name, value) in edits.set() {
        fields.retain(|(found, _)| found != name);
        fields.push((name.to_vec(), value.to_vec()));
    }
    fields
}

fn compare(native: &Native, ran: &Ran) -> Result<(), String> {
    if let Some(trap) = &ran.trap {
        return Err(trap.to_string());
    }
    if let Some(held) = ran.held {
        return Err(format!("held in {held:?}, with nothing failing"));
    }
    let same = |what: &str, native: Option<&Headers>, filter: Option<&Headers>| {
        let (native, filter) = (native.map(neutral), filter.map(neutral));
        if native == filter { Ok(()) } else { Err(format!("{what}\n  core:   {native:?}\n  filter: {filter:?}")) }
    };
    same("upstream", native.upstream.as_ref(), ran.upstream.as_ref())?;
    same("upstream's trailers", native.upstream_trailers.as_ref(), ran.upstream_trailers.as_ref())?;
    same("client's trailers", native.client_trailers.as_ref(), ran.client_trailers.as_ref())?;
    match (&native.denial, &ran.reply) {
        (None, None) => same("client", native.client.as_ref(), ran.client.as_ref())?,
        (Some(denial), Some(reply)) => {
            let expected = denial.response();
            let headers = expected.headers.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes()));
            same("denial", Some(&headers.collect()), Some(&reply.headers))?;
            let (core, filter) = (expected.body.as_slice(), reply.body.as_slice());
            if reply.status != u32::from(expected.status) || reply.details != expected.details || core.len() != filter.len() {
                return Err(format!("the core denies with {expected:?}, the filter with {reply:?}"));
            }
        }
        (denial, reply) => return Err(format!("the core: {denial:?}, the filter: {reply:?}")),
    }
    let core = native.exchange.record(&End::default()).map(|record| without_ids(record.as_bytes()));
    let filter = ran.record.as_deref().map(without_ids);
    if core == filter { Ok(()) } else { Err(format!("records\n  core:   {core:?}\n  filter: {filter:?}")) }
}

/// Audit ids are each side's own.
fn neutral(fields: &Headers) -> Headers {
    let id = b"x-chaperone-audit-id";
    let value = |name: &[u8], value: &[u8]| if name == id { format!("{} bytes", value.len()).into() } else { value.to_vec() };
    fields.iter().map(|(name, was)| (name.clone(), value(name, was))).collect()
}

/// The record without what is each side's own: ids, and what only a proxy knows.
fn without_ids(record: &[u8]) -> Value {
    let mut record: Value = serde_json::from_slice(record).expect("the record is JSON");
    for (within, names) in
        [("", &["http_response"][..]), ("/metadata", &["uid"]), ("/unmapped", &["worker", "sequence", "bytes_up", "bytes_down"])]
    {
        let members = record.pointer_mut(within).and_then(Value::as_object_mut).expect("an object");
        members.retain(|name, _| !names.contains(&name.as_str()));
    }
    record
}

/// Of the fields that wear our prefix only ours are there, each once.
fn only_ours(ran: &Ran) -> Result<(), String> {
    const UPSTREAM: &[&str] =
        &["session", "subject", "agent", "command", "decision", "reason", "expires-at", "audit-id", "policy"];
    for (fields, ours) in
        [(&ran.upstream, UPSTREAM), (&ran.upstream_trailers, &[]), (&ran.client, &["audit-id"]), (&ran.client_trailers, &[])]
    {
        let mut seen = Vec::new();
        for (name, _) in fields.iter().flatten() {
            let folded = String::from_utf8_lossy(name).to_ascii_lowercase().replace('_', "-");
            let Some(rest) = folded.strip_prefix("x-chaperone-") else { continue };
            if !ours.contains(&rest) || name != folded.as_bytes() || seen.contains(&folded) {
                return Err(format!("{folded} is not ours, or twice: {fields:?}"));
            }
            seen.push(folded);
        }
    }
    Ok(())
}

/// The peer's certificate as the filter reads it out of the properties of its connection.
fn peer(properties: &Properties) -> Option<Peer<'_>> {
    let PeerCertificate { sha256_digest, uri_san, valid, dns_san: _, subject: _ } = properties.tls.as_ref()?.peer.as_ref()?;
    Some(Peer {
        certificate_sha256: Some(sha256_digest.as_bytes()),
        uri_san: uri_san.as_deref().map(str::as_bytes),
        validated: Some(*valid),
    })
}
