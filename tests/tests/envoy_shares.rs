//! In a real Envoy with two workers: one caller takes neither the signature checks nor the streams that others need.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]
#![allow(clippy::print_stdout, reason = "the figures are what `--nocapture` is for")]

use chaperone_tests::{
    client::{Call, Connection, Protocol},
    mesh::Mesh,
    scenario::{Scenario, now},
    upstream::{Answer, Upstream},
    wasm,
};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

const GREEDY: Ipv4Addr = Ipv4Addr::LOCALHOST;
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// For what is to be over soon.
const PATIENCE: Duration = Duration::from_secs(10);

/// A target whose feeds, and whatever is asked of it with `?open`, begin and never end.
async fn target() -> Upstream {
    Upstream::answering(|received| {
        if received.path.contains("feed") || received.path.ends_with("?open") {
            Answer::pieces(&["data: 1\n\n"], Duration::ZERO, true).header("content-type", "text/event-stream")
        } else {
            Answer::ok("ok")
        }
    })
    .await
}

async fn mesh(name: &str, policy: &Value) -> Mesh {
    Mesh::with(name, policy, target().await, wasm::chaperone(), &[]).await
}

async fn status(mesh: &Mesh, from: Ipv4Addr, call: &Call) -> u16 {
    let mut connection = Connection::open_from(from, mesh.envoy.address(), Protocol::Http1).await.expect("Envoy listens");
    connection.send(call).await.expect("an answer").status
}

/// How many of these statuses.
fn counted(statuses: impl IntoIterator<Item = u16>) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    statuses.into_iter().for_each(|status| *counts.entry(status).or_default() += 1);
    counts
}

/// Sends one forgery after the other over one connection, at most so many a second, until it is told to stop.
async fn forge(to: SocketAddr, call: Call, a_second: f64, stop: Arc<AtomicBool>) -> (usize, BTreeMap<u16, usize>) {
    let mut connection = Connection::open_from(GREEDY, to, Protocol::Http1).await.expect("Envoy listens");
    let (began, mut sent, mut statuses) = (Instant::now(), 0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let due = Duration::from_secs_f64(sent as f64 / a_second);
        sleep(due.saturating_sub(began.elapsed())).await;
        statuses.push(connection.send(&call).await.expect("a denial").status);
        sent += 1;
    }
    (sent, counted(statuses))
}

