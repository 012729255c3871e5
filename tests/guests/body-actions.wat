;; What a body callback can answer besides going on: 2 holds what then is not seen again, 3 drops it
;;> open POST /empty x-t: two
;;> data one
;;> data two
;;> last three
;;> open POST /empty x-t: drop
;;> data one
;;> data two
;;> last three
(global $what (mut i32) (i32.const 0))
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (drop (call $get (i32.const 0) $"x-t" (call $at) (call $size)))
  (global.set $what (select (i32.const 2) (i32.const 3) (i32.eq (i32.load8_u (i32.load (call $at))) (i32.const 116)))) (i32.const 0))
(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
  (call $note2 $"body, end" (local.get 1) (local.get 2))
  (call $buffer (i32.const 0))
  (if (local.get 2) (then (return (i32.const 0))))
  (global.get $what))
