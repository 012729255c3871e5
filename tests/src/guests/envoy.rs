//! All guests' steps in one real Envoy: a listener for each guest, its filter by ECDS, so that one that is refused harms no other.

use super::{Guest, Step, Transcript, script, summary::Message};
use crate::{
    client,
    envoy::run_dir,
    install,
    upstream::{Answer, Upstream},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Request,
    body::{Body, Frame},
    client::conn::http2,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, sync::mpsc, time::sleep};

/// After each step, so that the next one finds the one before done.
pub(super) const STEP: Duration = Duration::from_millis(60);
/// After the last step: what has not happened by then does not happen.
pub(super) const SETTLE: Duration = Duration::from_millis(700);
/// Between the pieces of the upstream's answer.
pub(super) const PAUSE: Duration = Duration::from_millis(20);
const START: Duration = Duration::from_secs(60);
/// As long as there is nothing: what the kernel chooses.
const ANY: u16 = 0;

struct Running {
    child: Child,
    dir: PathBuf,
    admin: SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Runs the steps of all guests that want this many workers, each guest beside the others.
///
/// # Panics
/// When Envoy does not start.
pub async fn run(guests: &[Guest], workers: usize) -> BTreeMap<String, Transcript> {
    let upstream = Arc::new(upstream().await);
    let guests: Vec<Guest> =
        guests.iter().filter(|guest| !guest.needs("only_policy_host") && guest.workers() == workers).cloned().collect();
    let guests = guests.as_slice();
    let envoy = start(guests, upstream.address(), workers).await;
    let addresses = envoy.listeners().await;
    let mut outside = BTreeMap::new();
    // A few at a time: the guests' timings are those of a machine that is not overrun.
    for some in guests.chunks(12) {
        let all = some.iter().map(|guest| steps(guest, &envoy, &upstream, addresses[&guest.name]));
        for (guest, lines) in some.iter().zip(join(all).await) {
            outside.insert(guest.name.clone(), lines);
        }
    }
    // The log is flushed, and streams that their client left are over.
    sleep(Duration::from_millis(400)).await;
    let (logged, access) = (envoy.lines(), envoy.access());
    let told = |guest: &Guest| {
        let mut lines = logged.get(&guest.name).cloned().unwrap_or_default();
        let mut stream = 0;
        for line in &outside[&guest.name] {
            lines.push(line.clone());
            if line.starts_with("upstream: ") {
                lines.push(
                    access.get(&(guest.name.clone(), stream.to_string())).cloned().unwrap_or_else(|| "log: nothing".into()),
                );
                stream += 1;
            }
        }
        (guest.name.clone(), if lines.iter().any(|line| line == "loads: no") { vec!["loads: no".into()] } else { lines })
    };
    guests.iter().map(told).collect()
}

async fn join<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<Pin<Box<_>>> = all.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (one, done) in waiting.iter_mut().zip(&mut done) {
            if done.is_none()
                && let Poll::Ready(value) = one.as_mut().poll(cx)
            {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

async fn upstream() -> Upstream {
    Upstream::answering(|received| {
        if received.path == "/slow" {
            return Answer::pieces(&["late"], Duration::from_secs(5), false);
        }
        let (pieces, trailers, open) = if received.header("x-row").is_some() {
            script::answer(&received.path)
        } else {
            (vec!["answer"], vec![("x-t-sum".to_owned(), "1".to_owned())], false)
        };
        let answer = Answer::pieces(&pieces, PAUSE, open);
        let answer = script::ANSWER_HEADERS.iter().fold(answer, |answer, (name, value)| answer.header(name, value));
        trailers.iter().fold(answer, |answer, (name, value)| answer.trailer(name, value))
    })
    .await
}

/// What a guest logged, as it is compared: the level only where it is not the usual one.
pub(super) fn shown(level: usize, text: &str) -> Option<String> {
    let level = ["trace ", "debug ", "", "warning ", "error ", "critical "].get(level).copied().unwrap_or("");
    // Ports of clients change from run to run.
    let mut parts = text.split("127.0.0.1:");
    let mut line = format!("{level}{}", parts.next().unwrap_or_default());
    for part in parts {
        line.push_str("127.0.0.1:PORT");
        line.push_str(part.trim_start_matches(|digit: char| digit.is_ascii_digit()));
    }
    Some(line)
}

impl Running {
    /// Each listener's address by its name, once all are there.
    async fn listeners(&self) -> BTreeMap<String, SocketAddr> {
        let listeners = client::get(self.admin, "/listeners?format=json").await.expect("the admin interface answers").json();
        let all = listeners["listener_statuses"].as_array().expect("listeners").iter();
        all.map(|one| {
            let port = one["local_address"]["socket_address"]["port_value"].as_u64().and_then(|port| u16::try_from(port).ok());
            let name = one["name"].as_str().expect("a name").to_owned();
            (name, SocketAddr::from(([127, 0, 0, 1], port.expect("a port"))))
        })
        .collect()
    }

    async fn stats(&self) -> BTreeMap<String, u64> {
        let text = client::get(self.admin, "/stats?filter=extension_config_discovery")
            .await
            .expect("the admin interface answers")
            .text();
        text.lines()
            .filter_map(|line| line.rsplit_once(": ").and_then(|(name, value)| Some((name.into(), value.parse().ok()?))))
            .collect()
    }

    /// Was the configuration that was written last taken? `before` is what the counters were.
    async fn verdict(&self, guest: &str, before: &BTreeMap<String, u64>) -> bool {
        let name = |what: &str| format!("extension_config_discovery.http_filter.{guest}.{what}");
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let now = self.stats().await;
            let more = |what: &str| now.get(&name(what)).unwrap_or(&0) > before.get(&name(what)).unwrap_or(&0);
            if more("config_fail") || more("update_rejected") {
                return false;
            }
            if more("update_success") {
                return true;
            }
            assert!(Instant::now() < deadline, "no verdict on {guest}: {now:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The guests' own lines by guest, those of the workers: the main thread only tries configurations.
    fn lines(&self) -> BTreeMap<String, Transcript> {
        let log = fs::read_to_string(self.dir.join("envoy.log")).expect("Envoy logs");
        let main = log.lines().next().and_then(thread).unwrap_or_default().to_owned();
        let mut lines: BTreeMap<String, Transcript> = BTreeMap::new();
        for line in log.lines().filter(|line| thread(line) != Some(main.as_str())) {
            let Some((head, said)) = line.split_once("] wasm log ") else { continue };
            let Some((whom, text)) = said.split_once(": ") else { continue };
            let guest = whom.rsplit(' ').next().unwrap_or_default();
            let level = ["trace", "debug", "info", "warning", "error", "critical"]
                .iter()
                .position(|level| head.contains(&format!("[{level}]")));
            lines.entry(guest.to_owned()).or_default().extend(shown(level.unwrap_or(2), text));
        }
        lines
    }

    /// By guest and number of the stream.
    fn access(&self) -> BTreeMap<(String, String), String> {
        let text = fs::read_to_string(self.dir.join("access.log")).unwrap_or_default();
        let parts =
            text.lines().filter_map(|line| line.split_once(' ').and_then(|(guest, rest)| Some((guest, rest.split_once(' ')?))));
        parts.map(|(guest, (stream, rest))| ((guest.to_owned(), stream.to_owned()), format!("log: {rest}"))).collect()
    }
}

/// `[2026-11-24 08:00:00.000][123][info]…`
fn thread(line: &str) -> Option<&str> {
    line.split(['[', ']']).nth(3)
}

async fn start(guests: &[Guest], upstream: SocketAddr, workers: usize) -> Running {
    let dir = run_dir("guests");
    for guest in guests {
        fs::create_dir_all(dir.join(&guest.name)).expect("the build folder can be written");
        fs::write(dir.join(&guest.name).join("guest.wasm"), &guest.wasm).expect("the build folder can be written");
        write(&dir, guest, guest.configuration());
    }
    fs::write(dir.join("bootstrap.json"), bootstrap(&dir, guests, upstream).to_string())
        .expect("the build folder can be written");
    let log = File::create(dir.join("envoy.log")).expect("the build folder can be written");
    let child = Command::new(install::envoy())
        .current_dir(&dir)
        .args(["-c", "bootstrap.json", "--admin-address-path", "admin.address", "--disable-hot-restart"])
        .args(["--concurrency", &workers.to_string()])
        .args(["--file-flush-interval-msec", "50"])
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file handle can be cloned"))
        .stderr(log)
        .spawn()
        .expect("the installed envoy can be started");
    let mut running = Running { child, dir, admin: SocketAddr::from(([127, 0, 0, 1], ANY)) };
    let deadline = Instant::now() + START;
    loop {
        if let Ok(Some(status)) = running.child.try_wait() {
            panic!("Envoy ended with {status}: see {}", running.dir.display());
        }
        assert!(Instant::now() < deadline, "Envoy was not ready within {START:?}: see {}", running.dir.display());
        let address = fs::read_to_string(running.dir.join("admin.address")).ok().and_then(|text| text.trim().parse().ok());
        if let Some(admin) = address {
            running.admin = admin;
            if client::get(admin, "/ready").await.is_ok_and(|reply| reply.status == 200) {
                return running;
            }
        }
        sleep(Duration::from_millis(30)).await;
    }
}

/// Writes the guest's filter configuration, by rename.
fn write(dir: &Path, guest: &Guest, configuration: &str) {
    let filter = json!({"resources": [{
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": guest.name,
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": {
            "name": guest.name,
            "root_id": "root",
            "vm_config": {
                "vm_id": guest.name,
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": dir.join(&guest.name).join("guest.wasm")}},
                "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "of the vm"},
                "environment_variables": {"key_values": {"GUEST": "a guest"}},
            },
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration},
            "failure_policy": if guest.needs("fail_reload") { "FAIL_RELOAD" } else { "FAIL_CLOSED" },
            "allow_on_headers_stop_iteration": guest.needs("allow_on_headers_stop_iteration"),
        }},
    }]});
    let at = dir.join(&guest.name);
    fs::write(at.join("new.json"), filter.to_string()).expect("the build folder can be written");
    fs::rename(at.join("new.json"), at.join("ecds.json")).expect("a file can be renamed");
}

fn bootstrap(dir: &Path, guests: &[Guest], upstream: SocketAddr) -> Value {
    let socket = |address: SocketAddr| json!({"socket_address": {"address": address.ip(), "port_value": address.port()}});
    let any = SocketAddr::from(([127, 0, 0, 1], ANY));
    let cluster = |name: &str, address: Value| {
        json!({
            "name": name, "type": "STATIC", "connect_timeout": "1s",
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }},
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
        })
    };
    // Port 1 of loopback: nobody listens there.
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    json!({
        "node": {"id": "guests", "cluster": "guests"},
        "admin": {"address": socket(any)},
        "static_resources": {
            "listeners": guests.iter().map(|guest| listener(dir, guest, &socket(any))).collect::<Vec<_>>(),
            "clusters": [cluster("upstream", socket(upstream)), cluster("nowhere", socket(nowhere))],
        },
    })
}

