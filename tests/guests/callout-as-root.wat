;; A callout that a stream has its root context make outlives the stream, and its answer lets another stream go on
;;> send GET /empty
;;> send GET /empty
(global $token (mut i32) (i32.const 0))
(global $root (mut i32) (i32.const 0))
(global $stream (mut i32) (i32.const 0))
(func (export "proxy_on_context_create") (param i32 i32)
  (if (i32.eqz (local.get 1)) (then (global.set $root (local.get 0)))))
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (if (i32.eqz (global.get $token)) (then
    (call $note1 $"as the root" (call $effective (global.get $root)))
    (call $note1 $"call" (call $http_call $"upstream"
      $"\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\05\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/late\00:authority\00p\00"
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 5000) (call $at)))
    (global.set $token (i32.load (call $at)))
    (call $note1 $"as the stream" (call $effective (local.get 0)))
    (drop (call $reply (i32.const 403) $"no"))
    (return (i32.const 1))))
  (global.set $stream (local.get 0))
  (i32.const 1))
(func (export "proxy_on_log") (param i32) (call $note $"log"))
(func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
  (call $note2 $"answer: for the root, our token" (i32.eq (local.get 0) (global.get $root)) (i32.eq (local.get 1) (global.get $token)))
  (call $header (i32.const 6) $":status")
  (call $note1 $"effective" (call $effective (global.get $stream)))
  (call $note1 $"add" (call $add (i32.const 0) $"x-given" $"by the answer"))
  (call $note1 $"continue" (call $continue (i32.const 0))))
