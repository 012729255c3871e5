//! Who may do what, and whose sessions have ended.

use crate::{
    good::{KEYED, POLICY},
    rows::{Row, rows},
};

const CLAIMS: &str = "write `claims: {role: support}`, or `claims: [{claim: [realm_access, roles], contains: reader}]`";
const SCALARS: &str = "no condition can ask for such a number: have the issuer write a text, and name that";
const ONE: &str = "write one: `is` for the whole claim, `contains` for an item of a list, `word` for a word of a text; write two conditions for two";

pub(crate) fn all() -> Vec<Row> {
    let mut all = rows(POLICY, &TABLE);
    all.extend(rows(POLICY, &PATTERNS));
    all.extend(rows(POLICY, &CONDITIONS));
    all.extend(usage());
    let listed = "list it under `tokens.issuers`";
    let issuer = |name: &str| {
        format!(
            "issuers:\n    - {{issuer: {name}, audiences: [orders], algorithms: [ES256], types: [at+jwt], keys: {{endpoint: {{cluster: other, authority: other.example, path: /}}}}}}\n"
        )
    };
    let (one, two) = ("issuers:\n", issuer("https://login.other.org"));
    let when = "when: {subject: \"agent-*\"}";
    let named = "when: {issuer: https://login.other.org, subject: \"agent-*\"}";
    all.push(Row::new(KEYED, ("/grants/0/when/issuer", listed, when, named, named)).and(one, one, &two));
    let several = "with several issuers the same subject can be two; say whose is meant: `issuer: https://broker.example`, or `issuer: https://login.other.org`";
    all.push(
        Row::new(KEYED, ("/grants/0/when", several, when, when, "when: {issuer: https://broker.example, subject: \"agent-*\"}"))
            .and(one, &two, &two),
    );
    let command = "  orders.read: {http: {methods: [GET], path: \"/v1/orders/{id}\"}}";
    all.push(Row::new(
        KEYED,
        (
            "/grants/0/allow/0",
            "name it under `commands` first",
            &format!("commands:\n{command}"),
            "commands: {}",
            &format!("commands:\n{command}"),
        ),
    ));
    all
}

const TABLE: [(&str, &str, &str, &str, &str); 12] = [
    (
        "/grants/0",
        "say whom the grant is for, such as `when: {subject: \"agent-*\"}`",
        "    when: {subject: \"agent-*\"}\n",
        "",
        "    when: {subject: \"agent-*\"}\n",
    ),
    (
        "/grants/1",
        "say what is allowed, such as `allow: [orders.read]`",
        "    allow: [users.Get]\n",
        "",
        "    allow: [orders.read]\n",
    ),
    (
        "/grants/0/max_lifetime",
        "leave the grant out",
        "  - name: agents\n    when: {subject: \"agent-*\"}\n    allow: [orders.list, orders.read]\n    max_lifetime: 15m\n",
        "  - name: agents\n    when: {subject: \"agent-*\"}\n    allow: [orders.list, orders.read]\n    max_lifetime: 0s\n",
        "",
    ),
    (
        "/grants/0/when",
        "name a subject, an agent, an issuer or claims, such as `{subject: \"agent-*\"}`",
        "when: {subject: \"agent-*\"}",
        "when: {}",
        "when: {subject: \"agent-*\"}",
    ),
    (
        "/grants/0/when/issuer",
        "did you mean `https://broker.example`?",
        "when: {subject: \"agent-*\"}",
        "when: {issuer: https://broker.exampl}",
        "when: {issuer: https://broker.example}",
    ),
    (
        "/grants/0/allow/0",
        "did you mean `orders.list`?",
        "allow: [orders.list, orders.read]",
        "allow: [orders.lst, orders.read]",
        "allow: [orders.list, orders.read]",
    ),
    (
        "/grants/0/allow/0",
        "the commands are health, orders.list, orders.read, users.Get",
        "allow: [orders.list, orders.read]",
        "allow: [write]",
        "allow: [orders.list]",
    ),
    (
        "/unmediated/0",
        "the commands are health, orders.list, orders.read, users.Get",
        "unmediated: [health]",
        "unmediated: [ping]",
        "unmediated: [health]",
    ),
    (
        "/revoked/1/issued_before",
        "write it as \"2026-11-23T10:00:00Z\"",
        "issued_before: \"RECENT\"",
        "issued_before: yesterday",
        "issued_before: \"2026-11-23T10:00:00Z\"",
    ),
    (
        "/revoked/1/issued_before",
        "write it as \"2026-11-23T10:00:00Z\"",
        "issued_before: \"RECENT\"",
        "issued_before: 1795000000",
        "issued_before: \"2026-11-23T10:00:00Z\"",
    ),
    ("/revoked/0/sesion", "did you mean `session`?", "session: s-1", "sesion: s-1", "session: s-1"),
    ("/grants/0/when/subjekt", "did you mean `subject`?", "subject: \"agent-*\"", "subjekt: \"agent-*\"", "subject: \"agent-*\""),
];