fn listener(dir: &Path, guest: &Guest, address: &Value) -> Value {
    let at = dir.join(&guest.name);
    json!({"name": guest.name, "address": address, "filter_chains": [{"filters": [{
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "guests",
            "codec_type": "HTTP2",
            "generate_request_id": false,
            "access_log": [{"name": "envoy.access_loggers.file", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": dir.join("access.log"),
                "log_format": {"text_format_source": {"inline_string":
                    format!("{} %REQ(x-stream)% %RESPONSE_CODE% %FILTER_STATE(wasm.t:PLAIN)%\n", guest.name)}},
            }}],
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                {"name": "main", "match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "0s"}},
            ]}]},
            "http_filters": [
                {"name": guest.name, "config_discovery": {
                    "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"],
                    "config_source": {"resource_api_version": "V3", "path_config_source": {
                        "path": at.join("ecds.json"), "watched_directory": {"path": at},
                    }},
                }},
                {"name": "envoy.filters.http.router", "typed_config":
                    {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", "suppress_envoy_headers": true}},
            ],
        },
    }]}]})
}

/// A body that is fed step by step; whether a frame is the last one is said with it.
struct Fed {
    frames: mpsc::UnboundedReceiver<(Frame<Bytes>, bool)>,
    ended: bool,
}

