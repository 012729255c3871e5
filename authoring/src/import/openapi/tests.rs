use super::*;
use chaperone_policy::Policy;

fn draft(text: &str) -> Draft {
    let mut operations = Operations::default();
    operations.read(text).unwrap();
    operations.draft()
}

fn left_out(draft: &Draft) -> Vec<&str> {
    draft.left_out.iter().map(|(what, _)| what.as_str()).collect()
}

const ORDERS: &str = r#"
openapi: 3.1.0
info: {title: Orders, version: 1.0.0}
servers:
  - url: https://{region}.orders.example:8443/v1/
    variables: {region: {default: eu}}
paths:
  /orders:
    get: {operationId: listOrders, responses: {200: {description: ok}}}
    head: {responses: {200: {description: ok}}}
    post: {operationId: "orders/create", responses: {201: {description: ok}}}
  /orders/{order-id}:
    parameters: [{name: order-id, in: path, required: true, schema: {type: string}}]
    get: {operationId: getOrder, responses: {200: {description: ok}}}
    trace: {responses: {200: {description: ok}}}
  /orders/{order-id}/lines/{order_id}:
    put: {responses: {200: {description: ok}}}
    patch: {responses: {200: {description: ok}}}
  /search?q={q}:
    get: {responses: {200: {description: ok}}}
  /files/{+path}:
    get: {responses: {200: {description: ok}}}
  /elsewhere:
    $ref: ./elsewhere.yaml
  /health:
    servers: [{url: /}]
    get: {operationId: "null", responses: {200: {description: ok}}}
"#;

#[test]
fn each_operation_is_a_command_and_what_cannot_be_one_is_said() {
    let draft = draft(ORDERS);
    assert_eq!(
        draft.yaml(),
        r#"commands:
  "null":              {http: {methods: [GET], path: /health}}
  listOrders:          {http: {methods: [GET, HEAD], path: /v1/orders, hosts: [eu.orders.example]}}
  orders.create:       {http: {methods: [POST], path: /v1/orders, hosts: [eu.orders.example]}}
  getOrder:            {http: {methods: [GET], path: "/v1/orders/{order_id}", hosts: [eu.orders.example]}}
  orders.lines.update: {http: {methods: [PUT, PATCH], path: "/v1/orders/{order_id}/lines/{order_id_2}", hosts: [eu.orders.example]}}
"#
    );
    assert_eq!(left_out(&draft), ["/elsewhere", "GET /files/{+path}", "TRACE /orders/{order-id}", "GET /search?q={q}"]);
    assert!(draft.left_out[0].1.contains("./elsewhere.yaml"));
}

#[test]
fn a_policy_takes_every_draft() {
    for text in [ORDERS, SWAGGER, CONFLICTS] {
        let yaml = draft(text).yaml();
        let policy = format!(
            "version: 1\nname: a\ntokens: {{issuers: [{{issuer: https://a.example, audiences: [a], algorithms: [ES256], keys: {{endpoint: {{cluster: a, authority: a.example, path: /j}}}}}}]}}\nsession: {{max_lifetime: 5m}}\ngrants: []\n{yaml}"
        );
        let document = crate::source::Document::parse("policy.yaml", policy).unwrap();
        Policy::compile(document.value().to_string().as_bytes()).unwrap_or_else(|errors| panic!("{errors}\n{yaml}"));
    }
}

const SWAGGER: &str = r#"{"swagger": "2.0", "host": "api.example:443", "basePath": "/v2", "x-a": 1,
 "paths": {"/pets/{id}": {"get": {"responses": {}}, "delete": {"operationId": "pets/delete:one"}}, "/pets": {"get": {}}, "/": {"get": {}}}}"#;

#[test]
fn swagger_has_a_host_and_a_base_path_and_names_come_of_paths() {
    assert_eq!(
        draft(SWAGGER).yaml(),
        r#"commands:
  root.list:       {http: {methods: [GET], path: /v2/, hosts: [api.example]}}
  pets.list:       {http: {methods: [GET], path: /v2/pets, hosts: [api.example]}}
  pets.read:       {http: {methods: [GET], path: "/v2/pets/{id}", hosts: [api.example]}}
  pets.delete.one: {http: {methods: [DELETE], path: "/v2/pets/{id}", hosts: [api.example]}}
"#
    );
}

const CONFLICTS: &str = "
openapi: 3.0.3
servers: [{url: /a}, {url: 'https://x.example/a'}, {url: 'https://y.example/b'}, {url: 'https://z.example/b'}]
paths:
  /{x}/c: {get: {operationId: same}}
  /b/{y}: {get: {operationId: same}}
  /{x}/d: {get: {}}
";

#[test]
fn two_commands_for_one_request_are_not_both_drafted_and_servers_are_matchers() {
    let draft = draft(CONFLICTS);
    assert!(!draft.left_out.is_empty());
    assert!(draft.left_out.iter().all(|(_, why)| why.contains("the same request")), "{:?}", draft.left_out);
    let yaml = draft.yaml();
    assert!(yaml.contains("{http: {methods: [GET], path: \"/b/{x}/d\", hosts: [y.example, z.example]}}"), "{yaml}");
    assert!(yaml.contains("{http: {methods: [GET], path: \"/a/{x}/d\"}}"), "one that is served anywhere has no hosts: {yaml}");
}

#[test]
fn other_documents_are_refused_with_their_line() {
    let refused = |text: &str| Operations::default().read(text).unwrap_err();
    assert!(refused("a: 1").1.contains("no OpenAPI document"));
    assert!(refused("openapi: 4.0.0\npaths: {}").1.contains("4.0.0"));
    assert!(refused("openapi: 3.0.0").1.contains("paths"));
    assert_eq!(refused("openapi: 3.0.0\npaths: ]\nx: 1\n").0, 2);
    assert!(refused("").1.contains("empty"));
    assert!(refused(&format!("{}x", "- ".repeat(1000))).1.contains("levels"));
    assert!(refused(&format!("a: {}", "[".repeat(100_000))).1.contains("not YAML"), "the parser has a bound of its own");
}

#[test]
fn what_other_programs_write_is_taken_as_it_comes() {
    let text = "openapi: 3.0.0\nx: &all {get: {}}\npaths:\n  /a: *all\n  /b: !!map {get: {}}\n  /b: {get: {}, post: {}}\n  /c: {$ref: '#/components/pathItems/C'}\ncomponents: {pathItems: {C: {get: {operationId: c}}}}\n";
    let draft = draft(text);
    assert_eq!(
        draft.yaml(),
        "commands:\n  b.list: {http: {methods: [GET], path: /b}}\n  c:      {http: {methods: [GET], path: /c}}\n"
    );
    assert_eq!(left_out(&draft), ["/a"]);
}
