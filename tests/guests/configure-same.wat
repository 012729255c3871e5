;; While a stream of an older configuration is open, exactly its bytes come back into force without on_configure
;;: configuration one
;;> send GET /open
;;> config two
;;> config one
;;> send GET /empty
(global $base (mut i32) (i32.const 0))
;; Ids relative to the first one that this VM has seen.
(func $id (param i32) (result i32)
  (if (i32.eqz (global.get $base)) (then (global.set $base (local.get 0))))
  (i32.add (i32.sub (local.get 0) (global.get $base)) (i32.const 1)))
(func (export "proxy_on_context_create") (param i32 i32)
  (if (local.get 1)
    (then (call $note1 $"stream of root" (call $id (local.get 1))))
    (else (call $note1 $"root" (call $id (local.get 0))))))
(func (export "proxy_on_configure") (param i32 i32) (result i32)
  (call $result $"configure" (call $get_buffer (i32.const 7) (i32.const 0) (i32.const 100) (call $at) (call $size)))
  (i32.const 1))
