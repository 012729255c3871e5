;; A tick continues a held stream: the body that nobody has seen goes through the filter then, in one piece
;;> open POST /empty x-t: old
;;> data one
;;> last two
;;> wait 900
(global $stream (mut i32) (i32.const 0))
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (drop (call $ticks (i32.const 600))) (global.set $stream (local.get 0)) (i32.const 1))
(func (export "proxy_on_tick") (param i32)
  (if (i32.eqz (global.get $stream)) (then (return)))
  (drop (call $ticks (i32.const 0)))
  (call $note1 $"effective" (call $effective (global.get $stream)))
  (call $note1 $"replace" (call $replace (i32.const 0) $"x-t" $"new"))
  (call $note1 $"continue" (call $continue (i32.const 0)))
  (call $header (i32.const 0) $"x-t")
  (call $note1 $"replace" (call $replace (i32.const 0) $"x-t" $"newer")))
(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
  (call $note2 $"body, end" (local.get 1) (local.get 2))
  (call $header (i32.const 0) $"x-t")
  (call $buffer (i32.const 0))
  (i32.const 0))
