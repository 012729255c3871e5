//! The load: requests rendered beforehand, a few keep-alive connections, one thread, and a look at every answer.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// An answer takes microseconds; one that is followed instruction by instruction most of a minute.
const PATIENCE: Duration = Duration::from_secs(90);

/// Open connections to one Envoy, and the answer that it must give.
pub(crate) struct Load {
    connections: Vec<Connection>,
    expected: Expected,
}

/// What every answer is compared with: an error is quick, and a bench of errors is a lie.
#[derive(Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) status: u16,
    /// A piece of the head or body that only the right answer has.
    pub(crate) piece: &'static str,
}

impl Load {
    pub(crate) fn open(to: SocketAddr, connections: usize, expected: Expected) -> Self {
        Self { connections: (0..connections).map(|_| Connection::open(to)).collect(), expected }
    }

    /// Sends the requests as fast as they are answered, one at a time on each connection.
    pub(crate) fn run<'r>(&mut self, requests: impl Iterator<Item = &'r [u8]>) -> Result<(), String> {
        let mut requests = requests.peekable();
        while requests.peek().is_some() {
            let mut sent = 0;
            for (connection, request) in self.connections.iter_mut().zip(requests.by_ref()) {
                connection.send(request)?;
                sent += 1;
            }
            for connection in self.connections.iter_mut().take(sent) {
                connection.receive(self.expected)?;
            }
        }
        Ok(())
    }

    /// Sends one request each `period` and gives the time from when it was due to its whole answer: one that had to wait
    /// because the one before it was slow has waited.
    pub(crate) fn paced<'r>(
        &mut self,
        requests: impl Iterator<Item = &'r [u8]>,
        period: Duration,
    ) -> Result<Vec<Duration>, String> {
        let mut times = Vec::new();
        let mut due = Instant::now();
        for (number, request) in requests.enumerate() {
            due += period;
            // Sleeping oversleeps by what a request takes; the last stretch is waited for awake.
            std::thread::sleep(due.saturating_duration_since(Instant::now()).saturating_sub(Duration::from_micros(200)));
            while Instant::now() < due {
                std::hint::spin_loop();
            }
            let at = number % self.connections.len();
            let connection = &mut self.connections[at];
            connection.send(request)?;
            connection.receive(self.expected)?;
            times.push(due.elapsed());
        }
        Ok(times)
    }
}

/// One connection with its unread bytes.
struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    fn open(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).expect("Envoy listens");
        stream.set_nodelay(true).expect("an option of TCP");
        stream.set_read_timeout(Some(PATIENCE)).expect("an option of sockets");
        Self { stream, unread: Vec::with_capacity(16 * 1024) }
    }

    fn send(&mut self, request: &[u8]) -> Result<(), String> {
        self.stream.write_all(request).map_err(|error| format!("sending: {error}"))
    }

    /// Reads one answer, with a `content-length` as all of them here have, and judges it.
    fn receive(&mut self, expected: Expected) -> Result<(), String> {
        let length = loop {
            if let Some(length) = answer_length(&self.unread) {
                break length;
            }
            let mut piece = [0; 8192];
            let read = self.stream.read(&mut piece).map_err(|error| format!("receiving: {error}"))?;
            if read == 0 {
                return Err("Envoy closed the connection".to_owned());
            }
            self.unread.extend_from_slice(&piece[..read]);
        };
        let answer = &self.unread[..length];
        let status = answer.get(9..12) == Some(expected.status.to_string().as_bytes());
        if !status || !contains(answer, expected.piece.as_bytes()) {
            let text = String::from_utf8_lossy(answer);
            return Err(format!("{} with {:?} was expected, and this came:\n{text}", expected.status, expected.piece));
        }
        self.unread.drain(..length);
        Ok(())
    }
}

fn contains(text: &[u8], piece: &[u8]) -> bool {
    piece.is_empty() || text.windows(piece.len()).any(|window| window == piece)
}

/// Length of the first answer, head and body, once all of it is there.
fn answer_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    let length = head + value.parse::<usize>().ok()?;
    (bytes.len() >= length).then_some(length)
}
