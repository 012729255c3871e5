//! Whose tokens are taken, by which keys and claims.

use super::{Lint, Linter, items};
use crate::token::accepted;
use chaperone_policy::{KeyNote, key_notes};
use serde_json::Value;

/// What Entra calls `scope`, also a text with spaces; where Okta has it, it is a list.
const SCOPE: &str = "scp";

impl Linter<'_> {
    pub(super) fn issuers(&mut self) {
        for (pointer, issuer) in items(self.policy, "/tokens/issuers") {
            let name = issuer.get("issuer").and_then(Value::as_str).unwrap_or_default();
            if issuer.get("types").is_none() {
                self.warn(
                    Lint::TypesMissing,
                    &format!("{pointer}/issuer"),
                    format!("any token that `{name}` signs for this audience opens a session, an ID token too"),
                    "say which `typ` a session token has, such as `types: [session+jwt]` or `types: [at+jwt]`",
                );
            }
            self.keys(&pointer, issuer);
            if let Some(path) = issuer.pointer("/claims/issued") {
                self.warn(
                    Lint::IssuedStandIn,
                    &format!("{pointer}/claims/issued"),
                    format!("in a token without `iat`, {path} says when it was issued: lifetimes and `issued_before` go by that"),
                    "have the issuer write `iat`, and remove this; or write `# check: allow issued_stand_in` beside it where the \
                     issuer never sets that claim to another time",
                );
            }
            if let Some(path) = issuer.pointer("/claims/audience") {
                self.warn(
                    Lint::AudienceStandIn,
                    &format!("{pointer}/claims/audience"),
                    format!(
                        "in a token without `aud`, {path} says who it is for; that names who got it: whoever else takes tokens of \
                         this client can use them here"
                    ),
                    "have the issuer write `aud`, and remove this; or write `# check: allow audience_stand_in` beside it where the \
                     client is for this service alone",
                );
            }
        }
        for (pointer, grant) in items(self.policy, "/grants") {
            let by_name = grant.pointer("/when/claims").and_then(Value::as_object);
            if by_name.is_some_and(|claims| claims.contains_key(SCOPE)) {
                self.warn(
                    Lint::ScopeWhole,
                    &format!("{pointer}/when/claims/{SCOPE}"),
                    format!("where `{SCOPE}` is a text with spaces, it must be this as a whole"),
                    format!("write the conditions as a list, for a word of it: `claims: [{{claim: {SCOPE}, word: …}}]`, or `contains` for a list"),
                );
            }
        }
    }

    fn keys(&mut self, pointer: &str, issuer: &Value) {
        let set = issuer.pointer("/keys/jwks/keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for note in key_notes(set, &accepted(issuer)) {
            match note {
                KeyNote::PassedOver(place, why) => self.warn(
                    Lint::KeyPassedOver,
                    &format!("{pointer}/keys/jwks/keys/{place}"),
                    format!("no token is verified with this key: {why}"),
                    "take it out of the set",
                ),
                KeyNote::SmallExponent(place) => self.warn(
                    Lint::KeyExponentSmall,
                    &format!("{pointer}/keys/jwks/keys/{place}/e"),
                    "an RSA key with an exponent below 65537: it leaves the least room for mistakes in others' software",
                    "have the issuer make a key with the exponent 65537 (`AQAB`), or an EC key",
                ),
            }
        }
    }
}
