//! Callers that misbehave: bytes on a socket, for what no HTTP library agrees to send.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// No answer takes longer, unless something hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// An HTTP/1.1 answer as bytes.
#[derive(Debug, Clone)]
pub struct RawReply {
    /// The status; 0 when the connection was closed without one.
    pub status: u16,
    /// Everything that was received, lossily as text.
    pub text: String,
}

impl RawReply {
    /// The value of the first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let head = self.text.split("\r\n\r\n").next()?;
        let lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }
}

/// Sends these bytes as they are and reads one answer, or until the connection is closed.
///
/// # Panics
/// When the socket fails, or nothing ends it in time.
pub async fn http1(to: SocketAddr, bytes: &[u8]) -> RawReply {
    http1_from(Ipv4Addr::LOCALHOST, to, bytes).await
}

/// The same, from this address.
///
/// # Panics
/// As [`http1`], and when the machine has no such address.
pub async fn http1_from(from: Ipv4Addr, to: SocketAddr, bytes: &[u8]) -> RawReply {
    let received = timeout(PATIENCE, async {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((from, 0).into()).expect("an address of this machine");
        let mut socket = socket.connect(to).await.expect("Envoy listens");
        socket.write_all(bytes).await.expect("the request can be written");
        let mut received = Vec::new();
        // Envoy waits a second before it closes; a reset after an answer is an answer, too.
        while !is_whole(&received) && socket.read_buf(&mut received).await.is_ok_and(|size| size > 0) {}
        received
    })
    .await
    .expect("the connection ends in time");
    let text = String::from_utf8_lossy(&received).into_owned();
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    RawReply { status, text }
}

/// Sends these bytes and reads until the connection is closed, as text.
///
/// # Panics
/// When the socket fails, or nothing ends it in time.
pub async fn until_closed(to: SocketAddr, bytes: &[u8]) -> String {
    let received = timeout(PATIENCE, async {
        let mut socket = TcpStream::connect(to).await.expect("somebody listens");
        socket.write_all(bytes).await.expect("the requests can be written");
        let mut received = Vec::new();
        socket.read_to_end(&mut received).await.expect("the answers can be read");
        received
    });
    String::from_utf8_lossy(&received.await.expect("the connection ends in time")).into_owned()
}

fn is_whole(received: &[u8]) -> bool {
    let text = String::from_utf8_lossy(received).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    length.map_or_else(|| body.ends_with("0\r\n\r\n"), |length: usize| body.len() >= length)
}

/// An HTTP/1.1 request with this request target and these header lines, each of any bytes.
#[must_use]
pub fn request(method: &str, target: &[u8], headers: &[&[u8]]) -> Vec<u8> {
    let mut bytes = [method.as_bytes(), b" ", target, b" HTTP/1.1\r\nhost: orders.example\r\nconnection: close\r\n"].concat();
    for header in headers {
        bytes.extend_from_slice(header);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// How an HTTP/2 peer first reacted to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// A response began.
    Headers,
    /// The stream was reset.
    Reset,
    /// The connection was given up.
    GoAway,
    /// The connection was closed without a word.
    Closed,
}

/// Sends one HTTP/2 request made of exactly these header fields, pseudo-headers included, in this order, as literals.
///
/// # Panics
/// When the socket fails, a field is longer than 16 KiB, or nothing comes back in time.
pub async fn http2(to: SocketAddr, fields: &[(&[u8], &[u8])]) -> Reaction {
    const DATA_OF_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    let block: Vec<u8> = fields.iter().flat_map(literal).collect();
    let length = u32::try_from(block.len()).expect("a short header block").to_be_bytes();
    // HEADERS (1) with END_STREAM and END_HEADERS, stream 1 (RFC 9113 §6.2).
    let head = [length[1], length[2], length[3], 1, 0x5, 0, 0, 0, 1];
    let bytes = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", DATA_OF_SETTINGS, &head, &block].concat();
    timeout(PATIENCE, async {
        let mut socket = TcpStream::connect(to).await.expect("Envoy listens");
        socket.write_all(&bytes).await.expect("the request can be written");
        loop {
            let mut frame = [0; 9];
            if socket.read_exact(&mut frame).await.is_err() {
                return Reaction::Closed;
            }
            let mut payload = vec![0; usize::from(frame[0]) << 16 | usize::from(frame[1]) << 8 | usize::from(frame[2])];
            if socket.read_exact(&mut payload).await.is_err() {
                return Reaction::Closed;
            }
            match frame[3] {
                1 => return Reaction::Headers,
                3 => return Reaction::Reset,
                7 => return Reaction::GoAway,
                _ => {}
            }
        }
    })
    .await
    .expect("a reaction in time")
}

/// A literal header field without indexing and a new name (RFC 7541 §6.2.2), no Huffman coding.
fn literal((name, value): &(&[u8], &[u8])) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        integer(text.len(), &mut bytes);
        bytes.extend_from_slice(text);
    }
    bytes
}

/// An integer with a prefix of seven bits (RFC 7541 §5.1).
fn integer(value: usize, bytes: &mut Vec<u8>) {
    let Some(mut rest) = value.checked_sub(127) else {
        bytes.push(u8::try_from(value).unwrap_or(0));
        return;
    };
    bytes.push(127);
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap_or(0) | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap_or(0));
}
