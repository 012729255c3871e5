//! The claims of a verified token, parsed once into what the checks need (RFC 7519 §4, RFC 8693 §4, RFC 9396).

mod commands;
mod fault;
mod paths;

use serde_json::{Map, Value};

use self::fault::{Claim, Found, Wanted};
use crate::primitives::ascii::fits_audit_value;
use crate::primitives::limits;
use crate::token::confirmation::Confirmation;

pub(crate) use self::commands::{ARGUMENTS, CommandLists};
pub(crate) use self::fault::Invalid;
pub(crate) use self::paths::{ClaimPath, ClaimPaths, FirstOf};

/// What a token says of its session. Times are Unix seconds; a fraction never lengthens anything: what is over is over with the
/// second in which it is, and what begins does so with the next one.
#[derive(Debug)]
#[cfg_attr(test, derive(Default))]
pub(crate) struct Claims {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) session: String,
    pub(crate) expires: u64,
    pub(crate) issued: u64,
    pub(crate) started: u64,
    pub(crate) not_before: Option<u64>,
    /// None of `nbf`, `iat` and the session's start is later.
    pub(crate) begins: u64,
    /// Who acts, outermost hop first.
    pub(crate) agents: Vec<String>,
    pub(crate) token_id: Option<String>,
    pub(crate) commands: CommandLists,
    /// `cnf` (RFC 7800), which somebody must check.
    pub(crate) confirmation: Option<Confirmation>,
}

impl Claims {
    /// Reads what is there strictly: a claim that is present and of the wrong type is invalid, also where it is optional.
    pub(crate) fn read(
        all: &Map<String, Value>,
        issuer: &str,
        audiences: &[String],
        paths: &ClaimPaths,
    ) -> Result<Self, Invalid> {
        let own_issued = Ok(all.get("iat").or_else(|| paths.issued.as_ref()?.find(all)));
        let issued = time(own_issued, Claim::Issued)?;
        let started = match &paths.started {
            None => issued,
            Some(paths) => time(paths.descend(all), Claim::Started)?,
        };
        // A session does not begin after its token is issued; were it believed, `started` would lengthen the session.
        if started.down > issued.down {
            return Err(Wanted::Time.but(Claim::Started, Found::AfterIssue));
        }
        let not_before = all.get("nbf").map(|value| time(Ok(Some(value)), Claim::Named("nbf"))).transpose()?;
        Ok(Self {
            issuer: issuer.to_owned(),
            subject: identifier(Ok(all.get("sub")), Claim::Named("sub"))?,
            session: identifier(paths.session.descend(all), Claim::Session)?,
            expires: time(Ok(all.get("exp")), Claim::Named("exp"))?.down,
            issued: issued.down,
            started: started.down,
            not_before: not_before.map(|date| date.up),
            begins: not_before.map_or(0, |date| date.up).max(issued.up).max(started.up),
            agents: agent_chain(all, &paths.agent)?,
            token_id: all.get("jti").map(|value| identifier(Ok(Some(value)), Claim::Named("jti"))).transpose()?,
            commands: CommandLists::read(all, &paths.commands, audiences)?,
            confirmation: Confirmation::read(all),
        })
    }
}

/// An instant between two whole seconds, or at one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NumericDate {
    pub(crate) down: u64,
    pub(crate) up: u64,
}

impl NumericDate {
    /// A NumericDate (RFC 7519 §2), from 0 to [`limits::LATEST_SECONDS`]; `None` for anything else.
    pub(crate) fn read(value: &Value) -> Option<Self> {
        if let Some(seconds) = value.as_u64() {
            return (seconds <= limits::LATEST_SECONDS).then_some(Self { down: seconds, up: seconds });
        }
        // 2^38 is beyond the year 9999, and far below where a double has no fractions.
        let seconds = value.as_f64().filter(|seconds| (0.0..274_877_906_944.0).contains(seconds))?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and within the range above")]
        let (down, up) = (seconds.floor() as u64, seconds.ceil() as u64);
        (up <= limits::LATEST_SECONDS).then_some(Self { down, up })
    }
}

fn time(value: Result<Option<&Value>, Found>, claim: Claim) -> Result<NumericDate, Invalid> {
    let invalid = |found| Wanted::Time.but(claim, found);
    let value = value.map_err(invalid)?.ok_or(invalid(Found::Nothing))?;
    let found = || if value.is_number() { Found::OutOfRange } else { Found::is(value) };
    NumericDate::read(value).ok_or_else(|| invalid(found()))
}

