;; A body that is held at its end is held for ever when nobody continues the stream
;;> open POST /empty
;;> data one
;;> last two
(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
  (call $note2 $"body, end" (local.get 1) (local.get 2)) (i32.const 1))
