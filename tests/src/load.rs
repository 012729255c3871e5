//! Bounded load: callers that go on asking until they are stopped, and all that they were answered.

use crate::client::{Call, Connection, Error, Protocol, Reply};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{task::JoinHandle, time::sleep};

/// Between two requests of a caller.
const PAUSE: Duration = Duration::from_millis(25);
/// Requests on one connection. The next one may be with another worker.
const ON_A_CONNECTION: usize = 12;

/// A request and how it ended.
#[derive(Debug)]
pub struct Seen {
    /// Which Envoy.
    pub proxy: usize,
    /// The name of the caller's session.
    pub session: &'static str,
    /// When the caller began to send it.
    pub sent: Instant,
    /// When the caller had the whole answer.
    pub done: Instant,
    /// The answer; none when the connection broke.
    pub reply: Result<Reply, Error>,
}

impl Seen {
    /// The status; 0 without an answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.reply.as_ref().map_or(0, |reply| reply.status)
    }
}

/// Running callers.
#[derive(Default)]
pub struct Load {
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts callers, which take turns in speaking HTTP/1.1 and HTTP/2.
    pub fn add(&mut self, callers: usize, (proxy, to): (usize, SocketAddr), session: &'static str, call: &Call) {
        for number in 0..callers {
            let caller = Caller { proxy, to, session, call: call.clone(), protocol: Protocol::ALL[number % 2] };
            self.callers.push(tokio::spawn(caller.run(Arc::clone(&self.seen), Arc::clone(&self.stop))));
        }
    }

    /// Asks something of all that has been seen so far, in the order in which the answers came.
    pub fn look<T>(&self, ask: impl FnOnce(&[Seen]) -> T) -> T {
        ask(&self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends the callers, each after the answer that it is waiting for.
    ///
    /// # Panics
    /// When a caller did.
    pub async fn finish(self) -> Vec<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.expect("no caller panics");
        }
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Caller {
    proxy: usize,
    to: SocketAddr,
    session: &'static str,
    call: Call,
    protocol: Protocol,
}

impl Caller {
    async fn run(self, seen: Arc<Mutex<Vec<Seen>>>, stop: Arc<AtomicBool>) {
        let mut open: Option<Connection> = None;
        let mut left = 0;
        while !stop.load(Ordering::Relaxed) {
            let sent = Instant::now();
            let reply = self.ask(if left == 0 { None } else { open.take() }).await;
            left = if left == 0 { ON_A_CONNECTION } else { left } - 1;
            let reply = reply.map(|(reply, connection)| {
                open = Some(connection);
                reply
            });
            if reply.is_err() {
                left = 0;
            }
            let one = Seen { proxy: self.proxy, session: self.session, sent, done: Instant::now(), reply };
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(one);
            sleep(PAUSE).await;
        }
    }

    async fn ask(&self, open: Option<Connection>) -> Result<(Reply, Connection), Error> {
        let mut connection = match open {
            Some(connection) => connection,
            None => Connection::open(self.to, self.protocol).await?,
        };
        Ok((connection.send(&self.call).await?, connection))
    }
}
