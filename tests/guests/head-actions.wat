;; What a headers callback can answer besides 0 and 1: 2 goes on, more holds everything
;;> open POST /empty x-t: 2
;;> last body
;;> open POST /empty x-t: 3
;;> last body
;;> open POST /empty x-t: 4
;;> last body
;;> open POST /empty x-t: 9
;;> last body
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (drop (call $get (i32.const 0) $"x-t" (call $at) (call $size)))
  (i32.sub (i32.load8_u (i32.load (call $at))) (i32.const 48)))
(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
  (call $note2 $"body, end" (local.get 1) (local.get 2)) (i32.const 0))
