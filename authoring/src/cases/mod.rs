//! `cases.yaml`: what a policy must decide, as its author writes it, resolved into steps that any driver can take.
//!
//! The file is read strictly: what is not known here is an error with its place. Tokens are signed by keys of this run.
//! The policy is the file as a user would ship it; in memory, each of its issuers with inline keys gets the run's key
//! beside its own, and nothing else about it changes.
//!
//! ```yaml
//! version: 1
//! policy: policy.yaml             # beside this file; a policy, or an Envoy file with one in it
//! at: 2026-11-23T10:00:00Z        # when every case begins; a case, row or step may have an `at` of its own: 16m after this
//! workers: 2                      # 1 without it
//! env: {ORDERS_TOKEN: x}          # the environment of the filter, where the policy's credential is
//! tokens:
//!   agent: {iat: 0s, exp: 10m, claims: {iss: https://broker.example, aud: orders, sub: agent-7, sid: s-1}}
//!   other: {like: agent, claims: {sid: s-2, nbf: "${at+1m}", act: null}}     # null removes; ${at…} is Unix seconds
//!   forged: {like: agent, key: stranger}                                     # the kid of the right key, signed by another
//!   odd: {like: agent, header: {typ: JWT, kid: null}, alg: ES384}
//!   twice: {like: agent, payload: '{"exp":${at+1m},"exp":${at+2m}}'}         # signed byte by byte
//!   broken: {raw: a.b}                                                       # not signed at all
//! requests:
//!   list: {token: agent, get: /v1/orders, host: orders.example}              # or method: and path:
//!   call: {token: agent, post: /mcp, headers: {content-type: application/json}, body: "{}", trailers: {x-sum: "1"}}
//!   pieces: {like: call, chunks: ['{"method":"tools/c', 'all"}']}            # a body that arrives in pieces
//!   far: {like: list, scheme: http, source_address: 192.0.2.7, client_certificate_sha256: 9f2c, peer_uri_san: spiffe://a/b}
//! fetches:                        # what the policy has fetched: the run's keys, and lists without a revoked entry, unless said otherwise
//!   https://broker.example/jwks.json: {status: 503}                          # with a body: {status: 200, body: "<html>"}
//!   https://broker.example/status/1: {revoked: [7]}                          # entries of a status list
//! cases:
//!   - name: allowed
//!     send: list                                                             # or {like: list, …}, or a request written out
//!     expect: {allow: orders.list, session: s-1, upstream: {authorization: null, x-a: [one, two], x-chaperone-audit: {session: s-1}}, upstream_bytes: 0, response_body: {"ok": true}}
//!   - name: "{token} {get}"                                                  # one case a row
//!     each: [{token: forged, get: /v1/orders, expect: {deny: signature_invalid, status: 401, client_reason: token_rejected}}]
//!   - name: cut on the way
//!     send: list
//!     reply: {status: 200, headers: {x-a: b}, chunks: [one, two], trailers: {x-sum: "1"}}     # of the upstream; 200 without it
//!     expect: {cut: revoked}                                                 # let through at first, and then reset
//!   - name: revoked in the middle of a stream
//!     steps:
//!       - {open: feed, worker: 2, send: list, reply: {chunks: ["data: 1\n\n"]}}             # stays open; trailers would end it
//!       - {send: list, expect: {allow: orders.list}}                         # on the first worker
//!       - {config: {add: {revoked: [{session: s-1, issued_before: "${at+1m}"}]}}}            # set: replaces; ${at…} is RFC 3339
//!       - {after: 1s, expect: {feed: {cut: revoked}}}                        # time passes, ticks run; or open, or closed
//!       - {fetches: {https://broker.example/jwks.json: {keys: other}}}       # from now on: a set without the run's keys; `own` is it again
//!       - {worker: 2, after: 1m, send: list, expect: {deny: revoked, response: {www-authenticate: Bearer}}}
//!       - {at: 2m, send: list, expect: {deny: revoked, command: orders.list}}
//! ```
//! A token goes where the policy's first `tokens.from` says, or anywhere as `${token:NAME}` in a header. A request that names no
//! `host` takes the first that a command of the policy asks for, else `localhost`. Under observe, `expect: {observed: reason}`.
//!
//! `after` counts from the step before, `at` from the file's `at`. A step that `open`s expects, without an `expect`, that the
//! stream opens; with one it is held against what the filter's record says when the stream is over. A stream without a `reply`
//! has none yet. `closed` is a stream that came to its own end, or that the filter refused; `cut` one that it reset, for the
//! reason in its record (`unmapped.ended_by`, else `status_code`).
//!
//! [`resolve`] makes a [`Plan`] of a file, [`check`] holds an outcome against what a step expects, [`Coverage`] shows what of a
//! policy no case touched.

mod builder;
mod change;
mod coverage;
mod expect;
mod fetches;
mod file;
mod judge;
mod location;
mod plan;
mod ran;
mod read;
mod request;
mod step;
mod steps;
mod stream;
mod tokens;

pub use change::with_generation;
pub use coverage::{Coverage, Names};
pub use expect::{Expect, HeaderExpect, Verdict};
pub use file::{ReadPolicy, resolve};
pub use judge::{Mismatch, check, check_opened, check_streams};
pub use location::Location;
pub use plan::{Action, Case, Clock, Exchange, Plan, Reply, Step, StreamState};
pub use ran::{Failure, Ran};

#[cfg(test)]
mod tests;
