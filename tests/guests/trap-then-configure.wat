;; A new configuration brings back a worker whose VM has died
;;: configuration one
;;> send GET /empty x-t: trap
;;> send GET /empty
;;> config two
;;> send GET /empty
(func (export "proxy_on_configure") (param i32 i32) (result i32) (call $note $"configure") (i32.const 1))
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (call $note $"headers")
  (if (i32.eqz (call $get (i32.const 0) $"x-t" (call $at) (call $size))) (then unreachable))
  (i32.const 0))
