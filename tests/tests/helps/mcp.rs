//! Commands in bodies, and what their arguments are held to.

use crate::rows::{Row, rows};

/// A policy of one endpoint.
const MCP: &str = r#"version: 1
name: tickets
tokens:
  issuers:
    - issuer: https://broker.example
      audiences: [tickets]
      algorithms: [ES256]
      types: [session+jwt]
      keys: {jwks: {keys: [{kty: EC, crv: P-256, kid: k, x: f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU, "y": x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0}]}}
session: {max_lifetime: 1h}
commands:
  health: {http: {methods: [GET], path: /healthz}}
  mcp.base: {mcp: {path: /mcp, methods: [initialize, ping, tools/list, resources/list, "notifications/*"]}}
  tickets.docs: {mcp: {path: /mcp, resources: ["docs://handbook/**"]}}
  tickets.search: {mcp: {path: /mcp, tools: [search], arguments: {type: object, properties: {limit: {type: integer, maximum: 100}}}, narrow: true}}
unmediated: [health]
grants:
  - name: agents
    when: {subject: "agent-*"}
    allow: [mcp.base, tickets.docs, tickets.search]
upstream:
  credential: {header: authorization, value: "Bearer ${env:TICKETS_TOKEN}"}
  direct_credentials: {refuse: [basic, opaque_bearer]}
  strip: [cookie]
limits: {body_bytes: 9000}
"#;

pub(crate) fn all() -> Vec<Row> {
    let mut all = rows(MCP, &MATCHERS);
    all.extend(rows(MCP, &ASKED));
    all.extend(coded());
    all.extend(rows(MCP, &SCHEMAS));
    let long = format!("pattern: \"{}\"", "a".repeat(600));
    all.push(Row::new(MCP, (PATTERN, "shorten it to 512 bytes", NUMBER, &format!("{{type: string, {long}}}"), STRING)));
    let nested = format!("{}true{}", "{anyOf: [".repeat(11), "]}".repeat(11));
    all.push(Row::new(MCP, (&*DEEP, "say less: 512 schemas within one, 12 deep", NUMBER, &nested, NUMBER)));
    let tool = format!("tools: [\"{}\"]", "a".repeat(300));
    let most = "`*` stands only at the end; at most 256 bytes";
    all.push(Row::new(MCP, ("/commands/tickets.search/mcp/tools/0", most, "tools: [search]", &tool, "tools: [search]")));
    all
}

const SEARCH: &str = "/commands/tickets.search/mcp";
const ARGUMENTS: &str = "/commands/tickets.search/mcp/arguments";
const LIMIT: &str = "/commands/tickets.search/mcp/arguments/properties/limit";
const PATTERN: &str = "/commands/tickets.search/mcp/arguments/properties/limit/pattern";
const METHOD: &str = "/commands/mcp.base/mcp/methods/0";
const URI: &str = "write a URI with its scheme, such as `docs://handbook/start`, or a beginning and `*` or, beyond a `/`, `**`";
const NUMBER: &str = "{type: integer, maximum: 100}";
const STRING: &str = "{type: string}";
static DEEP: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| format!("{LIMIT}{}", "/anyOf/0".repeat(11)));

