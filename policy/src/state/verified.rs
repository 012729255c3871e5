//! Tokens whose signature has been checked, so that it is not checked with every request.
//!
//! Nothing here is a verdict: a kept token is judged again whenever the policy is another one, and one that was pushed out is
//! verified again. So who pushes out whom is a matter of speed alone, and one caller must not slow down the others: a session
//! keeps its newest few, and of all others the ones go that have not been used since they were last looked at.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::{Rc, Weak};

use crate::primitives::ascii::same;
use crate::primitives::digest::hash;
use crate::primitives::limits;
use crate::primitives::time::Timestamp;
use crate::rules::policy::Policy;
use crate::state::session::Session;
use crate::state::tally::Tally;
use crate::token::jws::{Jws, Malformed};
use crate::token::keys::KeyFingerprint;

/// A token whose signature held, and under which key. Not a verdict: the policy may have dropped the key since. Kept as its text, which
/// is read again where another policy judges it: taken apart it would be three times as large, and there are thousands.
pub(crate) struct Verified {
    text: Box<[u8]>,
    pub(crate) fingerprint: KeyFingerprint,
    /// Its `exp`, in Unix seconds.
    expires: u64,
    judged: RefCell<Option<Judged>>,
    /// The digest of its text, once somebody has needed it.
    digest: OnceCell<[u8; 32]>,
    /// It was presented again since the hand last came by.
    used: Cell<bool>,
    /// It has its place among those that are kept.
    kept: Cell<bool>,
    /// Heads that it came with since one was known.
    unlike: Cell<u32>,
}

/// What the last policy that saw a token made of it, and the epoch of the keys that had been fetched by then.
struct Judged {
    /// The weak pointer keeps the old policy's address from being used again, not its rules.
    by: Weak<Policy>,
    epoch: u64,
    session: Rc<Session>,
}

/// Its payload is the session's, and nobody else's to print.
impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").finish_non_exhaustive()
    }
}

impl Verified {
    pub(crate) fn new(text: &[u8], fingerprint: KeyFingerprint, expires: u64) -> Self {
        Self {
            text: text.into(),
            fingerprint,
            expires,
            judged: RefCell::new(None),
            digest: OnceCell::new(),
            used: Cell::new(false),
            kept: Cell::new(false),
            unlike: Cell::new(0),
        }
    }

    /// Takes it apart, if it has at most so many bytes.
    pub(crate) fn read_within(&self, most: usize) -> Result<Jws<'_>, Malformed> {
        Jws::parse_within(&self.text, most)
    }

    /// The digest of its text; of a text that is not its own it is nobody's.
    pub(crate) fn digest_of(&self, text: &[u8]) -> [u8; 32] {
        *self.digest.get_or_init(|| hash(&[text]))
    }

    /// It is among those that are kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept.get()
    }

    /// It was presented with a head that is known.
    pub(crate) fn comes_again(&self) {
        self.used.set(true);
        self.unlike.set(0);
    }

    /// Is it worth while to learn one more head that it comes with? Not where each is another one, but for trying now and then.
    pub(crate) fn may_come_again(&self) -> bool {
        const TRIED: u32 = 16;
        const BETWEEN: u32 = 64;
        let unlike = self.unlike.get();
        self.unlike.set(unlike.wrapping_add(1));
        self.used.get() && (unlike < TRIED || unlike.is_multiple_of(BETWEEN))
    }

    /// The same, where it was needed before.
    pub(crate) fn digest(&self) -> Option<&[u8; 32]> {
        self.digest.get()
    }

    pub(crate) fn session_under(&self, policy: &Rc<Policy>, epoch: u64) -> Option<Rc<Session>> {
        let judged = self.judged.borrow();
        let judged = judged.as_ref()?;
        (std::ptr::eq(judged.by.as_ptr(), Rc::as_ptr(policy)) && judged.epoch == epoch).then(|| Rc::clone(&judged.session))
    }

    pub(crate) fn remember(&self, policy: &Rc<Policy>, epoch: u64, session: &Rc<Session>) {
        *self.judged.borrow_mut() = Some(Judged { by: Rc::downgrade(policy), epoch, session: Rc::clone(session) });
    }
}

