//! What a reviewer would ask about: of the policy, and of what is lost when a file takes another's place.

use crate::{
    files::ecds,
    good::{EC, KEYED, POLICY},
    rows::{Row, rows},
};

/// RFC 7515, appendix A.2, with another exponent.
const RSA: &str = "n: ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ}";
const STAND_IN: &str = "have the issuer write `iat`, and remove this; or write `# check: allow issued_stand_in` beside it where the issuer never sets that claim to another time";
const AUDIENCE: &str = "have the issuer write `aud`, and remove this; or write `# check: allow audience_stand_in` beside it where the client is for this service alone";
const TYPES: &str = "say which `typ` a session token has, such as `types: [session+jwt]` or `types: [at+jwt]`";
const UNUSED: &str =
    "grant it to somebody, or remove it; or write `# check: allow command_unused` beside it if it is named for the record alone";
const NAMED: &str = "name a subject, an agent or a claim, such as `subject: \"agent-*\"` or `claims: {role: support}`";
const MOOT: &str = "write less than `max_lifetime`, such as a third of it, or remove it";
const ENDING: &str = "      types: [session+jwt]\n";
const CLIENT: &str = "watch `client_certificate` there; at a gateway with `use_remote_address` allow this by a comment";

pub(crate) fn all() -> Vec<Row> {
    let mut all = rows(POLICY, &TABLE);
    all.extend(rows(POLICY, &GRANTS));
    all.extend(rows(POLICY, &COMMANDS));
    all.extend(rows(POLICY, &REVOKED));
    all.extend(rows(POLICY, &UNMATCHED));
    let key = "/tokens/issuers/0/keys/jwks/keys/0";
    all.push(Row::new(KEYED, (key, "take it out of the set", EC, &format!("{{kty: EC, crv: secp256k1}}, {EC}"), EC)));
    let exponent = |e: &str| format!("{{kty: RSA, kid: k, alg: RS256, e: {e}, {RSA}");
    let help = "have the issuer make a key with the exponent 65537 (`AQAB`), or an EC key";
    all.push(
        Row::new(KEYED, (&format!("{key}/e"), help, EC, &exponent("Aw"), &exponent("AQAB"))).and("[ES256]", "[RS256]", "[RS256]"),
    );
    all.push(Row::new(KEYED, (&format!("{key}/e"), help, EC, &exponent("Aw"), EC)).and("[ES256]", "[RS256]", "[ES256]"));
    let contexts = "session: {max_lifetime: 1h}\n";
    let watched = |what: &str, said: &str| format!("{contexts}end_session_when: {{context_changes: [{what}]}}{said}\n");
    for right in [watched("client_certificate", ""), watched("source_address", "  # check: allow source_address_claimed")] {
        all.push(
            Row::new(KEYED, ("/end_session_when/context_changes", CLIENT, contexts, &watched("source_address", ""), &right))
                .with(&["--target", "istio"]),
        );
    }
    let by = "remove it; or write `# check: allow source_asked` beside it where the record is not to have the address";
    let audit = "audit: {header_prefix: x-orders-}\n";
    let proxy = |said: &str| format!("audit: {{source: proxy}}{said}\n");
    for right in ["audit: {}\n".to_owned(), proxy("  # check: allow source_asked")] {
        all.push(Row::new(POLICY, ("/audit/source", by, audit, &proxy(""), &right)));
    }
    all.extend(against());
    all.push(large());
    all
}

/// What an object of the mesh cannot hold.
fn large() -> Row {
    let end = "upstream:\n";
    let many: String =
        (0..24_000).map(|number| format!("  - {{session: s-{number:08}, because: \"INC-{number:08}\"}}\n")).collect();
    let help =
        "take out revocations whose sessions have reached session.max_lifetime; revoke by `issued_before` rather than one by one";
    let right = format!("revoked:\n  - {{subject: batch, issued_before: \"RECENT\", because: \"INC-1\"}}\n{end}");
    Row::new(KEYED, ("/revoked", help, end, &format!("revoked:\n{many}{end}"), &right)).with(&["--target", "istio"])
}

