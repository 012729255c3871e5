//! Small guests as text, and requests for them.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "shared by test files that use different parts")]

use policy_host::host::{Clock, Headers, Module, Plugin, Proxy, ProxyOptions, Request, Response, VmOptions};

/// Every import that the guests here use, a bump allocator, and what the ABI demands. Text at 0..1024, scratch words at 1024.
const PRELUDE: &str = r#"
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_pairs" (func $pairs (param i32 i32 i32) (result i32)))
  (import "env" "proxy_set_header_map_pairs" (func $set_pairs (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value" (func $replace (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_remove_header_map_value" (func $remove (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_property" (func $set_property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
  (import "env" "proxy_get_shared_data" (func $get_shared (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_shared_data" (func $set_shared (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define_metric (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_increment_metric" (func $increment_metric (param i32 i64) (result i32)))
  (import "env" "proxy_http_call" (func $http_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_call_foreign_function" (func $foreign (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 4)
  (global $next (mut i32) (i32.const 65536))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param $n i32) (result i32)
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get $n))))
  ;; Adds header x-status with a digit for a host call's status, so that a test can see it.
  (data (i32.const 900) "x-statusABCDEFGHIJKLM")
  (func $show (param $map i32) (param $status i32)
    (drop (call $add (local.get $map) (i32.const 900) (i32.const 8) (i32.add (i32.const 908) (local.get $status)) (i32.const 1))))
"#;

/// The text of a guest made of the prelude and `body`.
pub fn text(body: &str) -> String {
    format!("(module {PRELUDE} {body})")
}

/// A guest made of the prelude and `body`.
pub fn module(body: &str) -> Module {
    Module::from_bytes(&wat::parse_str(text(body)).unwrap()).unwrap()
}

/// The same with more imports, which come before all else in a module.
pub fn module_with(imports: &str, body: &str) -> Module {
    let text = text(body).replacen("(module", &format!("(module {imports}"), 1);
    Module::from_bytes(&wat::parse_str(text).unwrap()).unwrap()
}

/// A proxy with one worker that serves `configuration`.
pub fn proxy_with(module: &Module, configuration: &[u8], vm: VmOptions) -> Proxy {
    let options = ProxyOptions { vm, plugin: Plugin { name: "plug".into(), root_id: "root".into() }, ..ProxyOptions::default() };
    let mut proxy = Proxy::start(module, &options).unwrap();
    proxy.update(configuration).unwrap();
    proxy
}

/// A proxy with one worker and a clock that stands still.
pub fn proxy(body: &str) -> Proxy {
    proxy_with(&module(body), b"", VmOptions { clock: Clock::fixed(1_000_000_007), ..VmOptions::default() })
}

pub fn headers(pairs: &[(&str, &str)]) -> Headers {
    pairs.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect()
}

/// `GET /` with more headers.
pub fn get(more: &[(&str, &str)]) -> Request {
    let mut all = headers(&[(":method", "GET"), (":path", "/p?q=1"), (":authority", "h"), (":scheme", "http")]);
    all.extend(headers(more));
    Request { headers: all, ..Request::default() }
}

/// An upstream that says 200.
pub fn ok(_: &Request) -> Response {
    Response { headers: headers(&[(":status", "200"), ("x-from", "upstream")]), body: b"hello".to_vec() }
}

/// All values of a header, as text.
pub fn values(headers: &Headers, name: &str) -> Vec<String> {
    headers.iter().filter(|(n, _)| n == name.as_bytes()).map(|(_, v)| String::from_utf8_lossy(v).into_owned()).collect()
}

/// The statuses that the guest showed with `$show`, in order.
pub fn shown(headers: &Headers) -> Vec<u8> {
    values(headers, "x-status").iter().map(|v| v.as_bytes()[0] - b'A').collect()
}