const MATCHERS: [(&str, &str, &str, &str, &str); 23] = [
    (
        "/commands/tickets.search/mcp/versions/0",
        "take it out: whoever names it after `initialize` is refused",
        "tools: [search]",
        "tools: [search], versions: [2024-11-05]",
        "tools: [search]",
    ),
    (
        "/commands/tickets.search",
        "name it once, or in matchers that differ in `versions`",
        "tools: [search]",
        "tools: [search, search]",
        "tools: [search]",
    ),
    (SEARCH, "for example `path: /mcp`", "{path: /mcp, tools: [search]", "{tools: [search]", "{path: /mcp, tools: [search]"),
    (
        "/commands/mcp.base/mcp",
        "name what it is, such as `tools: [search]`, or `methods: [initialize, ping, tools/list]`",
        ", methods: [initialize, ping, tools/list, resources/list, \"notifications/*\"]",
        "",
        ", methods: [initialize, ping, tools/list]",
    ),
    (
        "/commands/tickets.docs/mcp/arguments",
        "remove it, or name the tools or prompts whose arguments it bounds",
        "resources: [\"docs://handbook/**\"]",
        "resources: [\"docs://handbook/**\"], arguments: {type: object}",
        "resources: [\"docs://handbook/**\"], prompts: [summarize], arguments: {type: object}",
    ),
    (
        "/commands/tickets.docs/mcp/narrow",
        "remove it, or write `tools` and `arguments` beside it",
        "resources: [\"docs://handbook/**\"]",
        "resources: [\"docs://handbook/**\"], narrow: true",
        "resources: [\"docs://handbook/**\"]",
    ),
    (METHOD, "take it out, and write `tools: [search]`", "[initialize, ping", "[tools/call, ping", "[ping"),
    (
        METHOD,
        "take it out, and write `resources: [\"docs://handbook/**\"]`",
        "[initialize, ping",
        "[resources/read, ping",
        "[ping",
    ),
    (
        METHOD,
        "name the methods one by one, without `tasks/list`",
        "[initialize, ping",
        "[\"tasks/*\", ping",
        "[tasks/get, tasks/result, ping",
    ),
    (
        METHOD,
        "name the methods, or those of one kind: `notifications/*`",
        "[initialize, ping",
        "[\"init*\", ping",
        "[initialize, ping",
    ),
    (
        METHOD,
        "write one method, such as `tools/list`, or a beginning such as `notifications/*`",
        "[initialize, ping",
        "[7, ping",
        "[tools/get, ping",
    ),
    (METHOD, "`*` stands only at the end; at most 256 bytes", "[initialize, ping", "[\"*/list\", ping", "[prompts/list, ping"),
    (
        "/commands/tickets.search/mcp/tools/0",
        "write one name, such as `search`, or a beginning such as `read_*`",
        "tools: [search]",
        "tools: [7]",
        "tools: [\"read_*\"]",
    ),
    (
        "/commands/tickets.search/mcp/tools/0",
        "`*` stands only at the end; at most 256 bytes",
        "tools: [search]",
        "tools: [\"*search\"]",
        "tools: [\"search*\"]",
    ),
    ("/commands/tickets.docs/mcp/resources/0", URI, "docs://handbook/**", "handbook/start", "docs://handbook/start"),
    ("/commands/tickets.docs/mcp/resources/0", URI, "\"docs://handbook/**\"", "7", "\"docs://handbook/*\""),
    (
        "/commands/tickets.search",
        "name it once, or in matchers that differ in `versions`",
        "tools: [search], ",
        "tools: [search], methods: [ping], ",
        "tools: [search], ",
    ),
    (
        "/commands/tickets.search",
        "name it once, or in matchers that differ in `versions`",
        "  tickets.search: {mcp: {path: /mcp, tools: [search], ",
        "  tickets.find: {mcp: {path: /mcp, tools: [search], versions: [\"2026-07-28\"]}}\n  tickets.search: {mcp: {path: /mcp, tools: [search], ",
        "  tickets.find: {mcp: {path: /mcp, tools: [search], versions: [\"2026-07-28\"]}}\n  tickets.search: {mcp: {path: /mcp, tools: [search], versions: [\"2025-11-25\"], ",
    ),
    (
        "/commands/tickets.post",
        "make one path strictly more specific, or tell them apart by method or host",
        "tickets.search: {mcp: {path: /mcp, tools: [search]",
        "tickets.post: {http: {methods: [POST], path: /mcp}}\n  tickets.search: {mcp: {path: /mcp, tools: [search]",
        "tickets.post: {http: {methods: [POST], path: /rest}}\n  tickets.search: {mcp: {path: /mcp, tools: [search]",
    ),
    (
        "/unmediated/0",
        "take it out, and grant it",
        "unmediated: [health]",
        "unmediated: [mcp.base, health]",
        "unmediated: [health]",
    ),
    (
        "/commands/health",
        "write `http: {methods: […], path: …}`, `grpc: {service: …, methods: […]}` or `mcp: {path: …, tools: […]}`",
        "health: {http: {methods: [GET], path: /healthz}}",
        "health: {}",
        "health: {http: {methods: [GET], path: /healthz}}",
    ),
    ("/commands/tickets.search/mcp/tols", "did you mean `tools`?", "tools: [search]", "tols: [search]", "tools: [search]"),
    (
        "/limits/body_bytes",
        "write a whole number from 1 to 4194304, or leave it out for the default",
        "body_bytes: 9000",
        "body_bytes: 5000000",
        "body_bytes: 4194304",
    ),
];