fn against() -> Vec<Row> {
    let ends = KEYED
        .replace("session: {max_lifetime: 1h}", "session: {max_lifetime: 1h, idle_timeout: 5m}")
        .replace("name: orders\n", "name: orders\ngeneration: 4\n");
    let (old, new) = (ecds(&ends), ecds(&ends.replace("generation: 4", "generation: 5")));
    let row = |place, help, from, wrong, right| Row::new(&new, (place, help, from, wrong, right)).against(&old);
    let vm = "vm_id: orders";
    let ended = "keep the `vm_id`; or write them down first, by `policy-host revoke --from-log ACCESS_LOG FILE`, and `# check: allow endings_lost` beside it";
    let bare = KEYED
        .replace("name: orders\n", "name: orders\ngeneration: 4\n")
        .replace("upstream:\n", "revoked:\n  - {session: s-9, because: \"INC-9\"}\nupstream:\n");
    let next = bare.replace("generation: 4", "generation: 5");
    let revoked = "revoked:\n  - {session: s-9, because: \"INC-9\"}\n";
    let kept = "render it with `--keep-revoked FILE` of the file in force; `policy-host revoke --undo` takes out what is to go";
    vec![
        row(
            "/resources/0/typed_config/config/vm_config/vm_id",
            "keep `vm_id: orders`: a new filter, environment or plugin name needs no new one",
            vm,
            "vm_id: other",
            vm,
        ),
        row("/resources/0/typed_config/config/vm_config/vm_id", ended, vm, "vm_id: other", vm),
        row(
            "/resources/0/typed_config/config/vm_config/vm_id",
            ended,
            vm,
            "vm_id: other",
            "vm_id: other  # check: allow endings_lost",
        ),
        Row::new(&next, ("/name", "keep `name: orders`", "name: orders\n", "name: others\n", "name: orders\n")).against(&bare),
        Row::new(&next, ("/revoked", kept, revoked, "", revoked)).against(&bare),
        Row::new(
            &next,
            (
                "/generation",
                "write `generation: 5`, or let `policy-host render` write it",
                "generation: 5",
                "generation: 3",
                "generation: 5",
            ),
        )
        .against(&bare),
    ]
}

