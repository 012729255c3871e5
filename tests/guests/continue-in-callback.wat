;; A stream that is continued in the very callback that pauses it
;;> send GET /empty
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (call $note1 $"continue" (call $continue (i32.const 0)))
  (call $header (i32.const 0) $":path")
  (i32.const 1))
