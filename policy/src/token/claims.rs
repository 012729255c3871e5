//! The claims of a verified token, parsed once into what the checks need (RFC 7519 §4, RFC 8693 §4, RFC 9396).

use serde_json::{Map, Value};

use crate::document::{At, Errors, Object, string, strings};
use crate::primitives::ascii::fits_audit_value;
use crate::primitives::limits;
use crate::primitives::pattern::Pattern;
use crate::token::confirmation::Confirmation;

/// Where an issuer keeps the claims that have no registered name. A list descends; a dot is literal.
#[derive(Debug)]
pub(crate) struct ClaimPaths {
    session: Vec<String>,
    agent: Vec<String>,
    commands: Vec<String>,
    started: Vec<String>,
}

impl Default for ClaimPaths {
    fn default() -> Self {
        let path = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self { session: path(&["sid"]), agent: path(&["act", "sub"]), commands: path(&["commands"]), started: path(&["iat"]) }
    }
}

impl ClaimPaths {
    pub(crate) fn read(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        let mut object = Object::open(value, at, errors)?;
        let default = Self::default();
        let paths = Self {
            session: object.optional("session", errors, read_path).unwrap_or(default.session),
            agent: object.optional("agent", errors, read_path).unwrap_or(default.agent),
            commands: object.optional("commands", errors, read_path).unwrap_or(default.commands),
            started: object.optional("started", errors, read_path).unwrap_or(default.started),
        };
        object.finish(errors);
        Some(paths)
    }

    /// The session that a token names, before anything of it is believed.
    pub(crate) fn session<'v>(&self, all: &'v Map<String, Value>) -> Option<&'v str> {
        descend(all, &self.session).ok().flatten()?.as_str()
    }
}

fn read_path(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Vec<String>> {
    if value.is_array() {
        let names = strings(value, at, errors)?;
        return Some(names.into_iter().map(str::to_owned).collect());
    }
    Some(vec![string(value, at, errors)?.to_owned()])
}

/// What a token says of its session. Times are Unix seconds.
#[derive(Debug)]
pub(crate) struct Claims {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) session: String,
    pub(crate) expires: u64,
    pub(crate) issued: u64,
    pub(crate) started: u64,
    pub(crate) not_before: Option<u64>,
    /// Who acts, outermost hop first.
    pub(crate) agents: Vec<String>,
    pub(crate) token_id: Option<String>,
    pub(crate) commands: CommandLists,
    /// `cnf` (RFC 7800), which somebody must check.
    pub(crate) confirmation: Option<Confirmation>,
}

/// The token's own lists of commands; each that is there must hold a command for it to be in the token.
#[derive(Debug, Default)]
pub(crate) struct CommandLists {
    claim: Option<Vec<Pattern>>,
    details: Option<Vec<Pattern>>,
}

impl CommandLists {
    pub(crate) fn is_absent(&self) -> bool {
        self.claim.is_none() && self.details.is_none()
    }

    /// The lists as they were written: the claim's, and that of the details.
    pub(crate) fn texts(&self) -> [Option<Vec<String>>; 2] {
        [&self.claim, &self.details].map(|list| list.as_ref().map(|list| list.iter().map(Pattern::to_string).collect()))
    }

    pub(crate) fn hold(&self, command: &str) -> bool {
        [&self.claim, &self.details].into_iter().flatten().all(|list| list.iter().any(|pattern| pattern.matches(command)))
    }
}

/// A claim is missing or of the wrong type.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invalid;

impl Claims {
    /// Reads what is there strictly: a claim that is present and of the wrong type is invalid, also where it is optional.
    pub(crate) fn read(
        all: &Map<String, Value>,
        issuer: &str,
        audiences: &[String],
        paths: &ClaimPaths,
    ) -> Result<Self, Invalid> {
        let issued = instant(all.get("iat"))?.ok_or(Invalid)?;
        let started = instant(descend(all, &paths.started)?)?.ok_or(Invalid)?;
        // A session does not begin after its token is issued; were it believed, `started` would lengthen the session.
        if started > issued {
            return Err(Invalid);
        }
        Ok(Self {
            issuer: issuer.to_owned(),
            subject: identifier(all.get("sub"))?.ok_or(Invalid)?,
            session: identifier(descend(all, &paths.session)?)?.ok_or(Invalid)?,
            expires: instant(all.get("exp"))?.ok_or(Invalid)?,
            issued,
            started,
            not_before: instant(all.get("nbf"))?,
            agents: agent_chain(all, &paths.agent)?,
            token_id: identifier(all.get("jti"))?,
            commands: CommandLists {
                claim: descend(all, &paths.commands)?.map(patterns).transpose()?,
                details: all
                    .get("authorization_details")
                    .map(|details| authorization_details(details, audiences))
                    .transpose()?
                    .flatten(),
            },
            confirmation: Confirmation::read(all),
        })
    }
}

