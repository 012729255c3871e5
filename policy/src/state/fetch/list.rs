//! A status list as its issuer publishes it: a signed token around a packed array (draft-ietf-oauth-status-list §4, §5.1, §8.3).

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_zlib_with_limit};
use serde_json::{Map, Value};

use super::keys::body;
use super::{Answer, Failure, signed};
use crate::primitives::limits;
use crate::primitives::time::Timestamp;
use crate::rules::issuers::Issuer;
use crate::token::claims::NumericDate;
use crate::token::keys::{KeyFingerprint, KeySet, VerifySignature};

/// A list that is held: its array alone, and what says for how long.
pub(crate) struct List {
    /// Bits of one entry: 1, 2, 4 or 8.
    bits: u8,
    packed: Box<[u8]>,
    /// `iat`.
    issued: u64,
    /// From this instant on it says nothing any more, in Unix seconds.
    until: u64,
    refresh: Duration,
    /// The key that signed it.
    key: KeyFingerprint,
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List").field("bits", &self.bits).field("until", &self.until).finish_non_exhaustive()
    }
}

/// What a list must fit.
pub(super) struct Expected<'e> {
    pub(super) name: &'e str,
    pub(super) issuer: &'e Issuer,
    pub(super) keys: &'e KeySet,
    pub(super) uri: &'e str,
    pub(super) most_bytes: usize,
    /// The list that is held of the same place.
    pub(super) held: Option<&'e List>,
    /// The clock, and the latest instant of the worker.
    pub(super) now: Timestamp,
    pub(super) latest: Timestamp,
}

/// The longest answer that can hold a list of this size: incompressible, and twice in base64.
pub(super) fn longest_body(most_bytes: usize) -> usize {
    most_bytes / 9 * 16 + 16 * 1024
}

impl List {
    pub(super) fn read(answer: Answer<'_>, expected: &Expected<'_>, verifier: &dyn VerifySignature) -> Result<Self, Failure> {
        let Expected { name, issuer, keys, uri, most_bytes, held, now, latest } = *expected;
        let most = longest_body(most_bytes);
        let jws = signed::parse(body(answer, most)?.trim_ascii(), "statuslist+jwt", most)?;
        let key = signed::signer(&jws, &signed::candidates(&jws, issuer, keys)?, verifier)?;
        let claims = &jws.payload;
        if claims.get("sub").and_then(Value::as_str) != Some(uri) || claims.get("iss").is_some_and(|issuer| issuer != name) {
            return Err(Failure::OfAnother);
        }
        let issued = instant(claims, "iat")?.ok_or(Failure::Malformed)?.up;
        let expires = instant(claims, "exp")?.map_or(u64::MAX, |expires| expires.down);
        // One that claims to be of next year would make every later one too old.
        let ahead = now.seconds().saturating_add(limits::STATUS_LIST_AHEAD);
        if issued > ahead || instant(claims, "nbf")?.is_some_and(|begins| begins.up > ahead) {
            return Err(Failure::NotYetValid);
        }
        if expires <= latest.seconds() {
            return Err(Failure::Expired);
        }
        // A list by a key that is gone says nothing, not even how old its successor must be.
        if held.is_some_and(|held| issued < held.issued && keys.has(held.key)) {
            return Err(Failure::Older);
        }
        let (lives, refresh) = times(ttl(claims)?, expires, latest);
        let list = claims.get("status_list").and_then(Value::as_object).ok_or(Failure::Malformed)?;
        let bits = list.get("bits").and_then(Value::as_u64).and_then(|bits| u8::try_from(bits).ok());
        let bits = bits.filter(|bits| matches!(bits, 1 | 2 | 4 | 8)).ok_or(Failure::Malformed)?;
        let text = list.get("lst").and_then(Value::as_str).ok_or(Failure::Malformed)?;
        let packed = inflate(text, most_bytes)?;
        let until = latest.seconds().saturating_add(lives);
        Ok(Self { bits, packed, issued, until, refresh, key: key.fingerprint() })
    }

    /// The entry at a place (§4.1: the first is in the lowest bits of the first byte); `None` beyond the end.
    pub(super) fn entry(&self, index: u64) -> Option<u8> {
        let bit = index.checked_mul(u64::from(self.bits))?;
        let byte = self.packed.get(usize::try_from(bit / 8).ok()?)?;
        Some((byte >> (bit % 8)) & (u8::MAX >> (8 - self.bits)))
    }

    /// Does it still say anything, and would its key still sign for the issuer?
    pub(super) fn holds(&self, keys: Option<&KeySet>, latest: Timestamp) -> bool {
        latest.seconds() < self.until && keys.is_some_and(|keys| keys.has(self.key))
    }

    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        (self.bits, &self.packed, self.key) == (other.bits, &other.packed, other.key)
    }

    pub(super) fn until(&self) -> u64 {
        self.until
    }

    pub(super) fn refresh(&self) -> Duration {
        self.refresh
    }

    /// How many entries it has.
    pub(super) fn entries(&self) -> usize {
        self.packed.len() * 8 / usize::from(self.bits)
    }
}

