;; A callout from on_configure and from a tick, without any stream
;;: configuration c
;;> wait 700
(global $token (mut i32) (i32.const 0))
(global $stream (mut i32) (i32.const 0))
(func (export "proxy_on_configure") (param i32 i32) (result i32)
  (call $note1 $"call" (call $http_call $"upstream"
    $"\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\08\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/callout\00:authority\00p\00"
    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1000) (call $at)))
  (drop (call $ticks (i32.const 600)))
  (i32.const 1))
(func (export "proxy_on_tick") (param i32)
  (drop (call $ticks (i32.const 0)))
  (call $note1 $"call" (call $http_call $"upstream"
    $"\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\08\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/callout\00:authority\00p\00"
    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1000) (call $at)))
  (global.set $token (i32.load (call $at))))
(func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
  (call $note1 $"answer" (i32.eq (local.get 1) (global.get $token)))
  (call $header (i32.const 6) $":status"))