#[tokio::test(flavor = "multi_thread")]
async fn forgeries_over_one_connection_take_no_neighbours_signature_checks() {
    let scenario = Scenario::new();
    let mesh = mesh("forgeries", &scenario.policy()).await;
    let to = mesh.envoy.address();
    let forged = Call::get("/v1/orders").bearer(&scenario.forged("s-0"));
    let stop = Arc::new(AtomicBool::new(false));
    // As many as the attack had. One connection is with one worker, of which the other one's callers hear nothing.
    let forger = tokio::spawn(forge(to, forged, 600.0, Arc::clone(&stop)));
    let list = |session: &str, number: u64| {
        Call::get("/v1/orders").bearer(&scenario.token_with(session, json!({"jti": format!("{session}-{number}")})))
    };
    // A session behind the forger's address, on each worker as chance has it, with a new token each time.
    let mut beside = Vec::new();
    for number in 0..6 {
        let mut connection = Connection::open_from(GREEDY, to, Protocol::Http1).await.unwrap();
        // In the first moments the forger may have been quicker.
        let session = format!("beside-{number}");
        while connection.send(&list(&session, 1000)).await.unwrap().status != 200 {
            sleep(Duration::from_millis(100)).await;
        }
        beside.push((session, connection));
    }
    let (began, mut neighbours, mut renewals) = (Instant::now(), Vec::new(), Vec::new());
    let mut round = 0;
    while began.elapsed() < Duration::from_secs(6) {
        round += 1;
        for number in 0..3 {
            neighbours.push(status(&mesh, NEIGHBOUR, &list(&format!("new-{round}-{number}"), 0)).await);
        }
        if round % 3 == 0 {
            for (session, connection) in &mut beside {
                renewals.push(connection.send(&list(session, round)).await.unwrap().status);
            }
        }
        sleep(Duration::from_millis(60)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let (sent, forged) = forger.await.unwrap();
    let (neighbours, renewals) = (counted(neighbours), counted(renewals));
    println!("{sent} forgeries: {forged:?}; new sessions of a neighbour: {neighbours:?}; tokens renewed beside it: {renewals:?}");
    assert!(forged.get(&503).is_some_and(|denied| *denied > 500), "the attack is one: {forged:?}");
    assert_eq!(neighbours.keys().collect::<Vec<_>>(), [&200], "{neighbours:?}");
    assert_eq!(renewals.keys().collect::<Vec<_>>(), [&200], "{renewals:?}");
    let of = |entry: &chaperone_tests::access_log::Entry| entry.details() == "chaperone{overloaded}";
    assert_eq!(mesh.log.wait_for("a forgery too many", of).await.reason(), "overloaded");
}

/// A socket on which a GET has been sent, with the head of a body that never comes.
async fn idle(to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((GREEDY, 0).into()).unwrap();
    let mut socket = socket.connect(to).await.unwrap();
    socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: orders.example\r\ncontent-length: 5\r\n\r\n").await.unwrap();
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_streams_without_a_session_lock_out_nobody() {
    let scenario = Scenario::new();
    let mesh = mesh("idle", &scenario.policy()).await;
    let mut sockets = Vec::new();
    for _ in 0..1080 {
        sockets.push(idle(mesh.envoy.address()).await);
    }
    sleep(Duration::from_secs(1)).await;
    let health = status(&mesh, NEIGHBOUR, &Call::get("/healthz")).await;
    let list = status(&mesh, NEIGHBOUR, &Call::get("/v1/orders").bearer(&scenario.token("s-1"))).await;
    let mut answers = Vec::new();
    for socket in &mut sockets {
        let mut text = vec![0; 4096];
        let size = timeout(Duration::from_millis(20), socket.read(&mut text)).await.map_or(0, |size| size.unwrap_or(0));
        let line = String::from_utf8_lossy(&text[..size]).into_owned();
        answers.push(line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0));
    }
    let answers = counted(answers);
    println!("1,080 idle GETs of /healthz: {answers:?}; another's /healthz: {health}, its list: {list}");
    assert_eq!((health, list), (200, 200));
    assert_eq!(answers, BTreeMap::from([(503, 1080)]), "denied, each at once");
    let entries = mesh.log.entries();
    let denied = entries.iter().filter(|entry| entry.details() == "chaperone{overloaded}" && entry.reason() == "overloaded");
    assert_eq!(denied.count(), 1080, "and each on record");
}

/// Answers that have begun, on connections of their own.
#[derive(Default)]
struct Many {
    /// A connection lives as long as its answer.
    open: Vec<(Connection, Incoming)>,
    statuses: Vec<u16>,
}

impl Many {
    async fn ask(&mut self, mesh: &Mesh, from: Ipv4Addr, call: &Call, times: usize) -> BTreeMap<u16, usize> {
        let before = self.statuses.len();
        for number in 0..times {
            let mut connection =
                Connection::open_from(from, mesh.envoy.address(), Protocol::ALL[number % 2]).await.expect("Envoy listens");
            let response = connection.start(call).await.expect("an answer");
            self.statuses.push(response.status().as_u16());
            if response.status() == 200 {
                self.open.push((connection, response.into_body()));
            }
        }
        counted(self.statuses[before..].iter().copied())
    }

    /// Waits until each of them has ended.
    async fn all_end(&mut self) {
        for (_connection, body) in &mut self.open {
            let ends = timeout(PATIENCE, async { while let Some(Ok(_)) = body.frame().await {} }).await;
            assert!(ends.is_ok(), "an answer goes on");
        }
        self.open.clear();
    }
}

/// Asks until so many are open on both workers together: seats come back a moment after their streams have ended.
async fn come_back(mesh: &Mesh, from: Ipv4Addr, call: &Call, most: usize) -> Many {
    let deadline = Instant::now() + PATIENCE;
    let mut many = Many::default();
    while many.open.len() < most {
        many.ask(mesh, from, call, most - many.open.len()).await;
        assert!(Instant::now() < deadline, "{} of {most} seats came back", many.open.len());
    }
    many
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_its_streams_and_not_its_neighbours() {
    let scenario = Scenario::new();
    let mut policy = scenario.policy();
    policy["session"]["max_lifetime"] = json!("1h");
    let mesh = mesh("many-streams", &policy).await;
    let feed = |session: &str, number: u64| {
        Call::get("/v1/feed").bearer(&scenario.token_with(session, json!({"jti": number.to_string(), "exp": now() + 600})))
    };
    let mut greedy = Many::default();
    for number in 0..8 {
        // Whatever token it shows.
        greedy.ask(&mesh, GREEDY, &feed("greedy", number), 128).await;
    }
    let counts = counted(greedy.statuses.iter().copied());
    println!("1,024 feeds of one session: {counts:?}");
    assert_eq!(counts, BTreeMap::from([(200, 200), (503, 824)]), "100 on each worker");
    let neighbour = Many::default().ask(&mesh, NEIGHBOUR, &feed("neighbour", 0), 50).await;
    assert_eq!(neighbour, BTreeMap::from([(200, 50)]));
    assert_eq!(status(&mesh, GREEDY, &Call::get("/healthz")).await, 200);
    let record = mesh.log.wait_for("one too many", |entry| entry.reason() == "overloaded").await;
    assert_eq!((record.details(), &record.record["actor"]["session"]["uid"]), ("chaperone{overloaded}", &json!("greedy")));
    // Clients that go away.
    drop(greedy);
    let mut again = come_back(&mesh, GREEDY, &feed("greedy", 9), 200).await;
    assert_eq!(again.ask(&mesh, GREEDY, &feed("greedy", 9), 20).await, BTreeMap::from([(503, 20)]), "and no more");
    // Streams that are cut.
    let generation = |number: u64, revoked: &Value| {
        let mut policy = policy.clone();
        policy["generation"] = json!(number);
        policy["revoked"] = revoked.clone();
        policy
    };
    mesh.envoy.update(&generation(2, &json!([{"session": "greedy"}]))).await;
    again.all_end().await;
    mesh.envoy.update(&generation(3, &json!([]))).await;
    sleep(Duration::from_secs(1)).await;
    drop(come_back(&mesh, GREEDY, &feed("greedy", 9), 200).await);
    // Answers that end by themselves: none of these is under way for long.
    let list = Call::get("/v1/orders").bearer(&scenario.token("greedy"));
    let mut connection = Connection::open(mesh.envoy.address(), Protocol::Http2).await.unwrap();
    for _ in 0..300 {
        let status = connection.send(&list).await.unwrap().status;
        assert!(status == 200 || status == 503, "{status}");
    }
    assert_eq!(connection.send(&list).await.unwrap().status, 200);
    assert_eq!(mesh.envoy.traps(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_its_streams_without_a_session_and_many_sessions_have_theirs() {
    let scenario = Scenario::new();
    let mut policy = scenario.policy();
    policy["limits"] = json!({"streams_per_session": 10, "unmediated_streams": 40});
    let mesh = mesh("at-the-bound", &policy).await;
    let open = Call::get("/healthz?open");
    let mut greedy = Many::default();
    let counts = greedy.ask(&mesh, GREEDY, &open, 200).await;
    println!("200 open /healthz of one address: {counts:?}");
    assert_eq!(counts, BTreeMap::from([(200, 20), (503, 180)]), "a quarter on each worker");
    let mut others = Many::default();
    for last in 2..5 {
        let counts = others.ask(&mesh, Ipv4Addr::new(127, 0, 0, last), &open, 60).await;
        assert_eq!(counts[&200], 20, "127.0.0.{last}: {counts:?}");
    }
    let counts = others.ask(&mesh, Ipv4Addr::new(127, 0, 0, 5), &open, 30).await;
    assert_eq!(counts, BTreeMap::from([(503, 30)]), "there are no more");
    // Those with a session are another matter, and each has its own.
    let failed = Arc::new(AtomicU32::new(0));
    let mut sessions = Many::default();
    for session in 0..12 {
        let feed = Call::get("/v1/feed").bearer(&scenario.token(&format!("s-{session}")));
        let counts = sessions.ask(&mesh, GREEDY, &feed, 60).await;
        if counts.get(&200) != Some(&20) {
            failed.fetch_add(1, Ordering::Relaxed);
        }
    }
    assert_eq!(failed.load(Ordering::Relaxed), 0, "sessions with other than 20 streams");
    drop((greedy, others));
    drop(come_back(&mesh, Ipv4Addr::new(127, 0, 0, 5), &open, 20).await);
    assert_eq!(mesh.envoy.traps(), 0);
}

/// An HTTP/2 client that asks for /healthz so many times and lets nobody send it a byte of an answer's body (RFC 9113 §6.5.2,
/// SETTINGS_INITIAL_WINDOW_SIZE of 0).
fn unread(times: u32) -> Vec<u8> {
    const NO_WINDOW: [u8; 15] = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    let mut fields = Vec::new();
    for (name, value) in [(":method", "GET"), (":scheme", "http"), (":path", "/healthz"), (":authority", "orders.example")] {
        // A literal without indexing and with a new name (RFC 7541 §6.2.2).
        fields.push(0);
        for text in [name, value] {
            fields.push(u8::try_from(text.len()).unwrap());
            fields.extend(text.bytes());
        }
    }
    let mut bytes = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &NO_WINDOW].concat();
    for number in 0..times {
        // HEADERS with END_STREAM and END_HEADERS.
        bytes.extend([0, 0, u8::try_from(fields.len()).unwrap(), 1, 5]);
        bytes.extend((2 * number + 1).to_be_bytes());
        bytes.extend(&fields);
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_reads_hold_no_place() {
    let scenario = Scenario::new();
    let mesh = Mesh::with("unread", &scenario.policy(), target().await, wasm::chaperone(), &[]).await;
    let mut kept = Vec::new();
    // A quarter of a worker's places from each of many addresses, more than both workers have.
    for last in 10..34 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, last], 0).into()).unwrap();
        let mut stream = socket.connect(mesh.envoy.address()).await.unwrap();
        stream.write_all(&unread(25)).await.unwrap();
        kept.push(stream);
    }
    let asked = Instant::now();
    while mesh.upstream.count() < 200 && asked.elapsed() < PATIENCE {
        sleep(Duration::from_millis(50)).await;
    }
    sleep(Duration::from_millis(500)).await;
    for _ in 0..12 {
        assert_eq!(status(&mesh, NEIGHBOUR, &Call::get("/healthz")).await, 200);
    }
    let answered = mesh.upstream.count();
    assert!(answered >= 200, "both workers' places were taken: the target has answered {answered}");
}
