;; A configuration that is rejected leaves the one before it in force
;;: configuration one
;;> send GET /empty
;;> config no
;;> send GET /empty
;;> config two
;;> send GET /empty
(func (export "proxy_on_configure") (param i32 i32) (result i32)
  (call $result $"configure" (call $get_buffer (i32.const 7) (i32.const 0) (i32.const 100) (call $at) (call $size)))
  (i32.ne (i32.load8_u (i32.load (call $at))) (i32.const 110)))
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (call $note1 $"configuration outside of configure" (call $get_buffer (i32.const 7) (i32.const 0) (i32.const 100) (call $at) (call $size)))
  (call $result $"vm configuration" (call $get_buffer (i32.const 6) (i32.const 0) (i32.const 100) (call $at) (call $size)))
  (i32.const 0))
