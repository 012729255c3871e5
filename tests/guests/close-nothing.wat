;; What has no stream to close or continue, or is no kind of stream, or no context
;;> send GET /empty
(func (export "proxy_on_configure") (param i32 i32) (result i32)
  (call $note1 $"without a stream" (call $close (i32.const 0)))
  (call $note1 $"continue without a stream" (call $continue (i32.const 0)))
  (i32.const 1))
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (call $note1 $"close 4" (call $close (i32.const 4)))
  (call $note1 $"continue 4" (call $continue (i32.const 4)))
  (call $note1 $"effective, nobody" (call $effective (i32.const 999)))
  (call $note1 $"effective, the vm" (call $effective (i32.const 0)))
  (call $note1 $"done" (call $done))
  (i32.const 0))