impl Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.frames.poll_recv(cx).map(|next| {
            next.map(|(frame, last)| {
                self.ended = last;
                Ok(frame)
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

type Sender = http2::SendRequest<Fed>;

async fn connect(to: SocketAddr) -> (Sender, tokio::task::JoinHandle<()>) {
    let socket = TcpStream::connect(to).await.expect("Envoy listens");
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.expect("HTTP/2");
    let running = tokio::spawn(async move {
        // A connection that breaks shows in its streams.
        connection.await.ok();
    });
    (sender, running)
}

/// One guest's steps; answers what the outside saw.
async fn steps(guest: &Guest, envoy: &Running, upstream: &Upstream, address: SocketAddr) -> Transcript {
    let rejected = format!("extension_config_discovery.http_filter.{}.config_fail", guest.name);
    let loaded = envoy.stats().await.get(&rejected).is_none_or(|count| *count == 0);
    let mut outside = Transcript::new();
    if !loaded {
        outside.push("loads: no".into());
    }
    let (mut sender, connection) = connect(address).await;
    let (mut connections, mut senders) = (vec![connection], Vec::new());
    let mut feeds: Vec<mpsc::UnboundedSender<(Frame<Bytes>, bool)>> = Vec::new();
    let mut clients: Vec<Arc<Mutex<Message>>> = Vec::new();
    let mut readers = Vec::new();
    for step in &guest.steps {
        match step {
            Step::Open { method, path, headers, end } => {
                let (feed, frames) = mpsc::unbounded_channel();
                let mut request = Request::builder().method(method.as_str()).uri(format!("http://guest.example{path}"));
                request = request.header("x-row", &guest.name).header("x-stream", clients.len());
                for (name, value) in headers {
                    request = request.header(name, value);
                }
                let request = request.body(Fed { frames, ended: *end }).expect("a request");
                let response = sender.send_request(request);
                let saw = Arc::new(Mutex::new(Message::default()));
                readers.push(tokio::spawn(read(response, Arc::clone(&saw))));
                feeds.push(feed);
                clients.push(saw);
            }
            Step::Data { bytes, end } => feed(&feeds, Frame::data(bytes.clone().into()), *end),
            Step::Trailers(trailers) => feed(&feeds, Frame::trailers(map(trailers)), true),
            Step::Wait(time) => sleep(*time).await,
            Step::Connect => {
                let (other, connection) = connect(address).await;
                // The ones before stay open: a connection stays with its worker.
                connections.push(connection);
                senders.push(std::mem::replace(&mut sender, other));
            }
            Step::Configure(text) => {
                let before = envoy.stats().await;
                write(&envoy.dir, guest, text);
                let taken = envoy.verdict(&guest.name, &before).await;
                outside.push(format!("configuration {text}: {}", if taken { "taken" } else { "rejected" }));
                // The workers follow the main thread.
                sleep(Duration::from_millis(150)).await;
            }
        }
        sleep(STEP).await;
    }
    sleep(SETTLE).await;
    for (number, saw) in clients.iter().enumerate() {
        outside.push(saw.lock().expect("nobody panicked").line("client"));
        let received = upstream.received();
        let of_this = |one: &&crate::upstream::Received| {
            one.header("x-row") == Some(guest.name.as_str()) && one.header("x-stream") == Some(number.to_string().as_str())
        };
        let message = received.iter().find(of_this).map_or_else(Message::default, |one| Message {
            start: Some(format!("{} {}", one.method, one.path)),
            headers: one.headers.clone(),
            body: one.body.to_vec(),
            trailers: one.trailers.clone(),
            ended: true,
            reset: false,
        });
        outside.push(message.line("upstream"));
    }
    // The client goes away.
    readers.iter().for_each(|reader| reader.abort());
    connections.iter().for_each(|connection| connection.abort());
    drop(senders);
    outside
}

fn feed(feeds: &[mpsc::UnboundedSender<(Frame<Bytes>, bool)>], frame: Frame<Bytes>, last: bool) {
    // A stream that was answered or reset takes no more.
    feeds.last().expect("a request is open").send((frame, last)).ok();
}

async fn read(response: impl Future<Output = hyper::Result<hyper::Response<hyper::body::Incoming>>>, saw: Arc<Mutex<Message>>) {
    let note = |change: &dyn Fn(&mut Message)| change(&mut saw.lock().expect("nobody panicked"));
    let Ok(response) = response.await else { return note(&|message| message.reset = true) };
    let (head, mut body) = response.into_parts();
    note(&|message| {
        message.start = Some(head.status.as_u16().to_string());
        message.headers = pairs(&head.headers);
        message.ended = body.is_end_stream();
    });
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => note(&|message| message.body.extend(&data)),
            Ok(Err(frame)) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                note(&|message| message.trailers = pairs(&trailers));
            }
            Err(_) => return note(&|message| message.reset = true),
        }
    }
    note(&|message| message.ended = true);
}

fn map(fields: &[(String, String)]) -> HeaderMap {
    let name = |name: &str| name.parse::<hyper::header::HeaderName>().expect("a header name");
    fields.iter().map(|(found, value)| (name(found), value.parse().expect("a header value"))).collect()
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect()
}
