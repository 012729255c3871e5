//! The document as a whole: forms of values, names, members at the top.

use crate::{
    good::{KEYED, POLICY},
    rows::{Row, rows},
};

pub(crate) fn all() -> Vec<Row> {
    let mut all = rows(POLICY, &FORMS);
    all.extend(rows(POLICY, &MEMBERS));
    all.extend(rows(POLICY, &ENDINGS));
    all.extend(rows(KEYED, &MANDATORY));
    // Of what an established session may do; none of it here is about the number of the list.
    let observable = "take it out; what can be observed: ";
    let list = chaperone_policy::Reason::ALL.into_iter().filter(|reason| reason.can_be_observed()).map(|reason| reason.code());
    let list = list.collect::<Vec<_>>().join(", ");
    all.push(Row::new(
        KEYED,
        (
            "/observe/0",
            &format!("{observable}{list}"),
            "name: orders\n",
            "name: orders\nobserve: [expired]\n",
            "name: orders\nobserve: []\n",
        ),
    ));
    let mass = |entries: usize| -> String {
        (0..entries).map(|number| format!("  - {{session: \"{number}\", because: \"x\"}}\n")).collect()
    };
    let (end, status) = ("upstream:\n", "      types: [session+jwt]\n");
    let revoked = |entries| format!("revoked:\n{}{end}", mass(entries));
    let help = "take out those whose sessions have reached their longest lifetime";
    all.push(Row::new(KEYED, ("/revoked", help, end, &revoked(120_001), &revoked(10))));
    let long = format!("revoked:\n{}{end}", mass(60_000).replace("because: \"x\"", &format!("because: \"{}\"", "x".repeat(120))));
    let listed = format!("{status}      status: {{cluster: broker, uris: [\"https://broker.example/status/1\"]}}\n");
    let help = "put mass revocations into a status list";
    all.push(Row::new(KEYED, ("", help, end, &long, end)).and(status, status, &listed));
    all
}

