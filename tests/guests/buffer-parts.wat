;; Parts of a body: from a place, beyond the end, of a length that overflows; and its status
;;> open POST /empty
;;> last 0123456789
(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
  (call $result $"2 of 3" (call $get_buffer (i32.const 0) (i32.const 2) (i32.const 3) (call $at) (call $size)))
  (call $result $"8 of 100" (call $get_buffer (i32.const 0) (i32.const 8) (i32.const 100) (call $at) (call $size)))
  (call $result $"10 of 1" (call $get_buffer (i32.const 0) (i32.const 10) (i32.const 1) (call $at) (call $size)))
  (call $result $"11 of 1" (call $get_buffer (i32.const 0) (i32.const 11) (i32.const 1) (call $at) (call $size)))
  (call $result $"0 of 0" (call $get_buffer (i32.const 0) (i32.const 0) (i32.const 0) (call $at) (call $size)))
  (call $result $"1 of the most" (call $get_buffer (i32.const 0) (i32.const 1) (i32.const -1) (call $at) (call $size)))
  (call $result $"the most of the most" (call $get_buffer (i32.const 0) (i32.const -1) (i32.const -1) (call $at) (call $size)))
  (call $note1 $"status" (call $buffer_status (i32.const 0) (call $at) (call $size)))
  (call $note2 $"bytes, flags" (i32.load (call $at)) (i32.load (call $size)))
  (call $note1 $"replace some" (call $set_buffer (i32.const 0) (i32.const 0) (i32.const 4) $"x"))
  (call $note1 $"replace all" (call $set_buffer (i32.const 0) (i32.const 0) (i32.const 10) $"abc"))
  (call $buffer (i32.const 0))
  (call $note1 $"empty it" (call $set_buffer (i32.const 0) (i32.const 0) (i32.const 3) $""))
  (call $buffer (i32.const 0))
  (i32.const 0))