/// What a reviewer would ask about.
const ASKED: [(&str, &str, &str, &str, &str); 7] = [
    (
        "/commands/tickets.search/mcp/tools/0",
        "name the tools that are needed, such as `tools: [search, \"read_*\"]`",
        "tools: [search]",
        "tools: [\"*\"]",
        "tools: [search, \"read_*\"]",
    ),
    (
        "/commands/tickets.docs/mcp/resources/0",
        "write it without dot segments, `//`, `#`, spaces, and escapes of `.` and `/`",
        "docs://handbook/**",
        "docs://handbook/../**",
        "docs://handbook/**",
    ),
    ("/grants/0/allow", "allow a command with `methods: [tools/list]` of that path as well", "tools/list, ", "", "tools/list, "),
    (
        "/grants/0/allow",
        "allow a command with `methods: [initialize, resources/list]` of that path as well",
        "[initialize, ping, tools/list, resources/list",
        "[ping, tools/list",
        "[initialize, ping, tools/list, \"resources/*\"",
    ),
    (
        "/commands/tickets.more/mcp/path",
        "write `path: /mcp` here, too",
        "unmediated:",
        "  tickets.more: {mcp: {path: /mcp/, tools: [more]}}\nunmediated:",
        "  tickets.more: {mcp: {path: /mcp, tools: [more]}}\nunmediated:",
    ),
    ("/grants/0/allow/1", "remove one of them", "allow: [mcp.base, ", "allow: [mcp.base, mcp.base, ", "allow: [mcp.base, "),
    ("/commands/health/http/methods/1", "remove one of them", "methods: [GET]", "methods: [GET, GET]", "methods: [GET]"),
];

const LOOK_ALIKE: &str = "give `POST /mcp/` a command that nobody is granted, or take POST from this one";

/// What no answer passes in, and what is judged by no message.
fn coded() -> Vec<Row> {
    let more =
        "  files: {http: {methods: [PUT], path: \"/{*rest}\"}}\n  users: {grpc: {service: users.v1.Users, methods: [Get]}}\n";
    let policy = MCP
        .replace("unmediated:", &format!("{more}unmediated:"))
        .replace("tickets.search]", "tickets.search, files, users]")
        .replace("limits:", "  echoed_credential: cut\nlimits:");
    let text = "methods: [Get]";
    let form = ("/commands/users/grpc/forms/1", "take it out, or write `echoed_credential: remove`");
    let forms = |forms: &str| format!("{text}, forms: [{forms}]");
    let kept = "{methods: [PUT, POST], path: \"/{*rest}\"}}\n  odd: {http: {methods: [POST], path: /mcp/}}";
    let (put, post) = ("{methods: [PUT], path: \"/{*rest}\"}}", "{methods: [PUT, POST], path: \"/{*rest}\"}}");
    vec![
        Row::new(&policy, (form.0, form.1, text, &forms("grpc, grpc_web_text"), &forms("grpc, grpc_web"))),
        Row::new(&policy, (form.0, form.1, text, &forms("grpc, grpc_web_text"), &forms("grpc, grpc_web_text"))).and(
            "echoed_credential: cut",
            "echoed_credential: cut",
            "echoed_credential: remove",
        ),
        Row::new(&policy, ("/commands/files", LOOK_ALIKE, put, post, kept)),
        Row::new(&policy, ("/commands/files", LOOK_ALIKE, put, post, put)),
    ]
}

