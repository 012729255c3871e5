;; The last piece of a body comes without the end of the stream when trailers follow; going on from the trailers releases a held body
;;> open POST /empty
;;> data one
;;> trailers x-t-sum: 1
(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
  (call $note2 $"body, end" (local.get 1) (local.get 2))
  (i32.eqz (local.get 2)))
(func (export "proxy_on_request_trailers") (param i32 i32) (result i32)
  (call $note1 $"trailers" (local.get 1))
  (call $buffer (i32.const 0))
  (call $note1 $"append" (call $set_buffer (i32.const 0) (i32.const 1000) (i32.const 0) $"!"))
  (i32.const 0))