/// The claim at a path; absent when any step is, invalid when a step on the way is no object.
fn descend<'v>(all: &'v Map<String, Value>, path: &[String]) -> Result<Option<&'v Value>, Invalid> {
    let Some((last, way)) = path.split_last() else { return Err(Invalid) };
    let mut members = all;
    for name in way {
        match members.get(name) {
            None => return Ok(None),
            Some(Value::Object(inner)) => members = inner,
            Some(_) => return Err(Invalid),
        }
    }
    Ok(members.get(last))
}

/// A NumericDate (RFC 7519 §2), as whole seconds from 0: fractions and exponents are for nobody's clock.
fn instant(value: Option<&Value>) -> Result<Option<u64>, Invalid> {
    match value {
        None => Ok(None),
        Some(value) => value.as_u64().filter(|seconds| *seconds <= limits::LATEST_SECONDS).map(Some).ok_or(Invalid),
    }
}

fn identifier(value: Option<&Value>) -> Result<Option<String>, Invalid> {
    match value {
        None => Ok(None),
        // Whole in an audit header too, or two of them could look alike there.
        Some(Value::String(text)) if !text.is_empty() && fits_audit_value(text) => Ok(Some(text.clone())),
        Some(_) => Err(Invalid),
    }
}

/// The hops of an `act` chain (RFC 8693 §4.1): the path's way, again and again, until a hop has no further one.
fn agent_chain(all: &Map<String, Value>, path: &[String]) -> Result<Vec<String>, Invalid> {
    let Some((last, way)) = path.split_last() else { return Err(Invalid) };
    let mut agents = Vec::new();
    let mut members = all;
    loop {
        for (step, name) in way.iter().enumerate() {
            match members.get(name) {
                None if step == 0 => return Ok(agents),
                Some(Value::Object(inner)) => members = inner,
                None | Some(_) => return Err(Invalid),
            }
        }
        let agent = identifier(members.get(last))?;
        if way.is_empty() {
            return Ok(agent.into_iter().collect());
        }
        agents.push(agent.ok_or(Invalid)?);
        if agents.len() > limits::AGENT_CHAIN {
            return Err(Invalid);
        }
    }
}

fn patterns(value: &Value) -> Result<Vec<Pattern>, Invalid> {
    let items = value.as_array().filter(|items| items.len() <= limits::TOKEN_COMMANDS).ok_or(Invalid)?;
    items.iter().map(|item| item.as_str().and_then(Pattern::parse).ok_or(Invalid)).collect()
}

