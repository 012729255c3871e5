//! Texts of which `check` has nothing to say.

/// A policy with nearly every member.
pub(crate) const POLICY: &str = r#"version: 1
name: orders
generation: 4
tokens:
  resource_metadata: https://orders.example/meta
  from: [{header: authorization, scheme: DPoP}, {header: x-session-token}]
  issuers:
    - issuer: https://broker.example
      audiences: [orders]
      algorithms: [ES256]
      types: [session+jwt]
      keys: {endpoint: {cluster: broker, authority: broker.example, path: /jwks.json, refresh: 5m, timeout: 5s}}
      status: {cluster: broker, uris: ["https://broker.example/status/1"], max_bytes: 100000}
      claims: {session: sid, agent: {first_of: [[act, sub], azp]}}
session: {max_lifetime: 1h, clock_skew: 30s, idle_timeout: 5m, orphaned_streams: 10s, bind: [dpop], dpop: {origins: ["https://orders.example"]}}
commands:
  health: {http: {methods: [GET], path: /healthz}}
  orders.list: {http: {methods: [GET], path: /v1/orders, hosts: [orders.example]}}
  orders.read: {http: {methods: [GET], path: "/v1/orders/{id}", permit: [semicolon]}}
  users.Get: {grpc: {service: users.v1.Users, methods: [Get]}}
unmediated: [health]
grants:
  - name: agents
    when: {subject: "agent-*"}
    allow: [orders.list, orders.read]
    max_lifetime: 15m
  - name: support
    when: {claims: {role: support}}
    allow: [users.Get]
revoked:
  - {session: s-1, because: "INC-1"}
  - {subject: agent-7, issued_before: "RECENT", because: "INC-2"}
upstream:
  credential: {header: authorization, value: "Bearer ${env:ORDERS_TOKEN}"}
  echoed_credential: cut
  direct_credentials: {refuse: [basic, opaque_bearer]}
  strip: [cookie]
limits: {token_bytes: 9000}
audit: {header_prefix: x-orders-}
end_session_when: {denials: {count: 5, within: 1m}, context_changes: [source_address], source_prefix: 24}
"#;

pub(crate) const EC: &str = r#"{kty: EC, crv: P-256, kid: k, x: f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU, "y": x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0}"#;

/// With its keys in it, and bearer tokens.
pub(crate) const KEYED: &str = r#"version: 1
name: orders
tokens:
  issuers:
    - issuer: https://broker.example
      audiences: [orders]
      algorithms: [ES256]
      types: [session+jwt]
      keys: {jwks: {keys: [{kty: EC, crv: P-256, kid: k, x: f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU, "y": x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0}]}}
session: {max_lifetime: 1h}
commands:
  orders.read: {http: {methods: [GET], path: "/v1/orders/{id}"}}
grants:
  - name: agents
    when: {subject: "agent-*"}
    allow: [orders.read]
upstream:
  credential: {header: authorization, value: "Bearer ${env:ORDERS_TOKEN}"}
  direct_credentials: {refuse: [basic, opaque_bearer]}
  strip: [cookie]
"#;
