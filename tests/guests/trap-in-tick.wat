;; A trap in a tick ends the VM for open streams, too
;;> send GET /open
;;> wait 900
;;> send GET /empty
(global $n (mut i32) (i32.const 0))
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (drop (call $ticks (i32.const 600))) (global.set $n (i32.const 1)) (i32.const 0))
(func (export "proxy_on_tick") (param i32) (if (global.get $n) (then (call $note $"last words") unreachable)))
(func (export "proxy_on_log") (param i32) (call $note $"log"))
