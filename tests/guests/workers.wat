;; Two workers: each has a VM of its own with its own memory, and all share their data; a counter by compare-and-swap loses nothing
;;: workers 2
;;> connect
;;> send GET /empty
;;> connect
;;> send GET /empty
;;> connect
;;> send GET /empty
;;> connect
;;> send GET /empty
;;> connect
;;> send GET /empty
;;> connect
;;> send GET /empty
;;> connect
;;> send GET /empty
;;> connect
;;> send GET /empty
;;> connect
;;> send GET /empty
;;> connect
;;> send GET /empty
;;> connect
;;> send GET /empty
;;> connect
;;> send GET /empty
;;> connect
;;> send GET /empty
;;> connect
;;> send GET /empty
;;> connect
;;> send GET /empty
;;> connect
;;> send GET /empty
(global $mine (mut i32) (i32.const 0))
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local $cas i32) (local $n i32)
  (global.set $mine (i32.add (global.get $mine) (i32.const 1)))
  (block $done (loop $again
    (local.set $n (i32.const 0)) (local.set $cas (i32.const 0))
    (if (i32.eqz (call $get_shared $"counter" (call $at) (call $size) (call $third))) (then
      (local.set $n (i32.load (i32.load (call $at)))) (local.set $cas (i32.load (call $third)))))
    (local.set $n (i32.add (local.get $n) (i32.const 1)))
    (i32.store (i32.const 40000) (local.get $n))
    (br_if $done (i32.eqz (call $set_shared $"counter" (i32.const 40000) (i32.const 4) (local.get $cas))))
    (br $again)))
  (call $note2 $"all, mine" (local.get $n) (global.get $mine))
  (i32.const 0))