/// Place, help, and of the good text, of the mistake, of what the help says.
type Table<const N: usize> = [(&'static str, &'static str, &'static str, &'static str, &'static str); N];

const TABLE: Table<22> = [
    (
        "/mode",
        "write `mode: enforce` once the records show no denial that is not meant",
        "generation: 4",
        "mode: observe",
        "mode: enforce",
    ),
    (
        "/observe/0",
        "remove `observe` once the records show no denial that is not meant",
        "generation: 4\n",
        "observe: [unknown_command]\n",
        "",
    ),
    (
        "/session/max_lifetime",
        "write `1h` or less, such as `15m`, and let the issuer open a new session for work that goes on",
        "{max_lifetime: 1h",
        "{max_lifetime: 8h",
        "{max_lifetime: 1h",
    ),
    (
        "/session/max_lifetime",
        "write `1h` or less, such as `15m`, and let the issuer open a new session for work that goes on",
        "{max_lifetime: 1h",
        "{max_lifetime: 61m",
        "{max_lifetime: 15m",
    ),
    (
        "/session/clock_skew",
        "keep clocks in step and write `0s`, at most `30s`",
        "clock_skew: 30s",
        "clock_skew: 31s",
        "clock_skew: 0s",
    ),
    (
        "/session/clock_skew",
        "keep clocks in step and write `0s`, at most `30s`",
        "clock_skew: 30s",
        "clock_skew: 31s",
        "clock_skew: 30s",
    ),
    ("/session/idle_timeout", MOOT, "idle_timeout: 5m, ", "idle_timeout: 60m, ", "idle_timeout: 20m, "),
    ("/session/idle_timeout", MOOT, "idle_timeout: 5m, ", "idle_timeout: 60m, ", ""),
    (
        "/end_session_when/denials/count",
        "write `count: 3` or more, and let the window `within` tell trying from mistaking",
        "count: 5",
        "count: 1",
        "count: 3",
    ),
    (
        "/upstream/forward_token",
        "remove it: the target is told session, subject and command in x-chaperone- headers",
        "  echoed_credential: cut\n",
        "  forward_token: true\n",
        "",
    ),
    (
        "/tokens/issuers/0/keys/endpoint/refresh",
        "write `1h` or less; the default of 5m costs each worker one request in that time",
        "refresh: 5m",
        "refresh: 61m",
        "refresh: 1h",
    ),
    (
        "/tokens/issuers/0/status/required",
        "remove it once every token names its place in a list",
        "status: {",
        "status: {required: false, ",
        "status: {",
    ),
    ("/tokens/issuers/0/issuer", TYPES, ENDING, "", ENDING),
    ("/tokens/issuers/0/issuer", TYPES, ENDING, "", "      types: [at+jwt]\n"),
    ("/tokens/issuers/0/claims/issued", STAND_IN, "{session: sid", "{issued: nbf, session: sid", "{session: sid"),
    (
        "/tokens/issuers/0/claims/issued",
        STAND_IN,
        "      claims: {session: sid, agent: {first_of: [[act, sub], azp]}}",
        "      claims: {issued: nbf}",
        "      claims: {issued: nbf}  # check: allow issued_stand_in",
    ),
    ("/tokens/issuers/0/claims/audience", AUDIENCE, "{session: sid", "{audience: client_id, session: sid", "{session: sid"),
    (
        "/tokens/issuers/0/claims/audience",
        AUDIENCE,
        "      claims: {session: sid, agent: {first_of: [[act, sub], azp]}}",
        "      claims: {audience: client_id}",
        "      claims: {audience: client_id}  # check: allow audience_stand_in",
    ),
    (
        "/grants/1/when/claims/scp",
        "write the conditions as a list, for a word of it: `claims: [{claim: scp, word: …}]`, or `contains` for a list",
        "claims: {role: support}",
        "claims: {scp: users}",
        "claims: [{claim: scp, word: users}]",
    ),
    (
        "",
        "did you mean `command_unused`?",
        "  health: {http",
        "  # check: allow command_unusd\n  health: {http",
        "  # check: allow command_unused\n  health: {http",
    ),
    (
        "",
        "write the name that stands with the warning",
        "  users.Get: {grpc: {service: users.v1.Users, methods: [Get]}}\n",
        "  users.Get: {grpc: {service: users.v1.Users, methods: [Get]}}\n  # check: allow this\n  spare: {http: {methods: [GET], path: /spare}}\n",
        "  users.Get: {grpc: {service: users.v1.Users, methods: [Get]}}\n  # check: allow command_unused\n  spare: {http: {methods: [GET], path: /spare}}\n",
    ),
    (
        "/grants/0/max_lifetime",
        "write less than session.max_lifetime, or remove it",
        "    max_lifetime: 15m\n",
        "    max_lifetime: 60m\n",
        "",
    ),
];

const GRANTS: Table<15> = [
    (
        "/grants/1/transfers",
        "take these commands out of `more`, or remove `more`",
        "    allow: [users.Get]\n",
        "    allow: [users.Get]\n    transfers: {uploads: deny}\n  - {name: more, when: {claims: {role: support}}, allow: [users.Get]}\n",
        "    allow: [users.Get]\n    transfers: {uploads: deny}\n  - {name: more, when: {claims: {role: support}}, allow: [orders.read]}\n",
    ),
    (
        "/grants/1/transfers/max_response_bytes",
        "write less than `max_session_response_bytes`, or remove it",
        "    allow: [users.Get]\n",
        "    allow: [users.Get]\n    transfers: {max_response_bytes: 70, max_session_response_bytes: 70}\n",
        "    allow: [users.Get]\n    transfers: {max_response_bytes: 69, max_session_response_bytes: 70}\n",
    ),
    (
        "/grants/0/transfers/uploads",
        "move `chat` to a grant that bounds its bytes instead (`max_request_bytes`, `max_response_bytes`)",
        "unmediated: [health]\ngrants:\n",
        "  chat: {http: {methods: [GET], path: /chat, upgrade: true}}\nunmediated: [health]\ngrants:\n  - {name: bob, when: {subject: bob}, allow: [chat], transfers: {uploads: deny}}\n",
        "  chat: {http: {methods: [GET], path: /chat, upgrade: true}}\nunmediated: [health]\ngrants:\n  - {name: bob, when: {subject: bob}, allow: [chat], transfers: {max_request_bytes: 65536}}\n",
    ),
    ("/grants/0/when", NAMED, "when: {subject: \"agent-*\"}", "when: {subject: \"*\"}", "when: {subject: \"agent-*\"}"),
    ("/grants/0/when", NAMED, "when: {subject: \"agent-*\"}", "when: {subject: \"a*\"}", "when: {claims: {role: support}}"),
    (
        "/grants/0/when",
        NAMED,
        "when: {subject: \"agent-*\"}",
        "when: {issuer: https://broker.example}",
        "when: {issuer: https://broker.example, subject: \"agent-*\"}",
    ),
    (
        "/grants/0/allow/0",
        "list what is needed: orders.list, orders.read",
        "allow: [orders.list, orders.read]",
        "allow: [\"orders.*\"]",
        "allow: [orders.list, orders.read]",
    ),
    (
        "/grants/0/allow/0",
        "list what is needed: health, orders.list, orders.read, users.Get",
        "allow: [orders.list, orders.read]",
        "allow: [\"*\"]",
        "allow: [health, orders.list, orders.read, users.Get]",
    ),
    (
        "/grants/0/max_lifetime",
        "write less than session.max_lifetime, or remove it",
        "max_lifetime: 15m",
        "max_lifetime: 60m",
        "max_lifetime: 59m",
    ),
    (
        "/grants/2/allow",
        "take the commands out of `unmediated`, or remove the grant",
        "revoked:\n",
        "  - {name: probe, when: {subject: prober}, allow: [health]}\nrevoked:\n",
        "revoked:\n",
    ),
    (
        "/grants/1/allow",
        "take the commands out of `unmediated`, or remove the grant",
        "    allow: [users.Get]\n",
        "    allow: [health]\n",
        "    allow: [health, users.Get]\n",
    ),
    (
        "/grants/2/name",
        "remove it, or let it allow what the other does not",
        "revoked:\n",
        "  - {name: again, when: {claims: {role: support, level: \"2\"}}, allow: [users.Get]}\nrevoked:\n",
        "revoked:\n",
    ),
    (
        "/grants/2/name",
        "remove it, or let it allow what the other does not",
        "revoked:\n",
        "  - {name: again, when: {claims: {role: support, level: \"2\"}}, allow: [users.Get]}\nrevoked:\n",
        "  - {name: again, when: {claims: {role: support, level: \"2\"}}, allow: [orders.read]}\nrevoked:\n",
    ),
    (
        "/grants/0/max_lifetime",
        "take these commands out of `more`, or remove `agents`",
        "revoked:\n",
        "  - {name: more, when: {subject: \"agent-*\"}, allow: [orders.list, orders.read, users.Get]}\nrevoked:\n",
        "  - {name: more, when: {subject: \"agent-*\"}, allow: [users.Get]}\nrevoked:\n",
    ),
    (
        "/unmediated/0",
        "leave only GET, HEAD and OPTIONS unmediated, or grant the command to somebody",
        "health: {http: {methods: [GET]",
        "health: {http: {methods: [GET, POST]",
        "health: {http: {methods: [GET]",
    ),
];

const COMMANDS: Table<8> = [
    (
        "/unmediated/0",
        "list the commands that anybody may use",
        "unmediated: [health]",
        "unmediated: [\"*\"]",
        "unmediated: [health]",
    ),
    (
        "/commands/spare",
        UNUSED,
        "unmediated: [health]\n",
        "  spare: {http: {methods: [GET], path: /spare}}\nunmediated: [health]\n",
        "unmediated: [health]\n",
    ),
    (
        "/commands/spare",
        UNUSED,
        "unmediated: [health]\n",
        "  spare: {http: {methods: [GET], path: /spare}}\nunmediated: [health]\n",
        "  spare: {http: {methods: [GET], path: /spare}}  # check: allow command_unused\nunmediated: [health]\n",
    ),
    (
        "/commands/spare",
        UNUSED,
        "unmediated: [health]\n",
        "  spare: {http: {methods: [GET], path: /spare}}\nunmediated: [health]\n",
        "  spare: {http: {methods: [GET], path: /spare}}\nunmediated: [health, spare]\n",
    ),
    (
        "/commands/health/1",
        "remove this one",
        "health: {http: {methods: [GET], path: /healthz}}",
        "health: [{http: {methods: [GET], path: /healthz}}, {http: {methods: [GET], path: /healthz, hosts: [a.example]}}]",
        "health: [{http: {methods: [GET], path: /healthz}}]",
    ),
    (
        "/commands/wide",
        "remove it, or one of the others",
        "unmediated: [health]\n",
        "  one: {http: {methods: [GET], path: \"/f/{name}\"}}\n  folder: {http: {methods: [GET], path: \"/f/{name}/\"}}\n  deep: {http: {methods: [GET], path: \"/f/{name}/{*rest}\"}}\n  wide: {http: {methods: [GET], path: \"/f/{*rest}\"}}\nunmediated: [health]\n",
        "  one: {http: {methods: [GET], path: \"/f/{name}\"}}\n  folder: {http: {methods: [GET], path: \"/f/{name}/\"}}\n  deep: {http: {methods: [GET], path: \"/f/{name}/{*rest}\"}}\nunmediated: [health]\n",
    ),
    (
        "/commands/wide",
        "remove it, or one of the others",
        "unmediated: [health]\n",
        "  one: {http: {methods: [GET], path: \"/f/{name}\"}}\n  folder: {http: {methods: [GET], path: \"/f/{name}/\"}}\n  deep: {http: {methods: [GET], path: \"/f/{name}/{*rest}\"}}\n  wide: {http: {methods: [GET], path: \"/f/{*rest}\"}}\nunmediated: [health]\n",
        "  one: {http: {methods: [GET], path: \"/f/{name}\"}}\n  folder: {http: {methods: [GET], path: \"/f/{name}/\"}}\n  wide: {http: {methods: [GET], path: \"/f/{*rest}\"}}\nunmediated: [health]\n",
    ),
    (
        "/unmediated/0",
        "leave only GET, HEAD and OPTIONS unmediated, or grant the command to somebody",
        "unmediated: [health]\n",
        "unmediated: [users.Get]\n",
        "unmediated: []\n",
    ),
];

const REVOKED: Table<8> = [
    (
        "/revoked/0/issuer",
        "remove the entry, or correct the issuer's name",
        "  - {session: s-1, because: \"INC-1\"}\n",
        "  - {issuer: https://brokr.example, because: \"INC-1\"}\n",
        "",
    ),
    (
        "/revoked/0/issuer",
        "remove the entry, or correct the issuer's name",
        "  - {session: s-1, because: \"INC-1\"}\n",
        "  - {issuer: https://brokr.example, because: \"INC-1\"}\n",
        "  - {issuer: https://broker.example, because: \"INC-1\"}\n",
    ),
    (
        "/revoked/0",
        "add `because: \"INC-42: what happened\"`",
        "{session: s-1, because: \"INC-1\"}",
        "{session: s-1}",
        "{session: s-1, because: \"INC-42: what happened\"}",
    ),
    (
        "/revoked/1",
        "remove one of them",
        "  - {subject: agent-7, issued",
        "  - {session: s-1, because: \"INC-3\"}\n  - {subject: agent-7, issued",
        "  - {subject: agent-7, issued",
    ),
    (
        "/revoked/1/issued_before",
        "remove the entry",
        "  - {subject: agent-7, issued_before: \"RECENT\", because: \"INC-2\"}\n",
        "  - {subject: agent-7, issued_before: \"OVER\", because: \"INC-2\"}\n",
        "",
    ),
    (
        "/revoked/1/issued_before",
        "write the instant of the incident, which has passed",
        "issued_before: \"RECENT\"",
        "issued_before: \"TO_COME\"",
        "issued_before: \"RECENT\"",
    ),
    ("/limits/token_byte", "did you mean `token_bytes`?", "token_bytes", "token_byte", "token_bytes"),
    (
        "/limits/byts",
        "remove it; known here: verifications_per_second, streams_per_session, unmediated_streams, token_bytes, body_bytes",
        "token_bytes: 9000",
        "byts: 9000",
        "",
    ),
];

const ISS: &str = "write `iss` as the tokens have it, and one entry for each issuer";
const VALUE: &str = "write the value itself, or end the beginning before it with `*`";
const BRANCH: &str = "write `repo:acme/**` for all that begins so, or the subject as the tokens have it";
const SUBJECT: &str = "/grants/0/when/subject";
const AGENTS: &str = "{subject: \"agent-*\"}";

const UNMATCHED: Table<6> = [
    (
        "/tokens/issuers/0/issuer",
        ISS,
        "issuer: https://broker.example\n",
        "issuer: https://broker.example/{tenantid}\n",
        "issuer: https://broker.example/7\n",
    ),
    (
        "/tokens/issuers/0/issuer",
        ISS,
        "issuer: https://broker.example\n",
        "issuer: https://*.example\n",
        "issuer: https://broker.example\n",
    ),
    (SUBJECT, VALUE, AGENTS, "{subject: \"user-{id}\"}", "{subject: user-7}"),
    (SUBJECT, VALUE, AGENTS, "{subject: \"user-{id}\"}", "{subject: \"user-*\"}"),
    (SUBJECT, BRANCH, AGENTS, "{subject: \"repo:acme/*\"}", "{subject: \"repo:acme/**\"}"),
    (SUBJECT, BRANCH, AGENTS, "{subject: \"repo:acme/*\"}", "{subject: \"repo:acme/ledger:ref:refs/heads/main\"}"),
];
