//! What one issuer has ended: found by what it names, and as bytes that workers share.

use std::collections::HashMap;

use crate::primitives::limits;
use crate::token::claims::Claims;

/// The kind of event that ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventKind {
    /// CAEP 1.0 §3.1.
    SessionRevoked,
    /// CAEP 1.0 §3.2.
    TokenClaimsChange,
    /// CAEP 1.0 §3.3.
    CredentialChange,
    /// RISC §2.2.
    AccountDisabled,
    /// More events than there is room for.
    TooMany,
}

impl EventKind {
    const ALL: [Self; 5] =
        [Self::SessionRevoked, Self::TokenClaimsChange, Self::CredentialChange, Self::AccountDisabled, Self::TooMany];

    /// As its URI ends, and records name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SessionRevoked => "session-revoked",
            Self::TokenClaimsChange => "token-claims-change",
            Self::CredentialChange => "credential-change",
            Self::AccountDisabled => "account-disabled",
            Self::TooMany => "too many events",
        }
    }
}

/// What an event names, in the terms of our claims.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Named {
    /// The session claim.
    Session(String),
    /// `sub`.
    Subject(String),
    /// `jti`.
    Token(String),
    /// All that the issuer has.
    Everyone,
}

/// What an event ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) named: Named,
    /// Only what was issued before this instant, in Unix seconds; `None` for all, whenever that is issued.
    pub(crate) before: Option<u64>,
    /// Is it the token's own time that counts, and not when its session started, if that was earlier?
    pub(crate) of_tokens: bool,
    pub(crate) event: EventKind,
    /// The event's `jti`.
    pub(crate) id: String,
}

/// All that one issuer has ended and that could still be used. Of endings of the same the widest.
#[derive(Debug, Default)]
pub(super) struct Endings(HashMap<(Named, bool), Kept>);

#[derive(Debug, PartialEq, Eq)]
struct Kept {
    before: Option<u64>,
    /// After that nothing that it names can be valid, in Unix seconds.
    until: u64,
    event: EventKind,
    id: String,
}

/// What came of endings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// All of it was known.
    Nothing,
    Some,
    /// There is no room for all of them.
    Full,
}

impl Kept {
    /// Ends what the other ends as well, for as long as either would; false where it did.
    fn widen(&mut self, other: Self) -> bool {
        let before = self.before.zip(other.before).map(|(known, new)| known.max(new));
        let until = self.until.max(other.until);
        let same = (before, until) == (self.before, self.until);
        if !same {
            *self = Self { before, until, ..other };
        }
        !same
    }
}

