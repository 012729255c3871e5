;; An allocator that fails, and one that answers an address outside of the memory
;;: own_allocator
;;> send GET /empty x-t: a
(global $answer (mut i32) (i32.const 0))
(func (export "malloc") (param i32) (result i32) (global.get $answer))
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (call $note1 $"0" (call $get (i32.const 0) $"x-t" (call $at) (call $size)))
  (call $note1 $"0, no bytes" (call $get_property $"request\00query" (call $at) (call $size)))
  (global.set $answer (i32.const 0x7fff0000))
  (call $note1 $"outside" (call $get (i32.const 0) $"x-t" (call $at) (call $size)))
  (i32.const 0))