const CONDITIONS: [(&str, &str, &str, &str, &str); 15] = [
    ("/grants/1/when/claims", CLAIMS, "claims: {role: support}", "claims: {}", "claims: {role: support}"),
    (
        "/grants/1/when/claims",
        CLAIMS,
        "claims: {role: support}",
        "claims: []",
        "claims: [{claim: [realm_access, roles], contains: reader}]",
    ),
    ("/grants/1/when/claims", CLAIMS, "claims: {role: support}", "claims: role", "claims: {role: support}"),
    (
        "/grants/1/when/claims/admin",
        "write the conditions as a list: `claims: [{claim: admin, is: true}]`",
        "claims: {role: support}",
        "claims: {admin: true}",
        "claims: [{claim: admin, is: true}]",
    ),
    (
        "/grants/1/when/claims/level",
        "write the conditions as a list: `claims: [{claim: level, is: 2}]`",
        "claims: {role: support}",
        "claims: {level: 2}",
        "claims: [{claim: level, is: 2}]",
    ),
    ("/grants/1/when/claims/level", SCALARS, "claims: {role: support}", "claims: {level: 1.5}", "claims: {grade: senior}"),
    (
        "/grants/1/when/claims/0/is",
        SCALARS,
        "claims: {role: support}",
        "claims: [{claim: level, is: -1}]",
        "claims: [{claim: grade, is: senior}]",
    ),
    (
        "/grants/1/when/claims/role",
        "write a condition for each as a list: `claims: [{claim: role, contains: …}]`",
        "claims: {role: support}",
        "claims: {role: [support, billing]}",
        "claims: [{claim: role, contains: support}, {claim: role, contains: billing}]",
    ),
    (
        "/grants/1/when/claims/realm_access",
        "write the way to the claim as a list: `claims: [{claim: [realm_access, …], contains: …}]`",
        "claims: {role: support}",
        "claims: {realm_access: {roles: reader}}",
        "claims: [{claim: [realm_access, roles], contains: reader}]",
    ),
    (
        "/grants/1/when/claims/role",
        "write the text that it must have",
        "claims: {role: support}",
        "claims: {role: ~}",
        "claims: {role: support}",
    ),
    (
        "/grants/1/when/claims/0",
        "for example `claim: scope`, or `claim: [realm_access, roles]`",
        "claims: {role: support}",
        "claims: [{word: orders}]",
        "claims: [{claim: scope, word: orders}]",
    ),
    (
        "/grants/1/when/claims/0",
        ONE,
        "claims: {role: support}",
        "claims: [{claim: role}]",
        "claims: [{claim: role, is: support}]",
    ),
    (
        "/grants/1/when/claims/0",
        ONE,
        "claims: {role: support}",
        "claims: [{claim: role, is: support, word: billing}]",
        "claims: [{claim: role, is: support}, {claim: role, word: billing}]",
    ),
    (
        "/grants/1/when/claims/0/word",
        "write a condition for each word",
        "claims: {role: support}",
        "claims: [{claim: scope, word: read write}]",
        "claims: [{claim: scope, word: read}, {claim: scope, word: write}]",
    ),
    (
        "/grants/1/when/claims/0/contains",
        "put it in quotes",
        "claims: {role: support}",
        "claims: [{claim: levels, contains: 2}]",
        "claims: [{claim: levels, contains: \"2\"}]",
    ),
];

const BEGINNING: &str = "`*` stands only at the end, after a beginning; at most 256 bytes";
const EVERYBODY: &str = "`**` alone would be everybody: write what the text begins with before it, or name an `issuer`";
const SUBJECT: &str = "/grants/0/when/subject";
const AGENTS: &str = "{subject: \"agent-*\"}";
const ALLOW: &str = "allow: [orders.list, orders.read]";

