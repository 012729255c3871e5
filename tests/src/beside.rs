//! `policy-host serve` beside an Envoy: the same filter and policy in front of the same target, so that the answers can be compared.

use crate::{scenario::CREDENTIAL, wasm};
use policy_host::{
    host::{FailurePolicy, Module, Plugin, ProxyOptions, VmOptions},
    serve::{self, Pool, ServeOptions, Upstream},
};
use serde_json::Value;
use std::{net::SocketAddr, path::Path, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::oneshot,
    task::JoinHandle,
};

/// A running `serve`; it ends when dropped.
pub struct Beside {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Beside {
    /// The shipped filter under this policy, in front of this target, with two workers.
    pub async fn start(policy: &Value, upstream: SocketAddr) -> Self {
        Self::with(policy, upstream, wasm::chaperone(), FailurePolicy::Reload, 2).await
    }

    /// The same with another filter, another answer to a trap, or other workers.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn with(policy: &Value, upstream: SocketAddr, wasm: &Path, failure: FailurePolicy, workers: usize) -> Self {
        let module = Module::load(wasm).expect("the filter has been built");
        let environment = vec![(CREDENTIAL.0.to_owned(), CREDENTIAL.1.to_owned())];
        let vm = VmOptions { vm_id: "chaperone".into(), environment, ..VmOptions::default() };
        let plugin = Plugin { name: "chaperone".into(), root_id: "chaperone".into() };
        let pool = Pool::start(&module, &ProxyOptions { vm, plugin, workers, failure }).expect("the filter starts");
        pool.update(policy.to_string().as_bytes()).expect("a good policy");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let upstream = Upstream::Http { address: upstream.to_string() };
        let options = ServeOptions { listener, pool: Arc::new(pool), upstream, on_log: Arc::new(|_| {}) };
        tokio::spawn(serve::run(options, async {
            stopped.await.ok();
        }));
        Self { address, _stop: stop }
    }

    /// Where callers connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A target that knows HTTP/1.1 alone and answers with literal bytes, one request a connection; it ends when dropped.
pub struct Literal {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Literal {
    /// Answers as told by the request's first line.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound socket has an address");
        let answer = Arc::new(answer);
        let serving = tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let answer = Arc::clone(&answer);
                tokio::spawn(async move {
                    let mut received = Vec::new();
                    while !received.windows(4).any(|end| end == b"\r\n\r\n") {
                        if !socket.read_buf(&mut received).await.is_ok_and(|size| size > 0) {
                            return;
                        }
                    }
                    let text = String::from_utf8_lossy(&received).into_owned();
                    // A proxy that goes away is nothing to report.
                    socket.write_all(answer(text.lines().next().unwrap_or_default()).as_bytes()).await.ok();
                });
            }
        });
        Self { address, serving }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Literal {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
