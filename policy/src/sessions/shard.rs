//! A shard: what is kept of some sessions, as bytes that all workers of a proxy read and write.

use crate::limits;

/// A session's identity: the first half of a SHA-256 over issuer and session, which nobody can make another's.
pub(crate) type Id = [u8; 16];

/// What a session was ended for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Too many denials in the window.
    Denials,
    /// It came from elsewhere.
    ContextChange,
    /// It was not used for too long.
    Idle,
}

impl Ending {
    /// As records name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Denials => "denials",
            Self::ContextChange => "context_change",
            Self::Idle => "idle",
        }
    }

    fn code(ending: Option<Self>) -> u8 {
        match ending {
            None => 0,
            Some(Self::Denials) => 1,
            Some(Self::ContextChange) => 2,
            Some(Self::Idle) => 3,
        }
    }

    fn from_code(code: u8) -> Option<Option<Self>> {
        Some(match code {
            0 => None,
            1 => Some(Self::Denials),
            2 => Some(Self::ContextChange),
            3 => Some(Self::Idle),
            _ => return None,
        })
    }
}

/// What is kept of one session. Times are milliseconds of [`crate::SharedState::elapsed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: Id,
    pub(crate) ended: Option<Ending>,
    /// Until then it is kept: after that no token of the session that there was can be valid.
    pub(crate) keep_until: u64,
    pub(crate) used: u64,
    /// Where it came from when it was first seen.
    pub(crate) context: Id,
    /// When it was denied, the latest last.
    pub(crate) denials: Vec<u64>,
}

/// Bytes of an entry without its denials.
const ENTRY: usize = 16 + 1 + 8 + 8 + 16 + 1;

/// The bytes are not what a worker writes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads a shard. `None` of the bytes is an empty one.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Entry>, Malformed> {
    if bytes.len() > limits::SHARD_BYTES {
        return Err(Malformed);
    }
    let mut rest = bytes;
    let mut entries = Vec::with_capacity(bytes.len() / ENTRY);
    while !rest.is_empty() {
        let id = take::<16>(&mut rest)?;
        let [ended] = take::<1>(&mut rest)?;
        let keep_until = u64::from_le_bytes(take::<8>(&mut rest)?);
        let used = u64::from_le_bytes(take::<8>(&mut rest)?);
        let context = take::<16>(&mut rest)?;
        let [count] = take::<1>(&mut rest)?;
        let mut denials = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            denials.push(u64::from_le_bytes(take::<8>(&mut rest)?));
        }
        entries.push(Entry { id, ended: Ending::from_code(ended).ok_or(Malformed)?, keep_until, used, context, denials });
    }
    Ok(entries)
}

/// Writes a shard; `None` when it has no room for all of them.
pub(crate) fn write(entries: &[Entry]) -> Option<Vec<u8>> {
    let size = entries.iter().map(|entry| ENTRY + 8 * entry.denials.len()).sum();
    if size > limits::SHARD_BYTES {
        return None;
    }
    let mut bytes = Vec::with_capacity(size);
    for Entry { id, ended, keep_until, used, context, denials } in entries {
        bytes.extend_from_slice(id);
        bytes.push(Ending::code(*ended));
        bytes.extend_from_slice(&keep_until.to_le_bytes());
        bytes.extend_from_slice(&used.to_le_bytes());
        bytes.extend_from_slice(context);
        bytes.push(u8::try_from(denials.len()).ok()?);
        denials.iter().for_each(|at| bytes.extend_from_slice(&at.to_le_bytes()));
    }
    Some(bytes)
}

fn take<const SIZE: usize>(rest: &mut &[u8]) -> Result<[u8; SIZE], Malformed> {
    let (taken, after) = rest.split_first_chunk::<SIZE>().ok_or(Malformed)?;
    *rest = after;
    Ok(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u8, denials: usize) -> Entry {
        let ended = [None, Some(Ending::Denials), Some(Ending::ContextChange), Some(Ending::Idle)][usize::from(id) % 4];
        Entry { id: [id; 16], ended, keep_until: u64::from(id) << 40, used: 7, context: [id + 1; 16], denials: vec![9; denials] }
    }

    #[test]
    fn what_is_written_is_read() {
        let entries: Vec<Entry> = (0..8).map(|id| entry(id, usize::from(id))).collect();
        assert_eq!(read(&write(&entries).unwrap()).unwrap(), entries);
        assert_eq!(read(&[]).unwrap(), []);
    }

    #[test]
    fn a_shard_has_an_end() {
        let many = vec![entry(1, 0); limits::SHARD_BYTES / ENTRY];
        assert!(write(&many).is_some());
        assert_eq!(write(&[many, vec![entry(2, 0)]].concat()), None);
    }

    #[test]
    fn other_bytes_are_refused() {
        let good = write(&[entry(1, 2), entry(2, 0)]).unwrap();
        for end in (1..good.len()).filter(|end| *end != ENTRY + 16) {
            assert_eq!(read(&good[..end]), Err(Malformed), "{end}");
        }
        let mut other = good;
        other[16] = 4;
        assert_eq!(read(&other), Err(Malformed));
        assert_eq!(read(&vec![0; limits::SHARD_BYTES + 1]), Err(Malformed));
    }
}
