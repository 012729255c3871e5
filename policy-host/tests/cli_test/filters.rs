//! Small filters as text, compiled into files: what the shipped one cannot be made to do.

use super::write;
use std::path::{Path, PathBuf};

const PRELUDE: &str = r#"
  (import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
  (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $ticks (param i32) (result i32)))
  (import "env" "proxy_set_property" (func $set_property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 4)
  (global $next (mut i32) (i32.const 65536))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param $n i32) (result i32)
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get $n))))"#;

fn compiled(folder: &Path, name: &str, body: &str) -> PathBuf {
    write(folder, name, wat::parse_str(format!("(module {PRELUDE} {body})")).unwrap())
}

/// Lets everything through. Resets the last stream in the tick after a second configuration, and says in its record why.
pub(crate) fn cutter(folder: &Path) -> PathBuf {
    let record =
        r#"{\"status_code\":\"allowed\",\"api\":{\"operation\":\"orders.list\"},\"unmapped\":{\"ended_by\":\"revoked\"}}"#;
    let length = record.replace('\\', "").len();
    compiled(
        folder,
        "cutter.wasm",
        &format!(
            r#"(data (i32.const 0) "session_audit") (data (i32.const 64) "{record}")
            (global $stream (mut i32) (i32.const 0)) (global $configured (mut i32) (i32.const 0))
            (func (export "proxy_on_configure") (param i32 i32) (result i32)
              (global.set $configured (i32.add (global.get $configured) (i32.const 1)))
              (drop (call $ticks (i32.const 200))) (i32.const 1))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
              (global.set $stream (local.get 0)) (i32.const 0))
            (func (export "proxy_on_tick") (param i32)
              (if (i32.lt_u (global.get $configured) (i32.const 2)) (then (return)))
              (drop (call $effective (global.get $stream)))
              (drop (call $set_property (i32.const 0) (i32.const 13) (i32.const 64) (i32.const {length})))
              (drop (call $close (i32.const 1))))"#
        ),
    )
}

/// Looks for "rm" in each piece of a body with those before it, answers 403 when it is there, and lets nothing go before the
/// body's end.
pub(crate) fn reader(folder: &Path) -> PathBuf {
    compiled(
        folder,
        "reader.wasm",
        r#"(data (i32.const 0) "session_audit") (data (i32.const 64) "{\"status_code\":\"unknown_command\"}")
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.eqz (local.get 2)))
        (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
          (local $at i32) (local $end i32)
          (drop (call $buffer (i32.const 0) (i32.const 0) (i32.const 65535) (i32.const 1024) (i32.const 1028)))
          (local.set $at (i32.load (i32.const 1024)))
          (local.set $end (i32.sub (i32.add (local.get $at) (i32.load (i32.const 1028))) (i32.const 1)))
          (loop $next
            (if (i32.lt_u (local.get $at) (local.get $end)) (then
              (if (i32.eq (i32.load16_u (local.get $at)) (i32.const 0x6d72)) (then
                (drop (call $set_property (i32.const 0) (i32.const 13) (i32.const 64) (i32.const 33)))
                (drop (call $reply (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1)))
                (return (i32.const 1))))
              (local.set $at (i32.add (local.get $at) (i32.const 1)))
              (br $next))))
          (i32.eqz (local.get 2)))
        (func (export "proxy_on_request_trailers") (param i32 i32) (result i32) (i32.const 0))"#,
    )
}

/// Lets requests through, and resets a stream as soon as its response has a body.
pub(crate) fn limiter(folder: &Path) -> PathBuf {
    compiled(
        folder,
        "limiter.wasm",
        r#"(data (i32.const 0) "session_audit")
        (data (i32.const 64) "{\"status_code\":\"allowed\",\"api\":{\"operation\":\"orders.list\"}}")
        (data (i32.const 256) "{\"status_code\":\"revoked\"}")
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
          (drop (call $set_property (i32.const 0) (i32.const 13) (i32.const 64) (i32.const 59))) (i32.const 0))
        (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
          (drop (call $set_property (i32.const 0) (i32.const 13) (i32.const 256) (i32.const 25)))
          (drop (call $close (i32.const 1))) (i32.const 0))"#,
    )
}

/// Dies of every request.
pub(crate) fn trapper(folder: &Path) -> PathBuf {
    compiled(
        folder,
        "trapper.wasm",
        r#"(func $judge unreachable)
        (func $on_request_headers (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $judge) (i32.const 0))"#,
    )
}

/// Dies of its first tick.
pub(crate) fn sleeper(folder: &Path) -> PathBuf {
    compiled(
        folder,
        "sleeper.wasm",
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) (drop (call $ticks (i32.const 1000))) (i32.const 1))
        (func $on_tick (export "proxy_on_tick") (param i32) unreachable)"#,
    )
}

/// Dies of its configuration.
pub(crate) fn starter(folder: &Path) -> PathBuf {
    compiled(
        folder,
        "starter.wasm",
        r#"(func $on_configure (export "proxy_on_configure") (param i32 i32) (result i32) unreachable)"#,
    )
}

/// Takes no configuration.
pub(crate) fn refuser(folder: &Path) -> PathBuf {
    compiled(folder, "refuser.wasm", r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 0))"#)
}
