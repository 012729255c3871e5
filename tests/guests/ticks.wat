;; Ticks come by the period, a period of 0 ends them
;;: configuration c
;;> wait 900
(global $n (mut i32) (i32.const 0))
(func (export "proxy_on_configure") (param i32 i32) (result i32) (call $note1 $"period" (call $ticks (i32.const 200))) (i32.const 1))
(func (export "proxy_on_tick") (param i32)
  (global.set $n (i32.add (global.get $n) (i32.const 1)))
  (call $note1 $"tick" (global.get $n))
  (if (i32.eq (global.get $n) (i32.const 2)) (then (call $note1 $"period" (call $ticks (i32.const 0))))))