impl Endings {
    /// Why a session is ended.
    pub(super) fn find(&self, claims: &Claims) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let token = claims.token_id.iter().map(|token| Named::Token(token.clone()));
        let others = [Named::Session(claims.session.clone()), Named::Subject(claims.subject.clone()), Named::Everyone];
        let keys = token.chain(others).flat_map(|named| [(named.clone(), false), (named, true)]);
        for key in keys {
            let issued = if key.1 { claims.issued } else { claims.issued.min(claims.started) };
            let found = self.0.get(&key).filter(|kept| kept.before.is_none_or(|before| issued < before));
            if let Some(kept) = found {
                let (event, issuer) = (kept.event.name(), &claims.issuer);
                return Some(match &*kept.id {
                    "" => format!("{event} from {issuer}"),
                    id => format!("{event} from {issuer} (jti {id})"),
                });
            }
        }
        None
    }

    /// Adds endings, and drops what cannot be used any more: `keep` seconds after it was ended, by this clock.
    ///
    /// Where there is no room, first nothing is said any more of which event it was; then everything of the issuer is ended that is from
    /// before, in the place of all that names a time; what is ended whenever it was issued stays. Where not even that has room, all from
    /// before is ended as well, and what is new is [`Added::Full`]: it is to come again.
    pub(super) fn add(&mut self, new: &[Ending], keep: u64, now: u64) -> Added {
        self.0.retain(|_, kept| kept.until > now);
        let mut added = Added::Nothing;
        let mut whole = Vec::new();
        for Ending { named, before, of_tokens, event, id } in new {
            let until = before.unwrap_or(now).saturating_add(keep);
            if until <= now {
                continue;
            }
            let key = (named.clone(), *of_tokens);
            let ending = Kept { before: *before, until, event: *event, id: id.clone() };
            let is_new = match self.0.get_mut(&key) {
                Some(known) => known.widen(ending),
                None => {
                    if before.is_none() {
                        whole.push(key.clone());
                    }
                    self.0.insert(key, ending);
                    true
                }
            };
            if is_new {
                added = Added::Some;
            }
        }
        if self.size() > limits::EVENT_BYTES {
            self.0.values_mut().for_each(|kept| kept.id.clear());
        }
        if self.size() > limits::EVENT_BYTES {
            self.end_all_before(keep, now);
        }
        if self.size() > limits::EVENT_BYTES {
            whole.iter().for_each(|key| drop(self.0.remove(key)));
            added = Added::Full;
        }
        added
    }

    fn end_all_before(&mut self, keep: u64, now: u64) {
        let latest = self.0.values().filter_map(|kept| kept.before).chain([now.saturating_add(1)]).max().unwrap_or(now);
        let all = Kept { before: Some(latest), until: latest.saturating_add(keep), event: EventKind::TooMany, id: String::new() };
        self.0.retain(|_, kept| kept.before.is_none());
        self.0.insert((Named::Everyone, false), all);
    }

    fn size(&self) -> usize {
        self.0.iter().map(|((named, _), kept)| HEAD + named.text().len() + kept.id.len()).sum()
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.size());
        for ((named, of_tokens), kept) in &self.0 {
            let event = EventKind::ALL.iter().position(|event| *event == kept.event).and_then(|place| u8::try_from(place).ok());
            bytes.extend_from_slice(&[named.code(), u8::from(*of_tokens), event.unwrap_or(u8::MAX)]);
            bytes.extend_from_slice(&kept.before.unwrap_or(u64::MAX).to_le_bytes());
            bytes.extend_from_slice(&kept.until.to_le_bytes());
            for text in [named.text(), &kept.id] {
                bytes.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
        }
        bytes
    }

    /// `None` where the bytes are not what a worker writes.
    pub(super) fn read(mut rest: &[u8]) -> Option<Self> {
        let mut all = HashMap::new();
        while !rest.is_empty() {
            let [code, of_tokens, event] = take::<3>(&mut rest)?;
            let before = Some(u64::from_le_bytes(take(&mut rest)?)).filter(|before| *before != u64::MAX);
            let until = u64::from_le_bytes(take(&mut rest)?);
            let named = Named::from(code, take_text(&mut rest)?)?;
            let event = *EventKind::ALL.get(usize::from(event))?;
            all.insert((named, of_tokens == 1), Kept { before, until, event, id: take_text(&mut rest)? });
        }
        Some(Self(all))
    }
}

/// Bytes of an ending without its texts.
const HEAD: usize = 3 + 8 + 8 + 2 + 2;

impl Named {
    fn code(&self) -> u8 {
        match self {
            Self::Session(_) => 0,
            Self::Subject(_) => 1,
            Self::Token(_) => 2,
            Self::Everyone => 3,
        }
    }

    fn from(code: u8, text: String) -> Option<Self> {
        match code {
            0 => Some(Self::Session(text)),
            1 => Some(Self::Subject(text)),
            2 => Some(Self::Token(text)),
            3 => Some(Self::Everyone),
            _ => None,
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Session(text) | Self::Subject(text) | Self::Token(text) => text,
            Self::Everyone => "",
        }
    }
}

fn take<const SIZE: usize>(rest: &mut &[u8]) -> Option<[u8; SIZE]> {
    let (taken, after) = rest.split_first_chunk::<SIZE>()?;
    *rest = after;
    Some(*taken)
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    let size = usize::from(u16::from_le_bytes(take(rest)?));
    let (text, after) = rest.split_at_checked(size)?;
    *rest = after;
    String::from_utf8(text.to_vec()).ok()
}
