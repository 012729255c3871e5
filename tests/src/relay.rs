//! A relay between two peers that keeps what it carries: what a process really sent and was sent, whatever it says of that itself.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    join,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Each direction of each connection has its own bytes, so that nothing that is looked for stands in two halves.
type Carried = Arc<Mutex<Vec<Vec<u8>>>>;

/// A running relay; it ends when dropped.
pub struct Relay {
    address: SocketAddr,
    carried: Carried,
    serving: JoinHandle<()>,
}

impl Relay {
    /// Carries everything to `behind` and back.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn start(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound socket has an address");
        let carried = Carried::default();
        let shared = Arc::clone(&carried);
        let serving = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let carried = Arc::clone(&shared);
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(behind).await else { return };
                    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
                    join!(carry(near_read, far_write, &carried), carry(far_read, near_write, &carried));
                });
            }
        });
        Self { address, carried, serving }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that it has carried so far, in both directions.
    ///
    /// # Panics
    /// When a task of it has panicked.
    #[must_use]
    pub fn carried(&self) -> String {
        let carried = self.carried.lock().expect("nobody panics with it");
        carried.iter().map(|bytes| format!("{}\n", String::from_utf8_lossy(bytes))).collect()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// One direction, to its end. It is kept before it is passed on: who has been sent something finds it here.
async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, carried: &Carried) {
    let index = {
        let mut all = carried.lock().expect("nobody panics with it");
        all.push(Vec::new());
        all.len() - 1
    };
    let mut piece = [0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        carried.lock().expect("nobody panics with it")[index].extend_from_slice(&piece[..length]);
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
    to.shutdown().await.ok();
}
