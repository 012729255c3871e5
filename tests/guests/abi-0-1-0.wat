;; ABI 0.1.0: headers callbacks without the end of the stream, a missing header reads as empty, the configuration by a call of its own
;;: bare
;;: configuration of the plugin
;;> open POST /empty x-t: a
;;> last body
(module
(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
(import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_get_configuration" (func $configuration (param i32 i32) (result i32)))
(import "env" "proxy_continue_request" (func $continue (result i32)))
(import "env" "proxy_clear_route_cache" (func $clear (result i32)))
(memory (export "memory") 1)
(func (export "proxy_abi_version_0_1_0"))
(func (export "malloc") (param i32) (result i32) (i32.const 8192))
(func $digit (param $text i32) (param $size i32) (param $status i32)
  (memory.copy (i32.const 4096) (local.get $text) (local.get $size))
  (i32.store8 (i32.add (i32.const 4096) (local.get $size)) (i32.add (i32.const 48) (local.get $status)))
  (drop (call $log (i32.const 2) (i32.const 4096) (i32.add (local.get $size) (i32.const 1)))))
(func (export "proxy_on_configure") (param i32 i32) (result i32)
  (call $digit $"configuration " (call $configuration (i32.const 2048) (i32.const 2052)))
  (drop (call $log (i32.const 2) (i32.load (i32.const 2048)) (i32.load (i32.const 2052))))
  (i32.const 1))
(func (export "proxy_on_request_headers") (param i32 i32) (result i32)
  (call $digit $"present " (call $get (i32.const 0) $"x-t" (i32.const 2048) (i32.const 2052)))
  (call $digit $"bytes " (i32.load (i32.const 2052)))
  (call $digit $"missing " (call $get (i32.const 0) $"x-none" (i32.const 2048) (i32.const 2052)))
  (call $digit $"bytes " (i32.load (i32.const 2052)))
  (call $digit $"clear " (call $clear))
  (i32.const 0))
(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (call $digit $"body " (local.get 1)) (i32.const 0))
)
