//! What a server gives out to be shown again (the protocol's session, tasks, the state of a request) belongs to one session. It is
//! not kept in a table, which would have an end: a MAC (RFC 2104) that ties it to its session goes out with it and comes back.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::commands::mcp::message::HandleKind;
use crate::primitives::reason::Reason;
use crate::state::worker::Worker;
use crate::token::claims::Claims;

/// The variable of the proxy's environment with a key for these MACs. With it handles are good at every proxy that has it, and
/// after a restart; without, the workers of one proxy share a random one.
const VARIABLE: &str = "CHAPERONE_HANDLE_KEY";
/// Its shortest value, in bytes.
const LEAST: usize = 32;
/// Between a handle and its MAC. What follows the last one is the MAC.
const DIVIDER: char = '.';
/// Bytes of the MAC that go out: 128 bits.
const SHOWN: usize = 16;

/// The key of the MACs.
#[derive(Clone)]
pub(crate) struct HandleKey(Hmac<Sha256>);

impl std::fmt::Debug for HandleKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HandleKey")
    }
}

impl HandleKey {
    fn new(key: &[u8]) -> Result<Self, Reason> {
        Hmac::new_from_slice(key).map(Self).map_err(|_| Reason::InternalError)
    }

    fn mac(&self, claims: &Claims, kind: HandleKind, text: &str) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        for part in ["chaperone handle 1", kind.name(), &claims.issuer, &claims.session, text] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }

    /// The handle as the caller gets it.
    pub(crate) fn tie(&self, claims: &Claims, kind: HandleKind, text: &str) -> String {
        let whole = self.mac(claims, kind, text).finalize().into_bytes();
        let shown = URL_SAFE_NO_PAD.encode(whole.get(..SHOWN).unwrap_or_default());
        format!("{text}{DIVIDER}{shown}")
    }

    /// The handle as its server gave it out; `None` when it was not given to this session.
    pub(crate) fn untie<'t>(&self, claims: &Claims, kind: HandleKind, tied: &'t str) -> Option<&'t str> {
        let (text, shown) = tied.rsplit_once(DIVIDER)?;
        let shown = URL_SAFE_NO_PAD.decode(shown).ok().filter(|shown| shown.len() == SHOWN)?;
        self.mac(claims, kind, text).verify_truncated_left(&shown).ok()?;
        Some(text)
    }
}

impl Worker {
    /// The key of the MACs: that of the environment, or the one that the workers of this proxy share.
    pub(crate) fn handle_key(&mut self) -> Result<HandleKey, Reason> {
        if let Some(key) = &self.handle_key {
            return Ok(key.clone());
        }
        let given = self.environment().get(VARIABLE).map(|given| given.expose().as_bytes().to_vec());
        let key = match given {
            Some(given) if given.len() >= LEAST => HandleKey::new(&given)?,
            // Too short to be a key: whoever guesses it has everybody's handles.
            Some(_) => return Err(Reason::InternalError),
            None => HandleKey::new(&self.sessions.derived_key(b"handles").map_err(|stop| stop.reason)?)?,
        };
        self.handle_key = Some(key.clone());
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(issuer: &str, session: &str) -> Claims {
        Claims { issuer: issuer.to_owned(), session: session.to_owned(), ..Claims::default() }
    }

    #[test]
    fn a_handle_is_good_in_its_session_and_for_its_kind_alone() {
        let key = HandleKey::new(&[7; 32]).unwrap();
        let mine = claims("https://a", "s-1");
        for text in ["abc", "", "a.b.c", "caf\u{e9}"] {
            let tied = key.tie(&mine, HandleKind::Task, text);
            assert_eq!(key.untie(&mine, HandleKind::Task, &tied), Some(text));
            assert_eq!(key.untie(&mine, HandleKind::Session, &tied), None);
            assert_eq!(key.untie(&claims("https://a", "s-2"), HandleKind::Task, &tied), None);
            assert_eq!(key.untie(&claims("https://b", "s-1"), HandleKind::Task, &tied), None);
            assert_eq!(HandleKey::new(&[8; 32]).unwrap().untie(&mine, HandleKind::Task, &tied), None);
            // Neither a part of it nor more than it.
            assert_eq!(key.untie(&mine, HandleKind::Task, &format!("x{tied}")), None);
            assert_eq!(
                key.untie(&mine, HandleKind::Task, &tied.chars().take(tied.chars().count() - 1).collect::<String>()),
                None
            );
            assert_eq!(key.untie(&mine, HandleKind::Task, &format!("{tied}A")), None);
            assert_eq!(key.untie(&mine, HandleKind::Task, text), None);
        }
        // Where one part of what is under the MAC ends and the next begins takes part.
        let tied = key.tie(&claims("https://a", "s-11"), HandleKind::Task, "x");
        assert_eq!(key.untie(&claims("https://as", "-11"), HandleKind::Task, &tied), None);
        assert_eq!(format!("{key:?}"), "HandleKey");
    }
}
