//! All guests' steps in one real Envoy: a listener for each guest, its filter by ECDS, so that one that is refused harms no other.

use super::{
    Guest, Step, Transcript,
    bootstrap::{bootstrap, write},
    script,
    summary::Message,
    wire::{Fed, connect, feed, map, read},
};
use crate::{
    client,
    envoy::run_dir,
    install,
    upstream::{Answer, Upstream},
};
use bytes::Bytes;
use hyper::{Request, body::Frame};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    task::Poll,
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, time::sleep};

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
        if received.path == "/late" {
            return Answer::pieces(&["", "late"], Duration::from_millis(300), false);
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
