//! The ways round a session that a policy with a credential leaves open: notes, as whether they lead anywhere is the target's to say.

use super::{Linter, and, items};
use crate::source::{Severity, policy::credentials};
use serde_json::Value;

/// The stable name of these notes.
pub(in crate::source) const CODE: &str = "way_round";

impl Linter<'_> {
    pub(super) fn ways_round(&mut self) {
        let policy = self.policy;
        let given: Vec<(String, &Value)> = credentials(policy).collect();
        let Some((first, _)) = given.first() else { return };
        let first = first.clone();
        let strips = |name: &str| {
            items(policy, "/upstream/strip").any(|(_, item)| item.as_str().is_some_and(|item| item.eq_ignore_ascii_case(name)))
        };
        let refuses = |kind: &str| items(policy, "/upstream/direct_credentials/refuse").any(|(_, item)| item == kind);
        if !strips("cookie") {
            self.find(
                Severity::Note,
                &first,
                "a caller's own `cookie` reaches the target beside its credential: where it opens a session there, that is a way round this one",
                "write `strip: [cookie]` in `upstream`, or make sure that the target takes none",
            );
        }
        let open: Vec<&str> = [("basic", "Basic"), ("opaque_bearer", "Bearer")]
            .into_iter()
            .filter(|(kind, _)| !refuses(kind))
            .map(|(_, scheme)| scheme)
            .collect();
        let in_authorization = |credential: &Value| match credential.get("header").and_then(Value::as_str) {
            Some(name) => name.eq_ignore_ascii_case("authorization"),
            None => credential.get("query").is_none(),
        };
        // Where the credential takes its place no other gets through, but with what needs no session.
        let replaced = given.iter().all(|(_, credential)| in_authorization(credential) && credential.get("for").is_none());
        let unmediated = items(policy, "/unmediated").next().is_some();
        if !open.is_empty() && !strips("authorization") && (unmediated || !replaced) {
            let with = if replaced { " of a command that needs no session" } else { "" };
            self.find(
                Severity::Note,
                &first,
                format!("a caller's own `authorization: {}`{with} reaches the target: who has its credential goes on without a session", and(&open)),
                "write `direct_credentials: {refuse: [basic, opaque_bearer]}` in `upstream`, with each header that the target takes a key in",
            );
        }
        for (pointer, _) in given.iter().filter(|(_, credential)| credential.get("query").is_some()) {
            self.find(
                Severity::Note,
                &format!("{pointer}/query"),
                "the credential goes into the path: whoever logs `:path` behind the filter, Envoy's access log among them, logs it",
                "give it to the target in a header, or log `%PATH(NQ)%` or the filter's record in its place",
            );
        }
    }
}
