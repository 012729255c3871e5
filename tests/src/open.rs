//! A stream that stays open: the target's answer has begun and does not end.

use crate::{
    client::{Call, Connection, Error, Protocol},
    mesh::Mesh,
};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// No cut takes longer, unless there is none.
const PATIENCE: Duration = Duration::from_secs(20);

/// A stream that is being read.
pub struct Open {
    /// Keeps the connection.
    _connection: Connection,
    body: Incoming,
    /// Its audit id.
    pub audit_id: String,
}

impl Open {
    /// Opens it, and reads the first piece of the answer.
    ///
    /// # Panics
    /// When it is not let through.
    pub async fn start(mesh: &Mesh, call: &Call, protocol: Protocol) -> Self {
        Self::start_at(mesh.envoy.address(), call, protocol).await
    }

    /// The same at an address.
    ///
    /// # Panics
    /// When it is not let through.
    pub async fn start_at(address: SocketAddr, call: &Call, protocol: Protocol) -> Self {
        let mut connection = Connection::open(address, protocol).await.expect("Envoy listens");
        let response = connection.start(call).await.expect("a response");
        assert_eq!(response.status(), 200);
        let audit_id = response.headers()["x-chaperone-audit-id"].to_str().expect("an audit id").to_owned();
        let mut open = Self { _connection: connection, body: response.into_body(), audit_id };
        assert!(open.next().await.expect("its first piece").is_ok(), "its first piece");
        open
    }

    /// So many, on connections of their own, so that each worker has some.
    pub async fn several(mesh: &Mesh, call: &Call, number: usize) -> Vec<Self> {
        let mut open = Vec::new();
        for at in 0..number {
            open.push(Self::start(mesh, call, Protocol::ALL[at % 2]).await);
        }
        open
    }

    /// The next piece, or how it ended; `None` at its regular end.
    pub async fn next(&mut self) -> Option<Result<(), Error>> {
        self.body.frame().await.map(|frame| frame.map(drop).map_err(Into::into))
    }

    /// Waits until it is cut.
    ///
    /// # Panics
    /// When it is not.
    pub async fn cut(&mut self) -> Instant {
        let ended = timeout(PATIENCE, async { while let Some(Ok(())) = self.next().await {} }).await;
        assert!(ended.is_ok(), "a stream of an ended session goes on");
        Instant::now()
    }

    /// Is it still open and silent?
    pub async fn is_silent(&mut self) -> bool {
        timeout(Duration::from_millis(50), self.next()).await.is_err()
    }
}
