;; A local reply in the body callback for another local reply's response
;;> send GET /empty
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (call $note1 $"first" (call $reply (i32.const 403) $"the first"))
  (i32.const 0))
(func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
  (call $note2 $"response body, end" (local.get 1) (local.get 2))
  (call $note1 $"second" (call $reply (i32.const 200) $"second"))
  (i32.const 0))
(func (export "proxy_on_log") (param i32) (call $note $"log"))
