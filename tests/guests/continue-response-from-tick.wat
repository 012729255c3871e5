;; A tick continues a held response
;;> send GET /trailers
;;> wait 900
(global $stream (mut i32) (i32.const 0))
(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (drop (call $ticks (i32.const 600))) (global.set $stream (local.get 0)) (i32.const 1))
(func (export "proxy_on_tick") (param i32)
  (if (i32.eqz (global.get $stream)) (then (return)))
  (drop (call $ticks (i32.const 0)))
  (drop (call $effective (global.get $stream)))
  (call $note1 $"continue" (call $continue (i32.const 1))))
(func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
  (call $note2 $"response body, end" (local.get 1) (local.get 2)) (i32.const 0))
(func (export "proxy_on_response_trailers") (param i32 i32) (result i32)
  (call $note1 $"response trailers" (local.get 1)) (i32.const 0))
