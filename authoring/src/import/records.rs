//! The filter's own records, alone or in the lines of an access log, as requests with what they tell of the token's claims.

use super::{
    Drawn, Entry, LeftOut, Note,
    claims::{OfPolicy, place, put},
};
use crate::{recorded::BadLine, revoke::Found};
use chaperone_policy::{Reason, limits};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;

/// What the records in one entry come to.
#[derive(Debug)]
pub struct Records {
    /// Was there a record, or the place of one?
    pub of_a_filter: bool,
    /// Each one's request; one that says so where there was none.
    pub entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Line {
    authority: Option<String>,
    /// As the shipped log has it: a record of `audit.source: proxy` leaves it out.
    downstream_remote_address: Option<String>,
}

#[derive(Deserialize)]
struct Record {
    time: Option<i64>,
    status_code: Option<String>,
    actor: Option<Actor>,
    api: Option<Api>,
    http_request: HttpRequest,
    src_endpoint: Option<Endpoint>,
    unmapped: Option<Unmapped>,
}

#[derive(Deserialize)]
struct Actor {
    user: Option<User>,
    session: Option<Session>,
}

#[derive(Deserialize)]
struct User {
    uid: Option<String>,
}

#[derive(Deserialize)]
struct Session {
    uid: String,
    issuer: String,
    created_time: Option<i64>,
    expiration_time: Option<i64>,
    credential_uid: Option<String>,
}

#[derive(Deserialize)]
struct Api {
    operation: Option<String>,
}

#[derive(Deserialize)]
struct HttpRequest {
    http_method: String,
    url: Url,
}

#[derive(Deserialize)]
struct Url {
    path: String,
}

#[derive(Deserialize)]
struct Endpoint {
    ip: Option<String>,
    port: Option<u16>,
}

#[derive(Deserialize)]
struct Unmapped {
    decision: Option<String>,
    #[serde(default)]
    agent_chain: Vec<String>,
}

/// Reads the records of one entry. `authority` is for requests of which the log has none; the inner `None` of the result is such a
/// request where none is given.
///
/// # Errors
/// When the entry is no JSON object, or a record in it names no request.
pub fn records(entry: &[u8], authority: Option<&str>, policy: Option<OfPolicy<'_>>) -> Result<Option<Records>, BadLine> {
    let found = Found::in_line(entry)?;
    let line = serde_json::from_slice::<Line>(entry).ok();
    let authority = line.as_ref().and_then(|line| line.authority.as_deref()).and_then(super::said).or(authority);
    let logged = line.as_ref().and_then(|line| line.downstream_remote_address.as_deref()?.parse::<SocketAddr>().ok());
    let mut entries = Vec::with_capacity(found.records.len());
    for record in &found.records {
        let record = record.read()?;
        let Some(authority) = authority else { return Ok(None) };
        entries.push(request(record, authority, logged, policy));
    }
    if entries.is_empty() {
        entries.push(Entry::LeftOut(LeftOut::NoRecord));
    }
    Ok(Some(Records { of_a_filter: found.of_a_filter, entries }))
}

fn request(record: Record, authority: &str, logged: Option<SocketAddr>, policy: Option<OfPolicy<'_>>) -> Entry {
    let Record { time, status_code, actor, api, http_request: HttpRequest { http_method, url }, src_endpoint, unmapped } = record;
    // As the filter marks it.
    if url.path.len() > limits::RECORD_PATH_BYTES && url.path.ends_with("...") {
        return Entry::LeftOut(LeftOut::CutPath);
    }
    if http_method.is_empty() || url.path.is_empty() {
        return Entry::LeftOut(LeftOut::NoRequest);
    }
    let mut drawn = Drawn::new(http_method, &url.path, authority.to_owned());
    drawn.at = time.and_then(|time| Timestamp::from_millisecond(time).ok());
    if drawn.at.is_none() {
        drawn.notes.push(Note::NoTime);
    }
    let recorded = src_endpoint.and_then(|Endpoint { ip, port }| Some(SocketAddr::new(ip?.parse().ok()?, port.unwrap_or(0))));
    drawn.source_address = recorded.or(logged).map(|source| source.to_string());
    let (user, session) = actor.map_or((None, None), |Actor { user, session }| (user.and_then(|user| user.uid), session));
    let Unmapped { decision, agent_chain } = unmapped.unwrap_or(Unmapped { decision: None, agent_chain: Vec::new() });
    let Some(session) = session else {
        drawn.notes.push(Note::NoSession);
        return Entry::Request(Box::new(drawn));
    };
    let listed = decision.as_deref() == Some("allow") || status_code.is_some_and(|code| comes_after_the_list(&code));
    let allowed = listed.then(|| api.and_then(|api| api.operation)).flatten();
    drawn.claims = Some(Value::Object(claims(session, user, &agent_chain, allowed, policy, &mut drawn.notes)));
    Entry::Request(Box::new(drawn))
}

/// Had the token's own list named the command where this was the reason? Each request is denied for the first thing that is wrong.
fn comes_after_the_list(code: &str) -> bool {
    let after = Reason::ALL.iter().skip_while(|reason| **reason != Reason::CommandNotInToken).skip(1);
    after.into_iter().any(|reason| reason.code() == code)
}

fn claims(
    session: Session,
    subject: Option<String>,
    agents: &[String],
    allowed: Option<String>,
    policy: Option<OfPolicy<'_>>,
    notes: &mut Vec<Note>,
) -> Map<String, Value> {
    let Session { uid, issuer: name, created_time, expiration_time, credential_uid } = session;
    let issuer = policy.and_then(|policy| policy.issuer(&name));
    let mut claims = Map::new();
    claims.insert("iss".to_owned(), json!(name));
    claims.extend(subject.map(|subject| ("sub".to_owned(), json!(subject))));
    claims.extend(credential_uid.map(|id| ("jti".to_owned(), json!(id))));
    // A session ends when its token does, or before.
    claims.extend(expiration_time.map(|time| ("exp".to_owned(), json!(time.div_euclid(1000)))));
    if let Some(started) = created_time.map(|time| time.div_euclid(1000)) {
        claims.insert("iat".to_owned(), json!(started));
        put(&mut claims, &place(issuer, "started", &["iat"]), json!(started));
    }
    put(&mut claims, &place(issuer, "session", &["sid"]), json!(uid));
    match issuer.and_then(|issuer| issuer.pointer("/audiences/0")) {
        // A claim that stands for `aud` is asked only where there is none.
        Some(audience) => drop(claims.insert("aud".to_owned(), audience.clone())),
        None => notes.push(Note::NoAudience),
    }
    let at = place(issuer, "agent", &["act", "sub"]);
    if at == ["act", "sub"] {
        // RFC 8693 §4.1: the outermost is who acts now.
        let chain = agents.iter().rev().fold(None, |inner: Option<Value>, agent| {
            let mut act = Map::from_iter([("sub".to_owned(), json!(agent))]);
            act.extend(inner.map(|inner| ("act".to_owned(), inner)));
            Some(Value::Object(act))
        });
        claims.extend(chain.map(|chain| ("act".to_owned(), chain)));
    } else if let Some(agent) = agents.first() {
        put(&mut claims, &at, json!(agent));
    }
    if let Some(command) = allowed.filter(|_| policy.is_some_and(OfPolicy::wants_commands)) {
        put(&mut claims, &place(issuer, "commands", &["commands"]), json!([command]));
        notes.push(Note::CommandsAssumed);
    }
    claims
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Value {
        json!({
            "metadata": {"uid": "a-1", "product": {"name": "Chaperone"}}, "time": 1_795_428_000_123_i64,
            "actor": {"user": {"uid": "agent-7"}, "session": {"uid": "s-1", "issuer": "https://broker.example",
                "created_time": 1_795_428_000_000_i64, "expiration_time": 1_795_428_600_000_i64, "credential_uid": "t-1"}},
            "api": {"operation": "orders.list"}, "http_request": {"http_method": "GET", "url": {"path": "/v1/orders"}},
            "src_endpoint": {"ip": "192.0.2.7", "port": 5},
            "unmapped": {"decision": "allow", "agent_chain": ["planner", "crawler"]},
        })
    }

    fn read(entry: &Value, policy: Option<&Value>) -> Vec<Entry> {
        let found = records(entry.to_string().as_bytes(), Some("orders.example"), policy.map(OfPolicy::new)).unwrap();
        found.unwrap().entries
    }

    fn drawn(entry: &Value, policy: Option<&Value>) -> Drawn {
        match read(entry, policy).remove(0) {
            Entry::Request(drawn) => *drawn,
            Entry::LeftOut(why) => panic!("{why}"),
        }
    }

    #[test]
    fn a_record_tells_the_request_and_most_of_the_claims() {
        let policy = json!({
            "tokens": {"issuers": [{"issuer": "https://broker.example", "audiences": ["orders"], "claims": {"session": "jti"}}]},
            "session": {"token_commands": "required"},
        });
        for entry in [record(), json!({"session_audit": [record()]}), json!({"session_audit": record().to_string()})] {
            let drawn = drawn(&entry, Some(&policy));
            assert_eq!(drawn.source_address.as_deref(), Some("192.0.2.7:5"));
            assert_eq!(drawn.at.unwrap().to_string(), "2026-11-23T10:00:00.123Z");
            assert_eq!(
                drawn.claims.unwrap(),
                json!({"iss": "https://broker.example", "sub": "agent-7", "jti": "s-1", "aud": "orders", "iat": 1_795_428_000,
                    "exp": 1_795_428_600, "commands": ["orders.list"], "act": {"sub": "planner", "act": {"sub": "crawler"}}})
            );
            assert_eq!(drawn.notes, [Note::CommandsAssumed]);
        }
        assert_eq!(drawn(&record(), None).notes, [Note::NoAudience]);
    }

    #[test]
    fn the_address_that_a_record_leaves_out_is_the_logs() {
        let with = |source: Value, logged: &str| {
            let mut record = record();
            record["src_endpoint"] = source;
            drawn(&json!({"downstream_remote_address": logged, "session_audit": [record]}), None).source_address
        };
        assert_eq!(with(json!({}), "192.0.2.9:7").as_deref(), Some("192.0.2.9:7"));
        assert_eq!(with(json!({"ip": "192.0.2.7", "port": 5}), "192.0.2.9:7").as_deref(), Some("192.0.2.7:5"), "who was judged");
        assert_eq!(with(json!({}), "a pipe"), None);
        let mut without = record();
        without.as_object_mut().unwrap().remove("src_endpoint");
        assert_eq!(drawn(&without, None).source_address, None);
    }

    #[test]
    fn a_denial_after_the_tokens_list_shows_that_the_list_named_the_command() {
        let policy = json!({"session": {"token_commands": "required"}});
        for (code, listed) in [("command_not_granted", true), ("command_not_in_token", false), ("revoked", false), ("", false)] {
            let mut denied = record();
            denied["unmapped"]["decision"] = json!("deny");
            denied["status_code"] = json!(code);
            let claims = drawn(&denied, Some(&policy)).claims.unwrap();
            assert_eq!(claims.get("commands"), listed.then(|| json!(["orders.list"])).as_ref(), "{code}");
        }
    }

    #[test]
    fn what_a_record_does_not_have_is_not_made_up() {
        let mut nobody = record();
        nobody["actor"] = json!({"user": {"type_id": 0}});
        assert_eq!((drawn(&nobody, None).claims, drawn(&nobody, None).notes), (None, vec![Note::NoSession]));
        let mut long = record();
        long["http_request"]["url"]["path"] = json!(format!("/{}...", "a".repeat(1024)));
        assert_eq!(read(&long, None), [Entry::LeftOut(LeftOut::CutPath)]);
        assert_eq!(read(&json!({"session_audit": []}), None), [Entry::LeftOut(LeftOut::NoRecord)]);
        assert!(records(record().to_string().as_bytes(), None, None).unwrap().is_none(), "no authority anywhere");
        assert!(records(b"{\"session_audit\":[{\"time\":1}]}", None, None).unwrap_err().message.contains("http_request"));
    }
}