/// Tokens by their whole text: no digest of it could be made to collide.
#[derive(Default)]
pub(crate) struct VerifiedTokens {
    /// Where among the places the token is that ends so.
    by_tail: HashMap<Tail, usize>,
    /// All of them in the order of the hand; an empty place is also in `free`.
    places: Vec<Option<Slot>>,
    free: Vec<usize>,
    hand: usize,
    bytes: usize,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
}

struct Slot {
    verified: Rc<Verified>,
    session: Rc<Tally>,
}

impl VerifiedTokens {
    pub(crate) fn get(&self, token: &[u8]) -> Option<Rc<Verified>> {
        let place = *self.by_tail.get(tail(token)?)?;
        let slot = self.places.get(place)?.as_ref().filter(|slot| same(&slot.verified.text, token))?;
        slot.verified.used.set(true);
        Some(Rc::clone(&slot.verified))
    }

    pub(crate) fn len(&self) -> usize {
        self.by_tail.len()
    }

    /// Keeps a token, which may push out others: an older one of its session where that has its share, and those that nobody
    /// has used for a round of the hand.
    pub(crate) fn keep(&mut self, verified: &Rc<Verified>, session: &Rc<Tally>, now: Timestamp) {
        let Some(tail) = tail(&verified.text) else { return };
        // The same text under another key: the older one is of no use any more.
        if let Some(place) = self.by_tail.get(tail) {
            self.let_go(*place);
        }
        let oldest = |session: &Tally| {
            let kept = session.kept.borrow();
            kept.front().copied().filter(|_| kept.len() >= limits::TOKENS_OF_A_SESSION)
        };
        while let Some(place) = oldest(session) {
            self.let_go(place);
        }
        while !self.has_room(verified.text.len()) {
            if !self.turn(now) {
                return;
            }
        }
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        let Some(empty) = self.places.get_mut(place) else { return };
        verified.kept.set(true);
        *empty = Some(Slot { verified: Rc::clone(verified), session: Rc::clone(session) });
        self.bytes += verified.text.len();
        session.kept.borrow_mut().push_back(place);
        self.by_tail.insert(*tail, place);
    }

    /// Moves the hand on (second chance, or clock: F. J. Corbató, 1968): what was used since it last came by stays for
    /// another round, anything else goes. False when there is nothing left.
    fn turn(&mut self, now: Timestamp) -> bool {
        if self.by_tail.is_empty() {
            return false;
        }
        let place = self.hand;
        self.hand = if place + 1 < self.places.len() { place + 1 } else { 0 };
        if let Some(Some(Slot { verified, .. })) = self.places.get(place) {
            let stays = verified.used.replace(false) && verified.expires > now.seconds();
            if !stays {
                self.let_go(place);
            }
        }
        true
    }

    fn let_go(&mut self, place: usize) {
        let Some(Slot { verified, session }) = self.places.get_mut(place).and_then(Option::take) else {
            // Never: but a session that named such a place would be asked for ever.
            return;
        };
        verified.kept.set(false);
        self.free.push(place);
        self.bytes -= verified.text.len();
        if let Some(tail) = tail(&verified.text) {
            self.by_tail.remove(tail);
        }
        session.kept.borrow_mut().retain(|kept| *kept != place);
    }

    fn has_room(&self, size: usize) -> bool {
        self.by_tail.len() < limits::VERIFIED_TOKENS && self.bytes + size <= limits::VERIFIED_TOKEN_BYTES
    }
}

/// The end of a token's text, by which it is found. A token ends with its signature, and of the tokens that are kept, whose
/// signatures hold, no caller can make two end alike. All of it is compared all the same. `None` for what has no room for one.
type Tail = [u8; 16];

