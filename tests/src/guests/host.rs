//! A guest's steps in policy-host.

use super::{Guest, Step, Transcript, script, summary::Message};
use policy_host::host::{
    CalloutAnswer, CalloutResponse, Canary, Clock, Clusters, Event, FailurePolicy, Head, LogInfo, LogSink, Module, Plugin,
    Properties, Proxy, ProxyOptions, StreamId, Traffic, VmOptions,
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// One open stream, or one that was.
struct Stream {
    id: Option<StreamId>,
    worker: usize,
    traffic: Traffic,
    answered: bool,
    over: bool,
    log: String,
}

struct Run {
    proxy: Proxy,
    streams: Vec<Stream>,
    /// The one that the next request goes to.
    worker: usize,
}

/// Runs the guest's steps.
///
/// # Panics
/// When the guest has nobody to send to.
#[must_use]
pub fn run(guest: &Guest) -> Transcript {
    let module = match Module::from_bytes(&guest.wasm) {
        Ok(module) => module,
        Err(_) => return vec!["loads: no".into()],
    };
    let lines = Arc::new(Mutex::new(Transcript::new()));
    let (kept, muted) = (Arc::clone(&lines), Arc::new(AtomicBool::new(false)));
    let hush = Arc::clone(&muted);
    let log = LogSink::new(move |level, text| {
        if !hush.load(Ordering::SeqCst) {
            kept.lock().expect("nobody panicked").extend(super::envoy::shown(level as usize, text));
        }
    });
    let options = ProxyOptions {
        vm: VmOptions {
            vm_id: guest.name.clone(),
            configuration: b"of the vm".to_vec(),
            environment: vec![("GUEST".into(), "a guest".into())],
            clock: Clock::fixed(1_700_000_000_000_000_000),
            log,
            clusters: Clusters::new(|request| {
                let path = request.headers.iter().find(|(name, _)| name == b":path").map(|(_, path)| path.as_slice());
                match (request.cluster.as_str(), path) {
                    ("upstream", Some(b"/slow")) => CalloutAnswer::Response(callout_answer(), Duration::from_secs(5)),
                    ("upstream", Some(b"/late")) => CalloutAnswer::Response(callout_answer(), Duration::from_millis(300)),
                    ("upstream", Some(_)) => CalloutAnswer::Response(callout_answer(), Duration::from_millis(1)),
                    ("nowhere", Some(_)) => CalloutAnswer::Unreachable(Duration::from_millis(1)),
                    _ => CalloutAnswer::NoCluster,
                }
            }),
            hold_headers_alone: guest.needs("allow_on_headers_stop_iteration"),
            ..VmOptions::default()
        },
        plugin: Plugin { name: guest.name.clone(), root_id: "root".into() },
        workers: guest.workers(),
        failure: if guest.needs("fail_reload") { FailurePolicy::Reload } else { FailurePolicy::Closed },
    };
    muted.store(true, Ordering::SeqCst);
    let mut canary = Canary::new(&module, &options.vm, &options.plugin);
    let mut outside = Transcript::new();
    let Ok(proxy) = Proxy::start(&module, &options) else { return vec!["loads: no".into()] };
    let mut run = Run { proxy, streams: Vec::new(), worker: 0 };
    let configure = |run: &mut Run, canary: &mut Canary, text: &str| {
        muted.store(true, Ordering::SeqCst);
        let taken = canary.check(text.as_bytes()).is_ok();
        muted.store(false, Ordering::SeqCst);
        if taken {
            // A worker that disagrees with the canary shows in what the streams get.
            for worker in 0..run.proxy.workers() {
                run.proxy.worker(worker).expect("a worker").apply(text.as_bytes()).ok();
            }
        }
        taken
    };
    if !configure(&mut run, &mut canary, guest.configuration()) {
        outside.push("loads: no".into());
    }
    for step in &guest.steps {
        match step {
            Step::Configure(text) => {
                let taken = configure(&mut run, &mut canary, text);
                outside.push(format!("configuration {text}: {}", if taken { "taken" } else { "rejected" }));
            }
            Step::Wait(time) => run.advance(*time),
            Step::Connect => run.worker = (run.worker + 1) % run.proxy.workers(),
            Step::Open { .. } | Step::Data { .. } | Step::Trailers(_) => run.feed(&guest.name, step),
        }
        run.advance(super::envoy::STEP);
    }
    run.advance(super::envoy::SETTLE);
    run.finish();
    let mut lines = std::mem::take(&mut *lines.lock().expect("nobody panicked"));
    if outside.iter().any(|line| line == "loads: no") {
        return vec!["loads: no".into()];
    }
    lines.extend(outside);
    for stream in &run.streams {
        lines.extend(stream.lines());
    }
    lines
}

fn callout_answer() -> CalloutResponse {
    let mut response = CalloutResponse::new(200, "answer");
    response.headers.push((b"x-t-from".to_vec(), b"upstream".to_vec()));
    response.trailers.push((b"x-t-sum".to_vec(), b"1".to_vec()));
    response
}

impl Run {
    fn feed(&mut self, row: &str, step: &Step) {
        let worker = self.proxy.worker(self.worker).expect("a worker");
        let stream = self.streams.last().and_then(|stream| stream.id);
        match step {
            Step::Open { method, path, headers, end } => {
                let mut all: Vec<(String, String)> = vec![
                    (":method".into(), method.clone()),
                    (":scheme".into(), "http".into()),
                    (":authority".into(), "guest.example".into()),
                    (":path".into(), path.clone()),
                    ("x-row".into(), row.into()),
                ];
                all.push(("x-stream".into(), self.streams.len().to_string()));
                all.extend(headers.iter().cloned());
                all.push(("x-forwarded-proto".into(), "http".into()));
                let properties = Properties {
                    source: "127.0.0.1:1".parse().ok(),
                    destination: "127.0.0.1:2".parse().ok(),
                    connection_id: 1,
                    protocol: Some("HTTP/2"),
                    route_name: Some("main".into()),
                    cluster_name: Some("upstream".into()),
                    ..Properties::default()
                };
                let mut traffic = Traffic::default();
                let id = match worker.begin(Head { headers: bytes(&all), end_of_stream: *end }, properties) {
                    Ok(id) => Some(id),
                    Err(reply) => {
                        let response = reply.response(false, false);
                        traffic.record(Event::ResponseHead(Head { headers: response.headers, end_of_stream: true }));
                        None
                    }
                };
                let over = id.is_none();
                let log = if over { "log: 500 filter_config_not_found".to_owned() } else { String::new() };
                self.streams.push(Stream { id, worker: self.worker, traffic, answered: false, over, log });
            }
            Step::Data { bytes, end } => stream.into_iter().for_each(|id| worker.request_data(id, bytes.clone(), *end)),
            Step::Trailers(trailers) => stream.into_iter().for_each(|id| worker.request_trailers(id, bytes(trailers))),
            Step::Wait(_) | Step::Configure(_) | Step::Connect => {}
        }
        self.pump();
    }

    /// Lets time go by, and the upstream answer.
    fn advance(&mut self, time: Duration) {
        self.proxy.advance(time);
        self.pump();
    }

    fn pump(&mut self) {
        for at in 0..self.streams.len() {
            self.record(at);
            let Stream { id: Some(id), traffic, answered, .. } = &mut self.streams[at] else { continue };
            if !traffic.request_ended || traffic.is_over() || *answered {
                continue;
            }
            *answered = true;
            // The path as the filter left it.
            let path = traffic.request.as_ref().and_then(|headers| value(headers, ":path")).unwrap_or_default();
            let (id, (pieces, trailers, open)) = (*id, script::answer(&path));
            let mut headers = bytes(&[(":status".to_owned(), "200".to_owned())]);
            headers.extend(bytes(&script::ANSWER_HEADERS.map(|(name, value)| (name.to_owned(), value.to_owned()))));
            self.worker(at).response_head(id, Head { headers, end_of_stream: false });
            for piece in pieces {
                self.record(at);
                self.proxy.advance(super::envoy::PAUSE);
                self.worker(at).response_data(id, piece, false);
            }
            self.record(at);
            if !trailers.is_empty() {
                self.worker(at).response_trailers(id, bytes(&trailers));
            } else if !open {
                self.worker(at).response_data(id, "", true);
            }
            self.record(at);
        }
    }

    fn record(&mut self, at: usize) {
        let Some(id) = self.streams[at].id.filter(|_| !self.streams[at].over) else { return };
        for event in self.worker(at).events(id) {
            self.streams[at].traffic.record(event);
        }
        if self.streams[at].traffic.is_over() {
            self.end(at);
        }
    }

    fn end(&mut self, at: usize) {
        let Some(id) = self.streams[at].id.filter(|_| !self.streams[at].over) else { return };
        let code = self.streams[at].traffic.response.as_ref().and_then(|headers| value(headers, ":status"));
        let replied = self.streams[at].traffic.local_reply.as_ref().map(|reply| reply.status.to_string());
        let code = code.or(replied);
        // Envoy logs the upstream's status even where the filter held its response.
        let code = code.or_else(|| self.streams[at].answered.then(|| "200".to_owned()));
        let state = self.worker(at).end(id, LogInfo::default());
        let shown = state.iter().find(|(name, _)| name == b"t").map(|(_, value)| String::from_utf8_lossy(value).into_owned());
        let stream = &mut self.streams[at];
        stream.over = true;
        stream.log = format!("log: {} {}", code.unwrap_or("0".into()), shown.unwrap_or("-".into()));
    }

    /// The client goes away.
    fn finish(&mut self) {
        for at in 0..self.streams.len() {
            self.record(at);
            self.end(at);
        }
    }

    fn worker(&mut self, stream: usize) -> &mut policy_host::host::Worker {
        self.proxy.worker(self.streams[stream].worker).expect("a worker")
    }
}

impl Stream {
    fn lines(&self) -> [String; 3] {
        let Traffic { request, request_body, request_trailers, request_ended, response, .. } = &self.traffic;
        // The upstream only tells of whole requests.
        let whole = request.as_ref().filter(|_| *request_ended);
        let upstream = Message {
            start: whole.map(|headers| {
                format!("{} {}", value(headers, ":method").unwrap_or_default(), value(headers, ":path").unwrap_or_default())
            }),
            headers: whole.map(|headers| text(headers)).unwrap_or_default(),
            body: request_body.clone(),
            trailers: request_trailers.as_ref().map(|headers| text(headers)).unwrap_or_default(),
            ended: true,
            reset: false,
        };
        let client = Message {
            start: response.as_ref().map(|headers| value(headers, ":status").unwrap_or_default()),
            headers: response.as_ref().map(|headers| text(headers)).unwrap_or_default(),
            body: self.traffic.response_body.clone(),
            trailers: self.traffic.response_trailers.as_ref().map(|headers| text(headers)).unwrap_or_default(),
            ended: self.traffic.response_ended,
            reset: self.traffic.reset,
        };
        [client.line("client"), upstream.line("upstream"), self.log.clone()]
    }
}

fn bytes(headers: &[(String, String)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes())).collect()
}

fn text(headers: &[(Vec<u8>, Vec<u8>)]) -> Vec<(String, String)> {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    headers.iter().map(|(name, value)| (lossy(name), lossy(value))).collect()
}

fn value(headers: &[(Vec<u8>, Vec<u8>)], name: &str) -> Option<String> {
    headers.iter().find(|(found, _)| found == name.as_bytes()).map(|(_, value)| String::from_utf8_lossy(value).into_owned())
}
