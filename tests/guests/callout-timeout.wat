;; A callout whose answer comes too late is told as a reset: no headers, and the status says so
;;> send GET /empty
;;> wait 300
(global $token (mut i32) (i32.const 0))
(global $stream (mut i32) (i32.const 0))
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (global.set $stream (local.get 0))
  (call $note1 $"call" (call $http_call $"upstream"
    $"\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\05\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/slow\00:authority\00p\00"
    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 200) (call $at)))
  (global.set $token (i32.load (call $at)))
  (i32.const 1))
(func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
  (call $note2 $"answer: our token, any headers" (i32.eq (local.get 1) (global.get $token)) (i32.ne (local.get 2) (i32.const 0)))
  (call $note2 $"bytes, trailers" (local.get 3) (local.get 4))
  (call $header (i32.const 6) $":status")
  (call $header (i32.const 6) $"x-t-from")
  (call $header (i32.const 7) $"x-t-sum")
  (call $result $"body" (call $get_buffer (i32.const 4) (i32.const 0) (i32.const 34) (call $at) (call $size)))
  (call $note1 $"status" (call $get_status (call $third) (call $at) (call $size)))
  (call $note1 $"code" (i32.load (call $third)))
  (call $note1 $"effective" (call $effective (global.get $stream)))
  (call $note1 $"continue" (call $continue (i32.const 0))))