/// The commands of RFC 9396 details: elements of type `chaperone` list them as `actions`, each for the `locations` it names
/// (our audiences) or for all. Elements of other types are for others. A member that we do not know could narrow what the
/// element allows, so it makes the token invalid.
fn authorization_details(value: &Value, audiences: &[String]) -> Result<Option<Vec<Pattern>>, Invalid> {
    let elements = value.as_array().ok_or(Invalid)?;
    let mut ours = None;
    for element in elements {
        let members = element.as_object().ok_or(Invalid)?;
        if members.get("type").and_then(Value::as_str).ok_or(Invalid)? != "chaperone" {
            continue;
        }
        if members.keys().any(|name| !matches!(name.as_str(), "type" | "actions" | "locations")) {
            return Err(Invalid);
        }
        let actions = patterns(members.get("actions").ok_or(Invalid)?)?;
        let here = match members.get("locations") {
            None => true,
            Some(locations) => {
                let locations = locations.as_array().ok_or(Invalid)?;
                locations.iter().filter_map(Value::as_str).any(|location| audiences.iter().any(|audience| audience == location))
            }
        };
        let list: &mut Vec<Pattern> = ours.get_or_insert_default();
        if here {
            list.extend(actions);
        }
    }
    Ok(ours)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(change: Value) -> Result<Claims, Invalid> {
        let mut all = json!({"sub": "agent-7", "sid": "s-1", "iat": 100, "exp": 200});
        for (name, value) in change.as_object().unwrap() {
            all[name] = value.clone();
        }
        all.as_object_mut().unwrap().retain(|_, value| value != "absent");
        Claims::read(all.as_object().unwrap(), "https://broker.example", &["orders".to_owned()], &ClaimPaths::default())
    }

    #[test]
    fn claims_of_the_wrong_type_are_invalid_not_absent() {
        assert!(read(json!({})).is_ok());
        for name in ["exp", "iat", "nbf"] {
            for wrong in [json!("9999"), json!(null), json!(-1), json!(1.5), json!(100.0), json!([]), json!(u64::MAX)] {
                assert_eq!(read(json!({name: wrong})).err(), Some(Invalid), "{name} {wrong}");
            }
        }
        for name in ["sub", "sid", "jti"] {
            for wrong in [json!(""), json!(7), json!(null), json!(["s"]), json!("x".repeat(257)), json!("é".repeat(43))] {
                assert_eq!(read(json!({name: wrong})).err(), Some(Invalid), "{name} {wrong}");
            }
        }
        for name in ["exp", "iat", "sub", "sid"] {
            assert_eq!(read(json!({name: "absent"})).err(), Some(Invalid), "{name}");
        }
        for wrong in [json!("orders.*"), json!([1]), json!(["*x"]), json!(null)] {
            assert_eq!(read(json!({"commands": wrong})).err(), Some(Invalid), "{wrong}");
        }
    }

    #[test]
    fn the_act_chain_is_read_from_the_outermost_hop() {
        let agents = |act: Value| read(json!({"act": act})).map(|claims| claims.agents);
        assert_eq!(read(json!({})).unwrap().agents, Vec::<String>::new());
        assert_eq!(agents(json!({"sub": "a", "act": {"sub": "b"}})).unwrap(), ["a", "b"]);
        assert_eq!(agents(json!({"client_id": "a"})), Err(Invalid));
        assert_eq!(agents(json!("a")), Err(Invalid));
        let deep = (0..limits::AGENT_CHAIN).fold(json!({"sub": "x"}), |inner, _| json!({"sub": "x", "act": inner}));
        assert_eq!(agents(deep["act"].clone()).unwrap().len(), limits::AGENT_CHAIN);
        assert_eq!(agents(deep), Err(Invalid));
        // A longer way to a hop: none of it is no hop, half of it is nobody.
        let paths = ClaimPaths { agent: ["x", "act", "sub"].map(str::to_owned).to_vec(), ..ClaimPaths::default() };
        let read = |x: Value| {
            let all = json!({"sub": "a", "sid": "s", "iat": 100, "exp": 200, "x": x});
            Claims::read(all.as_object().unwrap(), "i", &[], &paths).map(|claims| claims.agents)
        };
        assert_eq!(read(json!({"act": {"sub": "b"}})).unwrap(), ["b"]);
        assert_eq!(read(json!({})), Err(Invalid));
    }

    #[test]
    fn each_list_of_the_token_must_hold_the_command() {
        let hold = |change: Value, command: &str| read(change).map(|claims| claims.commands.hold(command));
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
            Err(Invalid)
        );
        assert_eq!(hold(details(json!({"type": "payment", "actions": ["x"]})), "orders.list"), Ok(true));
        let both =
            json!({"commands": ["orders.list"], "authorization_details": [{"type": "chaperone", "actions": ["orders.read"]}]});
        assert_eq!(hold(both, "orders.list"), Ok(false));
    }

    #[test]
    fn a_session_does_not_start_after_its_token() {
        let paths = ClaimPaths { started: vec!["auth_time".to_owned()], ..ClaimPaths::default() };
        let read = |started: Value| {
            let all = json!({"sub": "a", "sid": "s", "iat": 100, "exp": 200, "auth_time": started});
            Claims::read(all.as_object().unwrap(), "i", &[], &paths).map(|claims| claims.started)
        };
        assert_eq!(read(json!(50)), Ok(50));
        assert_eq!(read(json!(101)), Err(Invalid));
    }
}
