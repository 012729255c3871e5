//! Where a session is kept among what the workers share: chosen by a hash whose key nobody outside the proxy knows, so that nobody
//! can choose ids for one place.

use std::cell::OnceCell;

use super::entry::{Id, Malformed, Tag};
use crate::primitives::digest::{beginning, hash};
use crate::primitives::limits;
use crate::token::claims::Claims;

/// The key of the hash: random, and one for all workers that share.
#[derive(Clone, Copy)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// What a worker with this seed proposes where there is none yet. The seed's other uses begin with the seed.
    pub(super) fn proposed(seed: &[u8; 32]) -> Self {
        Self(hash(&[b"the key of what workers share", seed]))
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        bytes.try_into().map(Self).map_err(|_| Malformed)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The shards that a session may be kept in, and its id there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    pub(super) id: Id,
    /// All different. A later one only where those before have overflowed.
    pub(super) shards: [u8; limits::SHARD_CHOICES],
}

/// A session's spot and its subject's tag, computed when they are first needed.
#[derive(Debug, Default)]
pub(crate) struct StateKey {
    spot: OnceCell<Spot>,
    subject: OnceCell<Tag>,
}

impl StateKey {
    pub(super) fn spot(&self, key: &Key, claims: &Claims) -> Spot {
        *self.spot.get_or_init(|| {
            let whole = hash(&[&key.0, b"session", claims.issuer.as_bytes(), claims.session.as_bytes()]);
            let [.., first, step] = whole;
            // An odd step meets all 256 shards before it comes back.
            let mut shards = [first; limits::SHARD_CHOICES];
            shards.iter_mut().zip(0..).for_each(|(shard, nth)| *shard = first.wrapping_add((step | 1).wrapping_mul(nth)));
            Spot { id: beginning(&whole), shards }
        })
    }

    pub(super) fn subject(&self, key: &Key, claims: &Claims) -> Tag {
        let whole = || hash(&[&key.0, b"subject", claims.issuer.as_bytes(), claims.subject.as_bytes()]);
        *self.subject.get_or_init(|| beginning(&whole()))
    }
}