const PATTERNS: [(&str, &str, &str, &str, &str); 8] = [
    (SUBJECT, BEGINNING, AGENTS, "{subject: \"*-agent\"}", AGENTS),
    (
        "/grants/1/when/claims/role",
        BEGINNING,
        "claims: {role: support}",
        "claims: {role: \"*port\"}",
        "claims: {role: \"support*\"}",
    ),
    (
        SUBJECT,
        "`*` stands only at the end: write `agent-*`, or `agent-**` to go beyond a `/`",
        AGENTS,
        "{subject: \"agent-*-x\"}",
        "{subject: \"agent-*\"}",
    ),
    (
        SUBJECT,
        "`*` stands only at the end: write `agent-*`, or `agent-**` to go beyond a `/`",
        AGENTS,
        "{subject: \"agent-*/x\"}",
        "{subject: \"agent-**\"}",
    ),
    (SUBJECT, EVERYBODY, AGENTS, "{subject: \"**\"}", "{subject: \"agent-**\"}"),
    (SUBJECT, EVERYBODY, AGENTS, "{subject: \"**\"}", "{issuer: https://broker.example}"),
    ("/grants/0/allow/0", "`*` stands only at the end; at most 256 bytes", ALLOW, "allow: [\"*.list\"]", "allow: [\"orders.*\"]"),
    (
        "/grants/0/allow/0",
        "the names of commands have no `/`: write `orders.*`",
        ALLOW,
        "allow: [\"orders.**\"]",
        "allow: [\"orders.*\"]",
    ),
];

/// Of a grant's `calls` and `after`.
fn usage() -> Vec<Row> {
    let good = "    max_lifetime: 15m\n";
    let text = |rules: &str| format!("{good}    {rules}\n");
    let rule = "{commands: [orders.read], count: 3, within: 1m}";
    let five =
        (2..=6).map(|count| format!("{{commands: [orders.read], count: 3, within: {count}m}}")).collect::<Vec<_>>().join(", ");
    let count = "write a whole number from 1 to 10000, for example `count: 10`";
    let within = "for example `within: 1m`; leave it out for as long as the session";
    let calls = |rest: &str| text(&format!("calls: [{{{rest}}}]"));
    let after = |rest: &str| text(&format!("after: [{{{rest}}}]"));
    let rows = [
        (
            "/grants/0/calls",
            "leave the one with the lower count",
            text(&format!("calls: [{rule}, {{commands: [orders.read], count: 2, within: 1m}}]")),
            calls("commands: [orders.read], count: 2, within: 1m"),
        ),
        (
            "/grants/0/calls",
            "name several commands in one rule, or write a grant for some of them",
            text(&format!("calls: [{five}]")),
            calls("commands: [orders.read, orders.list], count: 3, within: 2m"),
        ),
        (
            "/grants/0/calls/0",
            "for example `commands: [tickets.close]`",
            calls("count: 10"),
            calls("count: 10, commands: [orders.read]"),
        ),
        (
            "/grants/0/calls/0",
            "for example `count: 10`",
            calls("commands: [orders.read]"),
            calls("commands: [orders.read], count: 10"),
        ),
        (
            "/grants/0/calls/0/count",
            count,
            calls("commands: [orders.read], count: 0"),
            calls("commands: [orders.read], count: 10"),
        ),
        (
            "/grants/0/calls/0/count",
            count,
            calls("commands: [orders.read], count: 10001"),
            calls("commands: [orders.read], count: 10000"),
        ),
        (
            "/grants/0/calls/0/count",
            count,
            calls("commands: [orders.read], count: ten"),
            calls("commands: [orders.read], count: 10"),
        ),
        (
            "/grants/0/calls/0/within",
            within,
            calls("commands: [orders.read], count: 10, within: 0s"),
            calls("commands: [orders.read], count: 10, within: 1m"),
        ),
        (
            "/grants/0/calls/0/within",
            within,
            calls("commands: [orders.read], count: 10, within: 25h"),
            calls("commands: [orders.read], count: 10"),
        ),
        (
            "/grants/0/calls/0/commands/0",
            "add it to `allow`, or remove it",
            calls("commands: [users.Get, orders.read], count: 10"),
            calls("commands: [orders.read], count: 10"),
        ),
        (
            "/grants/0/after/0",
            "for example `commands: [tickets.close]`",
            after("needs: orders.list"),
            after("commands: [orders.read], needs: orders.list"),
        ),
        (
            "/grants/0/after/0",
            "for example `needs: tickets.read`",
            after("commands: [orders.read]"),
            after("commands: [orders.read], needs: orders.list"),
        ),
        (
            "/grants/0/after/0/needs",
            "name one of `commands`, in full",
            after("commands: [orders.read], needs: \"orders.*\""),
            after("commands: [orders.read], needs: orders.list"),
        ),
        (
            "/grants/0/after/0",
            "take it out of `commands`, or name another in `needs`",
            after("commands: [orders.read, orders.list], needs: orders.list"),
            after("commands: [orders.read], needs: orders.list"),
        ),
    ];
    rows.iter().map(|(place, help, wrong, right)| Row::new(POLICY, (place, help, good, wrong, right))).collect()
}
