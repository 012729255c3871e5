//! What issuers publish, as the clusters of a local proxy: it answers the filter's callouts.

use crate::host::{CalloutAnswer, CalloutRequest, CalloutResponse, Clock, Clusters};
use chaperone_authoring::published::Published;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// What is published in a proxy that runs.
#[derive(Debug, Clone)]
pub struct Site {
    published: Arc<Mutex<Published>>,
    answered: Arc<AtomicUsize>,
}

impl Site {
    /// The clusters of a proxy in which this is published, and the handle by which it can be changed.
    #[must_use]
    pub fn clusters(published: Published, clock: Clock) -> (Clusters, Self) {
        let site = Self { published: Arc::new(Mutex::new(published)), answered: Arc::default() };
        let shared = site.clone();
        let clusters = Clusters::new(move |request: &CalloutRequest| {
            let header = |name: &[u8]| {
                let found = request.headers.iter().find(|(found, _)| found == name);
                String::from_utf8_lossy(found.map(|(_, value)| value.as_slice()).unwrap_or_default()).into_owned()
            };
            let url = format!("https://{}{}", header(b":authority"), header(b":path"));
            match shared.lock().answer(&url, clock.wall() / 1_000_000_000) {
                Some((status, body)) => {
                    shared.answered.fetch_add(1, Ordering::Relaxed);
                    CalloutAnswer::Response(CalloutResponse::new(status, body), Duration::ZERO)
                }
                None => CalloutAnswer::NoCluster,
            }
        });
        (clusters, site)
    }

    /// How often something was fetched from it.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// To look at it, or to change it.
    pub fn lock(&self) -> MutexGuard<'_, Published> {
        // Whoever held the lock and panicked left a map that is whole.
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
