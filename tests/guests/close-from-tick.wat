;; A tick cuts an open stream, by its effective context
;;> send GET /open
;;> wait 900
(global $stream (mut i32) (i32.const 0))
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (drop (call $ticks (i32.const 600))) (global.set $stream (local.get 0)) (i32.const 0))
(func (export "proxy_on_tick") (param i32)
  (if (i32.eqz (global.get $stream)) (then (return)))
  (drop (call $ticks (i32.const 0)))
  (call $note1 $"effective" (call $effective (global.get $stream)))
  (call $note1 $"close" (call $close (i32.const 1))))
(func (export "proxy_on_log") (param i32)
  (call $result $"details" (call $get_property $"response\00code_details" (call $at) (call $size))))