/// Place, help, and of the good text, of the mistake, of what the help says.
type Table<const N: usize> = [(&'static str, &'static str, &'static str, &'static str, &'static str); N];

const FORMS: Table<31> = [
    (
        "/session",
        "write what it holds as members, each with its name: `{name: value}`",
        "session: {max_lifetime: 1h, clock_skew: 30s, idle_timeout: 5m, orphaned_streams: 10s, bind: [dpop], dpop: {origins: [\"https://orders.example\"]}}",
        "session: 1h",
        "session: {max_lifetime: 1h}",
    ),
    (
        "/audit",
        "write what it holds as members, each with its name: `{name: value}`",
        "audit: {header_prefix: x-orders-}",
        "audit: x-orders-",
        "audit: {header_prefix: x-orders-}",
    ),
    ("/generation", "write digits, such as `generation: 1`", "generation: 4", "generation: \"4\"", "generation: 1"),
    ("/generation", "write digits, such as `generation: 1`", "generation: 4", "generation: 1.5", "generation: 1"),
    ("/version", "write `version: 1`", "version: 1", "version: \"2\"", "version: 1"),
    ("/version", "write `version: 1`", "version: 1", "version: 2", "version: 1"),
    ("/name", "put it in quotes", "name: orders\n", "name: 7\n", "name: \"7\"\n"),
    ("/name", "put it in quotes", "name: orders\n", "name: true\n", "name: \"true\"\n"),
    ("/name", "write one text here", "name: orders\n", "name: [orders]\n", "name: orders\n"),
    ("/name", "write a text between the quotes", "name: orders\n", "name: \"\"\n", "name: \"orders\"\n"),
    (
        "/name",
        "use letters, digits, `.`, `_` and `-`, at most 256 of them",
        "name: orders\n",
        "name: all orders\n",
        "name: all-orders\n",
    ),
    ("/grants/0/when/subject", "put it in quotes", "subject: \"agent-*\"", "subject: 7", "subject: \"7\""),
    ("/revoked/0/session", "put it in quotes", "session: s-1", "session: 123", "session: \"123\""),
    ("/mode", "known here: enforce, observe", "generation: 4", "mode: true", "mode: enforce"),
    ("/mode", "known here: enforce, observe", "generation: 4", "mode: audit", "mode: enforce"),
    ("/mode", "did you mean `enforce`?", "generation: 4", "mode: enforced", "mode: enforce"),
    (
        "/tokens/issuers/0/status/required",
        "write `true` or `false`, without quotes",
        "status: {",
        "status: {required: \"true\", ",
        "status: {required: true, ",
    ),
    (
        "/session/max_lifetime",
        "write a whole number and a unit: `30s`, `15m`, `8h` or `1d`",
        "max_lifetime: 1h, ",
        "max_lifetime: 900, ",
        "max_lifetime: 15m, ",
    ),
    (
        "/session/max_lifetime",
        "write a whole number and a unit: `30s`, `15m`, `8h` or `1d`",
        "max_lifetime: 1h, ",
        "max_lifetime: 1h30m, ",
        "max_lifetime: 15m, ",
    ),
    (
        "/tokens/issuers/0/keys/endpoint/refresh",
        "write a whole number and a unit: `30s`, `15m`, `8h` or `1d`",
        "refresh: 5m",
        "refresh: [5m]",
        "refresh: 30s",
    ),
    (
        "/tokens/issuers/0/audiences",
        "put it between `[` and `]`",
        "audiences: [orders]",
        "audiences: orders",
        "audiences: [orders]",
    ),
    (
        "/tokens/from",
        "put it between `[` and `]`",
        "from: [{header: authorization, scheme: DPoP}, {header: x-session-token}]",
        "from: {header: authorization, scheme: DPoP}",
        "from: [{header: authorization, scheme: DPoP}]",
    ),
    ("/tokens/issuers/0/audiences", "list what it holds: `[…]`", "audiences: [orders]", "audiences: ~", "audiences: [orders]"),
    ("/tokens/issuers/0/audiences", "list what it holds: `[…]`", "audiences: [orders]", "audiences: 7", "audiences: [\"7\"]"),
    (
        "/tokens/issuers/0/audiences",
        "say what it holds: it cannot be empty, nor be left out",
        "audiences: [orders]",
        "audiences: []",
        "audiences: [orders]",
    ),
    (
        "/tokens/issuers/0/algorithms",
        "say what it holds: it cannot be empty, nor be left out",
        "algorithms: [ES256]",
        "algorithms: []",
        "algorithms: [ES256]",
    ),
    (
        "/grants/0/allow",
        "say what it holds: it cannot be empty, nor be left out",
        "allow: [orders.list, orders.read]",
        "allow: []",
        "allow: [orders.list, orders.read]",
    ),
    (
        "/end_session_when/context_changes",
        "say what it holds: it cannot be empty, nor be left out",
        "context_changes: [source_address]",
        "context_changes: []",
        "context_changes: [source_address]",
    ),
    (
        "/tokens/issuers/0/types",
        "leave the member out, or say what it holds",
        "      types: [session+jwt]\n",
        "      types: []\n",
        "",
    ),
    (
        "/commands/orders.list/http/hosts",
        "leave the member out, or say what it holds",
        ", hosts: [orders.example]",
        ", hosts: []",
        "",
    ),
    ("/tokens/issuers/0/claims/session", "leave the member out, or say what it holds", "session: sid, ", "session: [], ", ""),
];

const MEMBERS: Table<26> = [
    ("/grnats", "did you mean `grants`?", "grants:", "grnats:", "grants:"),
    (
        "/generations",
        "did you mean `generation`? It is here, too: remove one of them",
        "generation: 4\n",
        "generation: 4\ngenerations: 4\n",
        "generation: 4\n",
    ),
    (
        "/limits/x",
        "remove it; known here: verifications_per_second, streams_per_session, unmediated_streams, token_bytes, body_bytes",
        "limits: {token_bytes: 9000}",
        "limits: {token_bytes: 9000, x: 1}",
        "limits: {token_bytes: 9000}",
    ),
    (
        "/limits/token_bytes",
        "write a whole number from 1 to 16384, or leave it out for the default",
        "limits: {token_bytes: 9000}",
        "limits: {token_bytes: 20000}",
        "limits: {token_bytes: 16384}",
    ),
    (
        "/limits/token_bytes",
        "write a whole number from 1 to 16384, or leave it out for the default",
        "limits: {token_bytes: 9000}",
        "limits: {token_bytes: 9k}",
        "limits: {}",
    ),
    (
        "/audit/header_prefix",
        "write a prefix such as `x-orders-`: 4 to 32 lower-case letters, digits and `-`, from `x-` to `-`",
        "header_prefix: x-orders-",
        "header_prefix: orders",
        "header_prefix: x-orders-",
    ),
    (
        "/audit/header_prefix",
        "write a prefix such as `x-orders-`: 4 to 32 lower-case letters, digits and `-`, from `x-` to `-`",
        "header_prefix: x-orders-",
        "header_prefix: 7",
        "header_prefix: x-orders-",
    ),
    (
        "/audit/header_prefix",
        "write a prefix of your own, such as `x-orders-`",
        "header_prefix: x-orders-",
        "header_prefix: x-envoy-audit-",
        "header_prefix: x-orders-",
    ),
    (
        "/audit/headers",
        "did you mean `combined`?",
        "audit: {header_prefix: x-orders-}",
        "audit: {headers: combine}",
        "audit: {headers: combined}",
    ),
    (
        "/audit/source",
        "known here: filter, proxy",
        "audit: {header_prefix: x-orders-}",
        "audit: {source: access_log}",
        "audit: {source: filter}",
    ),
    (
        "/upstream/echoed_credential",
        "name `upstream.credential`, or leave this out",
        "  credential: {header: authorization, value: \"Bearer ${env:ORDERS_TOKEN}\"}\n  echoed_credential: cut",
        "  echoed_credential: cut",
        "  forward_token: false",
    ),
    (
        "/upstream/credential/value",
        "write \"Bearer ${env:ORDERS_TOKEN}\" and give the proxy that environment variable",
        "value: \"Bearer ${env:ORDERS_TOKEN}\"",
        "value: hunter2",
        "value: \"Bearer ${env:ORDERS_TOKEN}\"",
    ),
    (
        "/upstream/credential",
        "write \"Bearer ${env:ORDERS_TOKEN}\" and give the proxy that environment variable",
        "{header: authorization, value: \"Bearer ${env:ORDERS_TOKEN}\"}",
        "{header: authorization}",
        "{header: authorization, value: \"Bearer ${env:ORDERS_TOKEN}\"}",
    ),
    (
        "/upstream/credential/header",
        "name another header, such as `x-api-key`",
        "{header: authorization, value",
        "{header: host, value",
        "{header: x-api-key, value",
    ),
    (
        "/upstream/direct_credentials/refuse/2",
        "for example `{header: x-api-key}`",
        "{refuse: [basic, opaque_bearer]}",
        "{refuse: [basic, opaque_bearer, {}]}",
        "{refuse: [basic, opaque_bearer, {header: x-api-key}]}",
    ),
    (
        "/upstream/direct_credentials/refuse/0",
        "write `basic`, `opaque_bearer` or `{header: x-api-key}`",
        "{refuse: [basic, opaque_bearer]}",
        "{refuse: [7]}",
        "{refuse: [basic]}",
    ),
    (
        "/upstream/direct_credentials",
        "write `direct_credentials: {refuse: [basic, opaque_bearer, {header: x-api-key}]}`",
        "{refuse: [basic, opaque_bearer]}",
        "{}",
        "{refuse: [basic, opaque_bearer, {header: x-api-key}]}",
    ),
    (
        "/upstream/credential",
        "write `direct_credentials: {refuse: [basic, opaque_bearer]}` in `upstream`, with each header that the target takes a key in",
        "  direct_credentials: {refuse: [basic, opaque_bearer]}\n",
        "",
        "  direct_credentials: {refuse: [basic, opaque_bearer]}\n",
    ),
    (
        "/upstream/credential",
        "write `strip: [cookie]` in `upstream`, or make sure that the target takes none",
        "  strip: [cookie]\n",
        "",
        "  strip: [cookie]\n",
    ),
    (
        "/upstream/credential/query",
        "give it to the target in a header, or log `%PATH(NQ)%` or the filter's record in its place",
        "{header: authorization, value: \"Bearer ${env:ORDERS_TOKEN}\"}",
        "{query: key, value: \"${env:ORDERS_TOKEN}\"}",
        "{header: x-api-key, value: \"${env:ORDERS_TOKEN}\"}",
    ),
    (
        "/upstream/credential/query",
        "name a parameter such as `query: api_key`: letters, digits, `-`, `.` and `_`",
        "{header: authorization, value: \"Bearer ${env:ORDERS_TOKEN}\"}",
        "{query: \"a b\", value: \"${env:ORDERS_TOKEN}\"}",
        "{query: api_key, value: \"${env:ORDERS_TOKEN}\"}",
    ),
    (
        "/upstream/credential/1",
        "name each command in one `for`, and leave `for` out of one item at the most",
        "{header: authorization, value: \"Bearer ${env:ORDERS_TOKEN}\"}",
        "[{header: authorization, value: \"${env:ORDERS_TOKEN}\"}, {header: x-api-key, value: \"${env:ORDERS_TOKEN}\"}]",
        "[{header: authorization, value: \"${env:ORDERS_TOKEN}\"}, {for: [orders.list], header: x-api-key, value: \"${env:ORDERS_TOKEN}\"}]",
    ),
    (
        "/upstream/credential",
        "say where it goes: leave one of them out",
        "{header: authorization, value: \"Bearer ${env:ORDERS_TOKEN}\"}",
        "{header: authorization, query: key, value: \"${env:ORDERS_TOKEN}\"}",
        "{header: authorization, value: \"${env:ORDERS_TOKEN}\"}",
    ),
    (
        "/upstream/credential/basic/password",
        "write `password: \"${env:ORDERS_PASSWORD}\"` and give the proxy that environment variable",
        "{header: authorization, value: \"Bearer ${env:ORDERS_TOKEN}\"}",
        "{basic: {user: reporting, password: hunter2}}",
        "{basic: {user: reporting, password: \"${env:ORDERS_PASSWORD}\"}}",
    ),
    (
        "/upstream/credential/basic/user",
        "write `user: reporting`, or `user: \"${env:ORDERS_USER}\"`",
        "{header: authorization, value: \"Bearer ${env:ORDERS_TOKEN}\"}",
        "{basic: {user: \"a:b\", password: \"${env:ORDERS_PASSWORD}\"}}",
        "{basic: {user: reporting, password: \"${env:ORDERS_PASSWORD}\"}}",
    ),
    (
        "/upstream/credential/value",
        "write `{basic: {user: reporting, password: \"${env:ORDERS_PASSWORD}\"}}`",
        "{header: authorization, value: \"Bearer ${env:ORDERS_TOKEN}\"}",
        "{value: x, basic: {user: reporting, password: \"${env:ORDERS_PASSWORD}\"}}",
        "{basic: {user: reporting, password: \"${env:ORDERS_PASSWORD}\"}}",
    ),
];

const ENDINGS: Table<20> = [
    (
        "/session/max_lifetime",
        "for example `max_lifetime: 15m`",
        "max_lifetime: 1h, ",
        "max_lifetime: 0s, ",
        "max_lifetime: 15m, ",
    ),
    ("/session", "for example `max_lifetime: 15m`", "max_lifetime: 1h, ", "", "max_lifetime: 15m, "),
    (
        "/session/clock_skew",
        "write `5m` or less: a larger difference is a broken clock, and lengthens every session",
        "clock_skew: 30s",
        "clock_skew: 10m",
        "clock_skew: 5m",
    ),
    (
        "/session/idle_timeout",
        "for example `idle_timeout: 5m`, or leave it out",
        "idle_timeout: 5m",
        "idle_timeout: 0s",
        "idle_timeout: 5m",
    ),
    (
        "/session/orphaned_streams",
        "write `5m` or less: so long a stream goes on that no revocation reaches any more",
        "orphaned_streams: 10s",
        "orphaned_streams: 6m",
        "orphaned_streams: 5m",
    ),
    ("/session/bind/1", "remove one of them", "bind: [dpop]", "bind: [dpop, dpop]", "bind: [dpop]"),
    (
        "/session",
        "write `dpop: {origins: [\"https://orders.example\"]}`: what a proof is for is never compared with the Host header",
        ", dpop: {origins: [\"https://orders.example\"]}",
        "",
        ", dpop: {origins: [\"https://orders.example\"]}",
    ),
    (
        "/session/dpop",
        "for example `origins: [\"https://orders.example\"]`",
        "dpop: {origins: [\"https://orders.example\"]}",
        "dpop: {}",
        "dpop: {origins: [\"https://orders.example\"]}",
    ),
    (
        "/session/dpop",
        "remove this, or write `bind: [dpop]`",
        "bind: [dpop], dpop: {origins: [\"https://orders.example\"]}",
        "dpop: {origins: [\"https://orders.example\"]}",
        "bind: [client_certificate]",
    ),
    (
        "/session/dpop",
        "remove this, or write `bind: [dpop]`",
        "bind: [dpop], dpop: {origins: [\"https://orders.example\"]}",
        "dpop: {origins: [\"https://orders.example\"]}",
        "bind: [dpop], dpop: {origins: [\"https://orders.example\"]}",
    ),
    (
        "/session/dpop/origins/0",
        "write scheme, host and, where it is another than the scheme's, port: `https://orders.example`",
        "origins: [\"https://orders.example\"]",
        "origins: [orders.example]",
        "origins: [\"https://orders.example\"]",
    ),
    (
        "/session/dpop/origins/0",
        "write scheme, host and, where it is another than the scheme's, port: `https://orders.example`",
        "origins: [\"https://orders.example\"]",
        "origins: [443]",
        "origins: [\"https://orders.example\"]",
    ),
    (
        "/end_session_when/denials/count",
        "write a whole number from 1 to 32, for example `count: 5`",
        "count: 5",
        "count: 33",
        "count: 5",
    ),
    ("/end_session_when/denials", "for example `count: 5`", "count: 5, ", "", "count: 5, "),
    ("/end_session_when/denials", "for example `within: 1m`", "{count: 5, within: 1m}", "{count: 5}", "{count: 5, within: 1m}"),
    ("/end_session_when/denials/within", "for example `within: 1m`", "within: 1m", "within: 0s", "within: 1m"),
    (
        "/end_session_when/source_prefix",
        "write 8 to 32, the leading bits of an IPv4 address that count; of IPv6 it is twice as many",
        "source_prefix: 24",
        "source_prefix: 64",
        "source_prefix: 32",
    ),
    (
        "/end_session_when/source_prefix",
        "add `context_changes: [source_address]`, or remove it",
        ", context_changes: [source_address]",
        "",
        ", context_changes: [source_address]",
    ),
    (
        "/end_session_when",
        "for example `denials: {count: 5, within: 1m}`",
        "end_session_when: {denials: {count: 5, within: 1m}, context_changes: [source_address], source_prefix: 24}",
        "end_session_when: {}",
        "end_session_when: {denials: {count: 5, within: 1m}}",
    ),
    (
        "/revoked/0",
        "name a session, subject, agent, token, issuer or issued_before",
        "{session: s-1, because: \"INC-1\"}",
        "{because: \"INC-1\"}",
        "{agent: crawler, because: \"INC-1\"}",
    ),
];

const MANDATORY: Table<13> = [
    ("", "write `version: 1`", "version: 1\n", "", "version: 1\n"),
    ("", "for example `name: orders`: audit headers and records show it", "name: orders\n", "", "name: orders\n"),
    ("", "write `session: {max_lifetime: 15m}`", "session: {max_lifetime: 1h}\n", "", "session: {max_lifetime: 15m}\n"),
    (
        "",
        "name what requests can be: `commands: {orders.read: {http: {methods: [GET], path: \"/v1/orders/{id}\"}}}`",
        "commands:\n  orders.read: {http: {methods: [GET], path: \"/v1/orders/{id}\"}}\n",
        "",
        "commands: {orders.read: {http: {methods: [GET], path: \"/v1/orders/{id}\"}}}\n",
    ),
    (
        "",
        "without grants nothing is allowed; write `grants: []` for that",
        "grants:\n  - name: agents\n    when: {subject: \"agent-*\"}\n    allow: [orders.read]\n",
        "",
        "grants: []\n",
    ),
    (
        "/upstream/credential",
        "for example `header: authorization`",
        "{header: authorization, value",
        "{value",
        "{header: authorization, value",
    ),
    (
        "/observe/0",
        "did you mean `unknown_command`?",
        "name: orders\n",
        "name: orders\nobserve: [unknown_comand]\n",
        "name: orders\nobserve: [unknown_command]\n",
    ),
    (
        "/grants/0",
        "for example `name: agents`: the audit record names the grant",
        "- name: agents\n    when: {subject: \"agent-*\"}\n",
        "- when: {subject: \"agent-*\"}\n",
        "- name: agents\n    when: {subject: \"agent-*\"}\n",
    ),
    (
        "/grants",
        "give each a name of its own",
        "    allow: [orders.read]\n",
        "    allow: [orders.read]\n  - {name: agents, when: {subject: other}, allow: [orders.read]}\n",
        "    allow: [orders.read]\n  - {name: others, when: {subject: other}, allow: [orders.read]}\n",
    ),
    (
        "/grants/0/transfers",
        "write what is not to be carried, such as `{uploads: deny}`, or a bound, such as `{max_request_bytes: 65536}`",
        "    allow: [orders.read]\n",
        "    allow: [orders.read]\n    transfers: {}\n",
        "    allow: [orders.read]\n    transfers: {uploads: deny}\n",
    ),
    (
        "/grants/0/transfers/max_request_bytes",
        "write 1 or more; for no bound leave the member out",
        "    allow: [orders.read]\n",
        "    allow: [orders.read]\n    transfers: {downloads: deny, max_request_bytes: 0}\n",
        "    allow: [orders.read]\n    transfers: {downloads: deny, max_request_bytes: 1}\n",
    ),
    (
        "/grants/0/transfers/max_response_bytes",
        "write a number of bytes, such as 65536",
        "    allow: [orders.read]\n",
        "    allow: [orders.read]\n    transfers: {max_response_bytes: 64k}\n",
        "    allow: [orders.read]\n    transfers: {max_response_bytes: 65536}\n",
    ),
    (
        "/grants/0/transfers/max_session_response_bytes",
        "write less than 2^48; for no bound leave the member out",
        "    allow: [orders.read]\n",
        "    allow: [orders.read]\n    transfers: {max_session_response_bytes: 281474976710656}\n",
        "    allow: [orders.read]\n    transfers: {max_session_response_bytes: 281474976710655}\n",
    ),
];
