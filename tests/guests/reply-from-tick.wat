;; A tick replies for a held stream, by its effective context
;;> open POST /empty
;;> data one
;;> wait 900
(global $stream (mut i32) (i32.const 0))
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (drop (call $ticks (i32.const 600))) (global.set $stream (local.get 0)) (i32.const 1))
(func (export "proxy_on_tick") (param i32)
  (if (i32.eqz (global.get $stream)) (then (return)))
  (drop (call $ticks (i32.const 0)))
  (call $note1 $"effective" (call $effective (global.get $stream)))
  (call $header (i32.const 0) $":path")
  (call $note1 $"reply" (call $reply (i32.const 403) $"too late")))
(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
  (call $note1 $"response headers, end" (local.get 2)) (i32.const 0))
(func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
  (call $note2 $"response body, end" (local.get 1) (local.get 2)) (i32.const 0))
(func (export "proxy_on_response_trailers") (param i32 i32) (result i32)
  (call $note $"response trailers") (i32.const 0))