fn tail(text: &[u8]) -> Option<&Tail> {
    text.last_chunk()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::keys::{Algorithm, VerificationKey};

    const NOW: u64 = 1_795_428_000;
    const MANY: usize = limits::VERIFIED_TOKENS;

    struct Bench {
        tokens: VerifiedTokens,
        key: KeyFingerprint,
        now: Timestamp,
    }

    impl Bench {
        fn new() -> Self {
            let jwk = serde_json::json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"});
            let key = VerificationKey::embedded(&jwk, Algorithm::Es256).unwrap().fingerprint();
            Self { tokens: VerifiedTokens::default(), key, now: Timestamp::from_seconds(NOW) }
        }

        fn keep(&mut self, text: &[u8], session: &Rc<Tally>, expires: u64) {
            let verified = Rc::new(Verified::new(text, self.key, expires));
            self.tokens.keep(&verified, session, self.now);
            // What the parts say of each other.
            let filled = self.tokens.places.iter().flatten();
            assert_eq!(filled.clone().count(), self.tokens.len());
            assert_eq!(filled.map(|place| place.verified.text.len()).sum::<usize>(), self.tokens.bytes);
            assert_eq!(self.tokens.places.len(), self.tokens.len() + self.tokens.free.len());
        }

        fn has(&mut self, text: &[u8]) -> bool {
            self.tokens.get(text).is_some()
        }
    }

    fn text(number: usize) -> Vec<u8> {
        format!("{number:064}").into_bytes()
    }

    #[test]
    fn a_session_keeps_its_newest_few_and_pushes_out_nobody_else() {
        let mut bench = Bench::new();
        let (one, other) = (Rc::new(Tally::default()), Rc::new(Tally::default()));
        let neighbour = b"a token of another session";
        bench.keep(neighbour, &other, NOW + 1);
        for number in 0..4300 {
            bench.keep(&text(number), &one, NOW + 600);
        }
        assert!(bench.has(neighbour));
        assert_eq!(bench.tokens.len(), 1 + limits::TOKENS_OF_A_SESSION);
        let newest = 4300 - limits::TOKENS_OF_A_SESSION;
        assert!(!bench.has(&text(newest - 1)) && (newest..4300).all(|number| bench.has(&text(number))));
        // The same text once more, under another key say, is one token.
        bench.keep(&text(4299), &other, NOW + 600);
        assert_eq!((one.kept.borrow().len(), other.kept.borrow().len()), (limits::TOKENS_OF_A_SESSION - 1, 2));
    }

    #[test]
    fn what_is_used_stays_and_what_is_not_or_has_run_out_goes() {
        let mut bench = Bench::new();
        let session = |_| Rc::new(Tally::default());
        for number in 0..MANY {
            bench.keep(&text(number), &session(number), if number == 1 { NOW } else { NOW + 600 });
        }
        for flood in 0..3 * MANY {
            assert!(bench.has(&text(0)), "after {flood}");
            if flood == 0 {
                assert!(bench.has(&text(1)));
            }
            bench.keep(&text(MANY + flood), &session(flood), NOW + 600);
            assert_eq!(bench.tokens.len(), MANY);
        }
        assert!(!bench.has(&text(1)), "used, and of no use any more");
        assert!(!bench.has(&text(2)));
    }

    #[test]
    fn long_tokens_are_bounded_by_their_bytes() {
        let mut bench = Bench::new();
        let long = |number: usize| [vec![b'x'; limits::TOKEN_BYTES - 64], text(number)].concat();
        for number in 0..2000 {
            bench.keep(&long(number), &Rc::new(Tally::default()), NOW + 600);
        }
        assert_eq!(bench.tokens.len(), limits::VERIFIED_TOKEN_BYTES / limits::TOKEN_BYTES);
        assert!(bench.has(&long(1999)));
    }

    #[test]
    fn a_token_is_known_by_all_of_its_text() {
        let mut bench = Bench::new();
        let session = Rc::new(Tally::default());
        let (one, other) = (b"one token, with an end that is alike", b"two tokens with an end that is alike");
        bench.keep(one, &session, NOW + 600);
        assert!(bench.has(one) && !bench.has(other) && !bench.has(&one[1..]) && !bench.has(b"alike"));
        bench.keep(other, &session, NOW + 600);
        assert!(bench.has(other) && !bench.has(one), "one of two that end alike is kept");
        bench.keep(b"too short", &session, NOW + 600);
        assert_eq!(bench.tokens.len(), 1);
    }
}
