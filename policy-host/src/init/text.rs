//! The two files as text.

use super::{
    Answers, Kind,
    preset::{Decided, Keys, Preset},
};
use chaperone_authoring::source::quoted;
use std::fmt::Write as _;

/// `policy.yaml`.
pub(super) fn policy(preset: &Preset, answers: &Answers) -> String {
    let Answers { kind, name, issuer, audience, caller: _ } = answers;
    let mut text =
        format!("# A first policy for tokens of {}: whose they are, what a session is, and who may do what.\n#\n", preset.title);
    for line in preset.about {
        let _ = writeln!(text, "# {line}");
    }
    let (host, path) = keys(preset.keys, issuer);
    let typ = preset.typ.map_or_else(String::new, |typ| format!("      types: [{typ}]\n"));
    let allow = preset.allow.map_or_else(String::new, |(lint, why)| format!("    # {why}\n    # check: allow {lint}\n"));
    let members: String = preset.members.iter().map(|member| format!("      {member}\n")).collect();
    let _ = write!(
        text,
        "version: 1
name: {name}

tokens:
  issuers:
{allow}    - issuer: {issuer}
      audiences: [{audience}]
      algorithms: [{algorithm}]
{typ}      keys: {{endpoint: {{cluster: {cluster}, authority: {host}, path: {path}}}}}
{members}
session:
  max_lifetime: {max_lifetime}      # {lifetime_comment}

commands:      # every request that is known: put yours here; policy-host import openapi drafts them from a description
  items.list: {{http: {{methods: [GET, HEAD], path: /v1/items}}}}
  items.read: {{http: {{methods: [GET, HEAD], path: \"/v1/items/{{id}}\"}}}}

grants:      # what is not granted is denied
  - name: callers
    when: {when}
    allow: [items.list, items.read]

revoked: []      # policy-host revoke writes here

# The target's own credential, which no caller sees, from the proxy's environment:
# upstream:
#   credential: {{header: authorization, value: \"Bearer ${{env:ITEMS_TOKEN}}\"}}
",
        name = quoted(name),
        issuer = quoted(issuer),
        audience = quoted(audience),
        algorithm = preset.algorithm,
        cluster = kind.word(),
        host = quoted(&host),
        path = quoted(&path),
        max_lifetime = preset.max_lifetime,
        lifetime_comment = preset.lifetime_comment,
        when = filled(preset.when, answers),
    );
    text
}

/// Where the keys are: host and path.
fn keys(keys: Keys, issuer: &str) -> (String, String) {
    let rest = issuer.strip_prefix("https://").unwrap_or(issuer);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_end_matches('/');
    let base = if path.is_empty() { String::new() } else { format!("/{path}") };
    let path = match keys {
        Keys::At(host, path) => return (host.to_owned(), path.to_owned()),
        Keys::Beneath(path) => format!("{base}{path}"),
        Keys::Entra => format!("{}/discovery/v2.0/keys", base.strip_suffix("/v2.0").unwrap_or(&base)),
        // The clouds publish them: EKS beneath the issuer at /keys, GKE at /jwks.
        Keys::Kubernetes if host.starts_with("oidc.eks.") || host.starts_with("oidc-eks.") => format!("{base}/keys"),
        Keys::Kubernetes if host == "container.googleapis.com" => format!("{base}/jwks"),
        Keys::Kubernetes => format!("{base}/openid/v1/jwks"),
    };
    (host.to_owned(), path)
}

/// `cases.yaml`.
pub(super) fn cases(preset: &Preset, answers: &Answers) -> String {
    let claims: String = preset.claims.iter().map(|claim| format!("      {}\n", filled(claim, answers))).collect();
    let session = filled(preset.session, answers);
    let session = if session.starts_with('"') { session } else { quoted(&session) };
    let mut text = format!(
        "# What the policy beside this file must decide. Tokens have the shape of {title}'s, signed by a key of the run.
version: 1
policy: policy.yaml
at: 2026-11-23T10:00:00Z

tokens:
  caller:
    iat: 0s
    exp: 5m
    claims:
      iss: {issuer}
{claims}  somebody_else: {{like: caller, claims: {{{somebody_else}}}}}
  elsewhere: {{like: caller, claims: {{{elsewhere}}}}}
  over: {{like: caller, iat: -6m, exp: -1m}}
  forged: {{like: caller, key: stranger}}
",
        title = preset.title,
        issuer = quoted(&answers.issuer),
        somebody_else = filled(preset.somebody_else, answers),
        elsewhere = filled(preset.elsewhere, answers),
    );
    for (name, differs, _) in preset.others {
        let _ = writeln!(text, "  {name}: {{like: caller, claims: {}}}", filled(differs, answers));
    }
    if answers.kind == Kind::Auth0 {
        text.push_str("  default_profile: {like: caller, header: {typ: JWT}}\n");
    }
    let _ = write!(
        text,
        "
cases:
  - name: the caller reads
    steps:
      - {{token: caller, get: /v1/items, expect: {{allow: items.list, session: {session}}}}}
      - {{token: caller, get: /v1/items/7, expect: {{allow: items.read, session: {session}}}}}

  - name: nothing else is known
    steps:
      - {{token: caller, get: /v1/customers, expect: {{deny: unknown_command}}}}
      - {{token: caller, delete: /v1/items/7, expect: {{deny: unknown_command}}}}

  - name: \"a token that is {{token}}\"
    each:
      - {{token: somebody_else, get: /v1/items, expect: {{deny: command_not_granted}}}}
      - {{token: elsewhere, get: /v1/items, expect: {{deny: audience_mismatch}}}}
      - {{token: over, get: /v1/items, expect: {{deny: expired}}}}
      - {{token: forged, get: /v1/items, expect: {{deny: signature_invalid}}}}
"
    );
    for (name, _, decided) in preset.others {
        let expect = match decided {
            Decided::Session(session) => format!("{{allow: items.list, session: {}}}", quoted(session)),
            Decided::Deny(reason) => format!("{{deny: {reason}}}"),
        };
        let _ = writeln!(text, "      - {{token: {name}, get: /v1/items, expect: {expect}}}");
    }
    if answers.kind == Kind::Auth0 {
        text.push_str("      - {token: default_profile, get: /v1/items, expect: {deny: token_unsupported}}\n");
    }
    let _ = write!(
        text,
        "
  - name: without a token nothing is allowed
    send: {{get: /v1/items}}
    expect: {{deny: token_missing}}

  - name: a session is ended
    steps:
      - {{token: caller, get: /v1/items, expect: {{allow: items.list}}}}
      - {{config: {{add: {{revoked: [{{session: {session}, because: INC-1}}]}}}}}}
      - {{token: caller, get: /v1/items, expect: {{deny: revoked}}}}
"
    );
    text
}

/// A text with the answers in their places.
fn filled(text: &str, answers: &Answers) -> String {
    let caller = answers.caller.as_deref().map(quoted).unwrap_or_default();
    text.replace("@CALLER@", &caller).replace("@AUDIENCE@", &quoted(&answers.audience))
}
