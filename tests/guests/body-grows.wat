;; A paused body grows: at each piece the guest sees all of it; the set_buffer call replaces, prepends and appends
;;> open POST /chunks
;;> data one 
;;> data two 
;;> last three
(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
  (call $note2 $"request body, end" (local.get 1) (local.get 2))
  (call $buffer (i32.const 0))
  (if (i32.eqz (local.get 2)) (then (return (i32.const 1))))
  (call $note1 $"inside" (call $set_buffer (i32.const 0) (i32.const 1) (i32.const 1) $"x"))
  (call $note1 $"prepend" (call $set_buffer (i32.const 0) (i32.const 0) (i32.const 0) $"<"))
  (call $note1 $"append" (call $set_buffer (i32.const 0) (i32.const 1000) (i32.const 0) $">"))
  (call $buffer (i32.const 0))
  (i32.const 0))
(func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
  (call $note2 $"response body, end" (local.get 1) (local.get 2))
  (call $buffer (i32.const 1))
  (if (i32.eqz (local.get 2)) (then (return (i32.const 1))))
  (call $note1 $"replace" (call $set_buffer (i32.const 1) (i32.const 0) (i32.const 1000) $"other"))
  (i32.const 0))