const SCHEMAS: [(&str, &str, &str, &str, &str); 21] = [
    (
        ARGUMENTS,
        "write `type: object`, with `properties`",
        "{type: object, properties: {limit: {type: integer, maximum: 100}}}",
        "{type: integer, maximum: 100}",
        "{type: object, properties: {limit: {type: integer, maximum: 100}}}",
    ),
    (FORMAT.0, FORMAT.1, NUMBER, "{type: string, format: email}", "{type: string, pattern: \"^[^@]+@[^@]+$\"}"),
    (REF.0, REF.1, NUMBER, "{$ref: \"#/$defs/limit\"}", NUMBER),
    (
        "/commands/tickets.search/mcp/arguments/$defs",
        "write each schema out where it is used",
        "arguments: {type: object,",
        "arguments: {type: object, $defs: {},",
        "arguments: {type: object,",
    ),
    (
        "/commands/tickets.search/mcp/arguments/patternProperties",
        "name the members under `properties`",
        "arguments: {type: object,",
        "arguments: {type: object, patternProperties: {},",
        "arguments: {type: object,",
    ),
    (
        "/commands/tickets.search/mcp/arguments/if",
        "write the cases as `anyOf`",
        "arguments: {type: object,",
        "arguments: {type: object, if: {},",
        "arguments: {type: object,",
    ),
    (
        "/commands/tickets.search/mcp/arguments/properties",
        "write `properties: {limit: {type: integer, maximum: 100}}`",
        "properties: {limit: {type: integer, maximum: 100}}",
        "properties: [limit]",
        "properties: {limit: {type: integer, maximum: 100}}",
    ),
    (
        PATTERN,
        "write a regular expression, such as `^[a-z]+$`",
        NUMBER,
        "{type: string, pattern: 7}",
        "{type: string, pattern: \"^[a-z]+$\"}",
    ),
    (
        PATTERN,
        "write it without looking around, referring back, flags, `\\p{…}` and large repetitions, and close what it opens",
        NUMBER,
        "{type: string, pattern: \"^(?=a)\"}",
        "{type: string, pattern: \"^a\"}",
    ),
    (
        "/commands/tickets.search/mcp/arguments/properties/limit/maximum",
        "write a number, without quotes",
        NUMBER,
        "{type: integer, maximum: \"100\"}",
        NUMBER,
    ),
    (
        "/commands/tickets.search/mcp/arguments/properties/limit/maxLength",
        "write a whole number of 0 or more",
        NUMBER,
        "{type: string, maxLength: -1}",
        "{type: string, maxLength: 0}",
    ),
    (
        "/commands/tickets.search/mcp/arguments/properties/limit/multipleOf",
        "write a whole number of 1 or more",
        NUMBER,
        "{type: integer, multipleOf: 0}",
        "{type: integer, multipleOf: 1}",
    ),
    (
        "/commands/tickets.search/mcp/arguments/properties/limit/maximum",
        "remove it, or write `type: number`",
        NUMBER,
        "{type: string, maximum: 100}",
        "{type: number, maximum: 100}",
    ),
    (
        "/commands/tickets.search/mcp/arguments/properties/limit/maxLength",
        "remove it, or write `type: string`",
        NUMBER,
        "{type: integer, maxLength: 100}",
        "{type: string, maxLength: 100}",
    ),
    (
        LIMIT,
        "let some value be within all of its bounds, and of its type",
        NUMBER,
        "{type: integer, minimum: 5, maximum: 4}",
        NUMBER,
    ),
    (
        LIMIT,
        "let some value be within all of its bounds, and of its type",
        NUMBER,
        "{type: integer, enum: [a]}",
        "{type: integer, enum: [1]}",
    ),
    (
        "/commands/tickets.search/mcp/arguments/required",
        "did you mean `limit`?",
        "properties: {limit: {type: integer, maximum: 100}}}",
        "properties: {limit: {type: integer, maximum: 100}}, additionalProperties: false, required: [limits]}",
        "properties: {limit: {type: integer, maximum: 100}}, additionalProperties: false, required: [limit]}",
    ),
    (
        "/commands/tickets.search/mcp/arguments/required",
        "name `query` under `properties`",
        "properties: {limit: {type: integer, maximum: 100}}}",
        "properties: {limit: {type: integer, maximum: 100}}, additionalProperties: false, required: [query]}",
        "properties: {limit: {type: integer, maximum: 100}, query: true}, additionalProperties: false, required: [query]}",
    ),
    (LIMIT_TYPE, "did you mean `integer`?", NUMBER, "{type: integr}", NUMBER),
    (
        "/commands/tickets.search/mcp/arguments/properties/limit/enum",
        "leave the member out, or say what it holds",
        NUMBER,
        "{enum: []}",
        "{enum: [1]}",
    ),
    (
        "/commands/tickets.search/mcp/arguments/properties/limit/maxmum",
        "did you mean `maximum`?",
        NUMBER,
        "{type: integer, maxmum: 100}",
        NUMBER,
    ),
];

const LIMIT_TYPE: &str = "/commands/tickets.search/mcp/arguments/properties/limit/type";
const FORMAT: (&str, &str) = (
    "/commands/tickets.search/mcp/arguments/properties/limit/format",
    "write a `pattern`: `format` is a note by the standard, and would hold nothing",
);
const REF: (&str, &str) = ("/commands/tickets.search/mcp/arguments/properties/limit/$ref", "write the schema out in its place");