/// Seconds that a list says something for, and after which time the next one is fetched. `ttl` is how long a copy may be kept
/// (§5.1), so that a fresh one is fetched at half of it, and a copy that is older says nothing.
fn times(ttl: Option<u64>, expires: u64, latest: Timestamp) -> (u64, Duration) {
    let unsaid = if expires == u64::MAX { limits::STATUS_LIST_UNSAID } else { limits::STATUS_LIST_LONGEST };
    let longest = ttl.map_or(unsaid, |ttl| ttl.clamp(limits::STATUS_LIST_SHORTEST, limits::STATUS_LIST_LONGEST));
    let lives = longest.min(expires.saturating_sub(latest.seconds()));
    let most = if ttl.is_some() { limits::STATUS_REFRESH_MOST } else { limits::STATUS_REFRESH };
    let refresh = Duration::from_secs(lives / 2).clamp(limits::STATUS_REFRESH_LEAST, most);
    (lives, refresh)
}

fn instant(claims: &Map<String, Value>, name: &str) -> Result<Option<NumericDate>, Failure> {
    claims.get(name).map(|value| NumericDate::read(value).ok_or(Failure::Malformed)).transpose()
}

/// A positive number (§5.1), not always a whole one.
fn ttl(claims: &Map<String, Value>) -> Result<Option<u64>, Failure> {
    let Some(value) = claims.get("ttl") else { return Ok(None) };
    let number = value.as_f64().filter(|number| *number > 0.0).ok_or(Failure::Malformed)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and saturating is as good as any bound"
    )]
    let seconds = number as u64;
    Ok(Some(seconds))
}

/// `lst` (§4.2): base64url of zlib. What would be larger than the bound is given up while it grows.
fn inflate(text: &str, most_bytes: usize) -> Result<Box<[u8]>, Failure> {
    let compressed = URL_SAFE_NO_PAD.decode(text).map_err(|_| Failure::Malformed)?;
    match decompress_to_vec_zlib_with_limit(&compressed, most_bytes) {
        // A copy, and not the buffer cut to size: what stays would stand where the next buffer has to grow, and lists that are
        // fetched anew would come to twice their memory.
        Ok(packed) => Ok(packed.as_slice().into()),
        Err(error) if error.status == TINFLStatus::HasMoreOutput => Err(Failure::TooLarge),
        Err(_) => Err(Failure::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(bits: u8, packed: &[u8]) -> List {
        let key = known_key();
        List { bits, packed: packed.into(), issued: 0, until: 0, refresh: Duration::ZERO, key }
    }

    fn known_key() -> KeyFingerprint {
        crate::token::keys::known_answers().first().expect("some").key.fingerprint()
    }

    /// The examples of §4.1.
    #[test]
    fn entries_are_packed_from_the_lowest_bits() {
        let ones = list(1, &[0xb9, 0xa3]);
        let entries: Vec<_> = (0..17).map(|index| ones.entry(index)).collect();
        let expected = [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1].map(Some);
        assert_eq!(entries, [&expected[..], &[None]].concat());
        let twos = list(2, &[0xc9, 0x44, 0xf9]);
        let entries: Vec<_> = (0..13).map(|index| twos.entry(index)).collect();
        assert_eq!(entries, [&[1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3].map(Some)[..], &[None]].concat());
        assert_eq!((list(4, &[0x21]).entry(1), list(8, &[7, 0xff]).entry(1)), (Some(2), Some(0xff)));
        assert_eq!((list(8, &[7]).entry(u64::MAX), ones.entries(), twos.entries()), (None, 16, 12));
    }

    #[test]
    fn what_is_in_a_list_is_inflated_within_its_bound() {
        // The `lst` of §4.2's example.
        assert_eq!(*inflate("eNrbuRgAAhcBXQ", 2).unwrap(), [0xb9, 0xa3]);
        assert_eq!(inflate("eNrbuRgAAhcBXQ", 1), Err(Failure::TooLarge));
        for wrong in ["", "eNrbuRgAAhcBXQ==", "eNrbuRgAAhcB", "eNrbuRgAAhcBXA", "27kYAA", "!"] {
            assert_eq!(inflate(wrong, 100), Err(Failure::Malformed), "{wrong}");
        }
    }

    #[test]
    fn a_list_lives_as_long_as_it_says_within_bounds_and_is_fetched_again_before() {
        let now = Timestamp::from_seconds(1000);
        let times = |ttl, expires| {
            let (lives, refresh) = times(ttl, expires, now);
            (lives, refresh.as_secs())
        };
        assert_eq!(times(Some(60), u64::MAX), (60, 30));
        assert_eq!(times(Some(60), 1020), (20, 10));
        assert_eq!(times(Some(43_200), u64::MAX), (43_200, 300));
        assert_eq!(times(Some(u64::MAX), u64::MAX), (86_400, 300));
        assert_eq!(times(Some(0), u64::MAX), (10, 5));
        assert_eq!(times(None, 1000 + 7200), (7200, 60));
        assert_eq!(times(None, 1002), (2, 5));
        assert_eq!(times(None, u64::MAX), (3600, 60));
    }
}
