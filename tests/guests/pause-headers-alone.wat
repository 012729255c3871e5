;; With allow_on_headers_stop_iteration the body callbacks run while the headers are held; they can still change them
;;: allow_on_headers_stop_iteration
;;> open POST /empty x-t: old
;;> data one
;;> last two
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (call $note1 $"headers, end" (local.get 2)) (i32.const 1))
(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
  (call $note2 $"body, end" (local.get 1) (local.get 2))
  (call $buffer (i32.const 0))
  (call $header (i32.const 0) $"x-t")
  (if (i32.eqz (local.get 2)) (then (return (i32.const 1))))
  (call $note1 $"replace" (call $replace (i32.const 0) $"x-t" $"new"))
  (i32.const 0))
