;; A trap under FAIL_RELOAD: the next request gets a new VM with the current configuration, when the old one was loaded a second ago
;;: fail_reload
;;: configuration c
;;> wait 1100
;;> send GET /empty x-t: trap
;;> send GET /empty
;;> send GET /empty
(global $n (mut i32) (i32.const 0))
(func (export "proxy_on_configure") (param i32 i32) (result i32) (call $note $"configure") (i32.const 1))
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (global.set $n (i32.add (global.get $n) (i32.const 1))) (call $note1 $"headers" (global.get $n))
  (if (i32.eqz (call $get (i32.const 0) $"x-t" (call $at) (call $size))) (then unreachable))
  (i32.const 0))