fn identifier(value: Result<Option<&Value>, Found>, claim: Claim) -> Result<String, Invalid> {
    let invalid = |found| Wanted::Text.but(claim, found);
    match value.map_err(invalid)? {
        None => Err(invalid(Found::Nothing)),
        // Whole in an audit header too, or two of them could look alike there.
        Some(Value::String(text)) if !text.is_empty() && fits_audit_value(text) => Ok(text.clone()),
        Some(other) => Err(invalid(Found::is(other))),
    }
}

/// The hops of an `act` chain (RFC 8693 §4.1): the path's way, again and again, until a hop has no further one.
fn agent_chain(all: &Map<String, Value>, paths: &FirstOf) -> Result<Vec<String>, Invalid> {
    let mut agents = Vec::new();
    let Some((last, way)) = paths.begun(all).and_then(|path| path.names().split_last()) else { return Ok(agents) };
    let mut members = all;
    loop {
        let hop = Claim::Hop(agents.len());
        for (step, name) in way.iter().enumerate() {
            match members.get(name) {
                None if step == 0 => return Ok(agents),
                None => return Err(Wanted::Text.but(hop, Found::Nothing)),
                Some(Value::Object(inner)) => members = inner,
                Some(other) => return Err(Wanted::Text.but(hop, Found::NoObject(other.into()))),
            }
        }
        if agents.len() >= limits::AGENT_CHAIN {
            return Err(Wanted::Text.but(hop, Found::Deep));
        }
        agents.push(identifier(Ok(members.get(last)), hop)?);
        if way.is_empty() {
            return Ok(agents);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::document::{At, Errors};

    fn read(change: Value) -> Result<Claims, Invalid> {
        let mut all = json!({"sub": "agent-7", "sid": "s-1", "iat": 100, "exp": 200});
        for (name, value) in change.as_object().unwrap() {
            all[name] = value.clone();
        }
        all.as_object_mut().unwrap().retain(|_, value| value != "absent");
        Claims::read(all.as_object().unwrap(), "https://broker.example", &["orders".to_owned()], &ClaimPaths::default())
    }

    fn paths(value: Value) -> ClaimPaths {
        let mut errors = Errors::default();
        let paths = ClaimPaths::read(&value, &At::ROOT, &mut errors);
        assert!(errors.is_empty(), "{}", errors.into_document_errors());
        paths.unwrap()
    }

    #[test]
    fn claims_of_the_wrong_type_are_invalid_not_absent() {
        assert!(read(json!({})).is_ok());
        let is_invalid = |name: &str, wrong: Value, found: &str| {
            let invalid = read(json!({name: wrong})).expect_err(name);
            let said = ClaimPaths::default().explain(&invalid);
            assert!(said.starts_with(&format!("`{name}` {found}; it must be ")), "{said}");
        };
        for name in ["exp", "iat", "nbf"] {
            for (wrong, found) in [
                (json!("9999"), "is a string"),
                (json!(null), "is null"),
                (json!(-1), "is out of range"),
                (json!(-0.5), "is out of range"),
                (json!(253_402_300_799.5), "is out of range"),
                (json!(1e300), "is out of range"),
                (json!([]), "is a list"),
                (json!(u64::MAX), "is out of range"),
            ] {
                is_invalid(name, wrong, found);
            }
        }
        for name in ["sub", "sid", "jti"] {
            for (wrong, found) in [
                (json!(""), "is empty"),
                (json!(7), "is a number"),
                (json!(null), "is null"),
                (json!(["s"]), "is a list"),
                (json!("x".repeat(257)), "has 257 bytes in an audit header"),
                (json!("é".repeat(43)), "has 258 bytes in an audit header"),
            ] {
                is_invalid(name, wrong, found);
            }
        }
        for name in ["exp", "iat", "sub", "sid"] {
            is_invalid(name, json!("absent"), "is missing");
        }
        let too_many = json!(vec!["a"; 257]);
        let too_many_words = json!(vec!["a"; 257].join(" "));
        for (wrong, found) in [
            (json!([1]), "[0] is not as it must be"),
            (json!(["a", "*x"]), "[1] is not as it must be"),
            (json!(null), "is null"),
            (json!({}), "is an object"),
            (too_many, "has 257 items"),
            (too_many_words, "has 257 items"),
        ] {
            let said = ClaimPaths::default().explain(&read(json!({"commands": wrong})).unwrap_err());
            assert_eq!(said.split("; ").next().unwrap().replace("commands`[", "commands` ["), format!("`commands` {found}"));
        }
    }

    #[test]
    fn a_fraction_of_a_second_never_lengthens() {
        let claims = read(json!({"iat": 100.25, "nbf": 100.5, "exp": 199.75})).unwrap();
        assert_eq!((claims.issued, claims.started, claims.expires), (100, 100, 199));
        assert_eq!((claims.not_before, claims.begins), (Some(101), 101));
        // Each for itself, where the others are earlier.
        assert_eq!(read(json!({"nbf": 100.5})).unwrap().begins, 101);
        let paths = paths(json!({"started": "auth_time"}));
        for (issued, started) in [(100.5, 50.0), (100.0, 100.5)] {
            let all = json!({"sub": "a", "sid": "s", "iat": issued, "auth_time": started, "exp": 200});
            assert_eq!(Claims::read(all.as_object().unwrap(), "i", &[], &paths).unwrap().begins, 101, "{issued} {started}");
        }
        let whole = read(json!({"iat": 100.0, "exp": 2e2})).unwrap();
        assert_eq!((whole.issued, whole.begins, whole.expires), (100, 100, 200));
    }

    #[test]
    fn the_first_claim_that_is_there_counts_and_must_be_good() {
        let paths =
            paths(json!({"session": {"first_of": ["sid", ["ctx", "id"], "jti"]}, "started": {"first_of": ["auth_time", "iat"]},
            "agent": {"first_of": [["act", "sub"], "azp"]}}));
        let read = |change: Value| {
            let mut all = json!({"sub": "a", "iat": 100, "exp": 200, "jti": "t-1"});
            all.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            Claims::read(all.as_object().unwrap(), "i", &[], &paths).map_err(|invalid| paths.explain(&invalid))
        };
        let session = |change: Value| read(change).map(|claims| claims.session);
        assert_eq!(session(json!({})).unwrap(), "t-1");
        assert_eq!(session(json!({"sid": "s-1"})).unwrap(), "s-1");
        assert_eq!(session(json!({"ctx": {"id": "c-1"}})).unwrap(), "c-1");
        assert_eq!(session(json!({"ctx": {}})).unwrap(), "t-1");
        // What is there and wrong is not passed over.
        for wrong in
            [json!({"sid": null}), json!({"sid": ""}), json!({"sid": 7}), json!({"ctx": "x"}), json!({"ctx": [{"id": "c"}]})]
        {
            assert!(session(wrong.clone()).is_err(), "{wrong}");
        }
        assert!(session(json!({"jti": 1})).unwrap_err().starts_with("`sid` or `ctx.id` or `jti` is a number; "));
        assert_eq!(read(json!({"auth_time": 40})).unwrap().started, 40);
        assert_eq!(read(json!({})).unwrap().started, 100);
        assert!(read(json!({"auth_time": 101})).is_err());
        assert_eq!(read(json!({"azp": "c"})).unwrap().agents, ["c"]);
        assert_eq!(read(json!({"azp": "c", "act": {"sub": "a", "act": {"sub": "b"}}})).unwrap().agents, ["a", "b"]);
        assert!(read(json!({"azp": "c", "act": {}})).is_err(), "half of a hop is nobody, not somebody else");
    }

    #[test]
    fn what_stands_in_for_a_claim_does_so_only_where_it_is_missing() {
        let paths = paths(json!({"issued": ["nbf"], "audience": "client_id"}));
        let read =
            |all: Value| Claims::read(all.as_object().unwrap(), "i", &[], &paths).map(|claims| (claims.issued, claims.started));
        assert_eq!(read(json!({"sub": "a", "sid": "s", "nbf": 90, "exp": 200})).ok(), Some((90, 90)));
        assert_eq!(read(json!({"sub": "a", "sid": "s", "iat": 100, "nbf": 90, "exp": 200})).ok(), Some((100, 100)));
        assert!(read(json!({"sub": "a", "sid": "s", "iat": "x", "nbf": 90, "exp": 200})).is_err());
        assert!(read(json!({"sub": "a", "sid": "s", "exp": 200})).is_err());
        let audience = |all: Value| paths.audience(all.as_object().unwrap()).cloned();
        assert_eq!(audience(json!({"client_id": "c"})), Some(json!("c")));
        assert_eq!(audience(json!({"client_id": "c", "aud": "a"})), Some(json!("a")));
        assert_eq!(audience(json!({"client_id": "c", "aud": null})), Some(json!(null)));
        assert_eq!(ClaimPaths::default().audience(json!({"client_id": "c"}).as_object().unwrap()), None);
    }

    #[test]
    fn a_scope_is_a_list_with_spaces() {
        let paths = paths(json!({"commands": "scope"}));
        let hold = |scope: Value, command: &str| {
            let all = json!({"sub": "a", "sid": "s", "iat": 100, "exp": 200, "scope": scope});
            Claims::read(all.as_object().unwrap(), "i", &[], &paths).map(|claims| claims.commands.hold(command, None))
        };
        assert_eq!(hold(json!("openid orders.list  orders.read "), "orders.read"), Ok(true));
        assert_eq!(hold(json!("openid orders.*"), "orders.read"), Ok(true));
        assert_eq!(hold(json!("openid orders.list"), "orders.read"), Ok(false));
        assert_eq!(
            hold(json!("https://graph.example/*/x orders.list"), "orders.list"),
            Ok(true),
            "what is no name is for others"
        );
        assert_eq!(hold(json!(""), "orders.read"), Ok(false), "a list of nothing, not no list");
        assert_eq!(hold(json!("orders.read\torders.list"), "orders.read"), Ok(false));
    }

    #[test]
    fn the_act_chain_is_read_from_the_outermost_hop() {
        let agents = |act: Value| read(json!({"act": act})).map(|claims| claims.agents);
        assert_eq!(read(json!({})).unwrap().agents, Vec::<String>::new());
        assert_eq!(agents(json!({"sub": "a", "act": {"sub": "b"}})).unwrap(), ["a", "b"]);
        let fault = |act: Value| ClaimPaths::default().explain(&agents(act).unwrap_err());
        assert!(fault(json!({"client_id": "a"})).starts_with("`act.sub` is missing; it must be a text"));
        assert!(fault(json!("a")).starts_with("what holds `act.sub` is a string, not an object; "));
        let inner = fault(json!({"sub": "a", "act": {"iss": "b"}}));
        assert!(inner.starts_with("`act.sub` of hop 2 of the chain is missing; "), "{inner}");
        let deep = (0..limits::AGENT_CHAIN).fold(json!({"sub": "x"}), |inner, _| json!({"sub": "x", "act": inner}));
        assert_eq!(agents(deep["act"].clone()).unwrap().len(), limits::AGENT_CHAIN);
        assert!(fault(deep).starts_with("`act.sub` of hop 9 of the chain goes on for more than 8 hops; "));
        // A longer way to a hop: none of it is no hop, half of it is nobody.
        let paths = paths(json!({"agent": ["x", "act", "sub"]}));
        let read = |x: Value| {
            let all = json!({"sub": "a", "sid": "s", "iat": 100, "exp": 200, "x": x});
            Claims::read(all.as_object().unwrap(), "i", &[], &paths).map(|claims| claims.agents)
        };
        assert_eq!(read(json!({"act": {"sub": "b"}})).unwrap(), ["b"]);
        assert!(read(json!({})).is_err());
    }

    #[test]
    fn each_list_of_the_token_must_hold_the_command() {
        let hold = |change: Value, command: &str| {
            let said = |invalid: Invalid| ClaimPaths::default().explain(&invalid).split(';').next().unwrap().to_owned();
            read(change).map(|claims| claims.commands.hold(command, None)).map_err(said)
        };
        let details = |element: Value| json!({"authorization_details": [element]});
        assert_eq!(hold(json!({}), "orders.list"), Ok(true));
        assert_eq!(hold(json!({"commands": []}), "orders.list"), Ok(false));
        assert_eq!(hold(json!({"commands": ["orders.*"]}), "orders.list"), Ok(true));
        assert_eq!(hold(details(json!({"type": "chaperone", "actions": ["orders.list"]})), "orders.list"), Ok(true));
        assert_eq!(hold(details(json!({"type": "chaperone", "actions": ["orders.list"]})), "orders.read"), Ok(false));
        assert_eq!(
            hold(details(json!({"type": "chaperone", "actions": ["orders.*"], "locations": ["orders"]})), "orders.list"),
            Ok(true)
        );
        assert_eq!(
            hold(details(json!({"type": "chaperone", "actions": ["orders.*"], "locations": ["billing"]})), "orders.list"),
            Ok(false)
        );
        assert_eq!(
            hold(details(json!({"type": "chaperone", "actions": ["orders.*"], "privileges": ["x"]})), "orders.list"),
            Err("`authorization_details`[0] is not as it must be".to_owned())
        );
        assert_eq!(hold(details(json!({"type": "payment", "actions": ["x"]})), "orders.list"), Ok(true));
        let both =
            json!({"commands": ["orders.list"], "authorization_details": [{"type": "chaperone", "actions": ["orders.read"]}]});
        assert_eq!(hold(both, "orders.list"), Ok(false));
    }

    #[test]
    fn a_session_does_not_start_after_its_token() {
        let paths = paths(json!({"started": "auth_time"}));
        let read = |started: Value| {
            let all = json!({"sub": "a", "sid": "s", "iat": 100, "exp": 200, "auth_time": started});
            Claims::read(all.as_object().unwrap(), "i", &[], &paths).map(|claims| claims.started)
        };
        assert_eq!(read(json!(50)), Ok(50));
        let late = read(json!(101)).unwrap_err();
        assert!(paths.explain(&late).starts_with("`auth_time` is later than the token's `iat`"));
    }
}
