//! Proofs that were taken, so that none is taken twice (RFC 9449 §11.1). Of one worker: others have memories of their own.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use crate::primitives::limits;
use crate::primitives::time::Timestamp;
use crate::token::confirmation::Thumbprint;

/// A proof by its key and its `jti`: half of a digest, whose collisions could only deny.
pub(crate) type ProofId = [u8; 16];

pub(crate) fn proof_id(key: &Thumbprint, jti: &str) -> ProofId {
    let digest = Sha256::new().chain_update(key).chain_update(jti).finalize();
    let mut id = ProofId::default();
    id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    id
}

/// Why a proof is not to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Untaken {
    /// It may have been forgotten.
    Old,
    /// It was taken before.
    Replayed,
    /// There is no room to remember it.
    NoRoom,
}

/// The memory.
#[derive(Default)]
pub(crate) struct ProofMemory {
    /// By `iat`.
    taken: HashMap<ProofId, u64>,
    /// Proofs of an earlier `iat` were let go of. Should a policy's time turn longer, they are too old all the same.
    reaches_back_to: u64,
    purged: u64,
}

impl ProofMemory {
    /// May the proof be taken? `oldest`: an earlier `iat` is too old anyway.
    pub(crate) fn is_new(&mut self, id: &ProofId, issued: u64, oldest: u64, latest: Timestamp) -> Result<(), Untaken> {
        if issued < self.reaches_back_to {
            return Err(Untaken::Old);
        }
        if self.taken.contains_key(id) {
            return Err(Untaken::Replayed);
        }
        if self.taken.len() >= limits::DPOP_PROOFS && self.purged != latest.seconds() {
            self.purged = latest.seconds();
            self.reaches_back_to = self.reaches_back_to.max(oldest);
            self.taken.retain(|_, issued| *issued >= self.reaches_back_to);
        }
        // One that could still be shown again is never let go of.
        if self.taken.len() >= limits::DPOP_PROOFS { Err(Untaken::NoRoom) } else { Ok(()) }
    }

    pub(crate) fn take(&mut self, id: ProofId, issued: u64) {
        self.taken.insert(id, issued);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> ProofId {
        proof_id(&[0; 32], &number.to_string())
    }

    fn take(memory: &mut ProofMemory, number: usize, issued: u64, latest: u64) -> Result<(), Untaken> {
        let oldest = latest.saturating_sub(limits::DPOP_PROOF_SECONDS);
        memory.is_new(&id(number), issued, oldest, Timestamp::from_seconds(latest))?;
        memory.take(id(number), issued);
        Ok(())
    }

    #[test]
    fn a_full_memory_forgets_only_what_is_too_old() {
        let mut memory = ProofMemory::default();
        let late = limits::DPOP_PROOFS - 2;
        for number in 0..limits::DPOP_PROOFS {
            assert_eq!(take(&mut memory, number, 1000 + u64::from(number >= late), 1001), Ok(()));
        }
        let more = limits::DPOP_PROOFS;
        assert_eq!(take(&mut memory, more, 1001, 1001), Err(Untaken::NoRoom));
        assert_eq!(take(&mut memory, more, 1060, 1060), Err(Untaken::NoRoom), "all of them could still be shown");
        assert_eq!(take(&mut memory, 0, 1000, 1060), Err(Untaken::Replayed));
        assert_eq!(take(&mut memory, more, 1061, 1061), Ok(()), "all but two are too old");
        assert_eq!(take(&mut memory, late, 1001, 1061), Err(Untaken::Replayed), "and those two are known");
        // A longer time, or a clock that steps back, brings nothing back that was let go of.
        let oldest = 0;
        assert_eq!(memory.is_new(&id(0), 1000, oldest, Timestamp::from_seconds(1000)), Err(Untaken::Old));
    }

    #[test]
    fn a_proof_is_its_key_and_its_jti() {
        assert_ne!(proof_id(&[0; 32], "a"), proof_id(&[1; 32], "a"));
        assert_ne!(proof_id(&[0; 32], "a"), proof_id(&[0; 32], "b"));
    }
}
