;; A stream keeps the root context that it began under; the root ends with its last stream
;;: configuration one
;;> open POST /empty
;;> config two
;;> send GET /empty
;;> config three
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
(func (export "proxy_on_vm_start") (param i32 i32) (result i32) (call $note1 $"vm start, bytes" (local.get 1)) (i32.const 1))
(func (export "proxy_on_configure") (param i32 i32) (result i32)
  (call $note1 $"configure root" (call $id (local.get 0))) (i32.const 1))
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $note1 $"headers, end" (local.get 2)) (i32.const 0))
(func (export "proxy_on_done") (param i32) (result i32) (call $note $"done") (i32.const 1))
(func (export "proxy_on_delete") (param i32) (call $note $"delete"))
