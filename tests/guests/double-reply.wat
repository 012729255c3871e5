;; Further local replies: a second in the same callback does not count, one in the callback for the first one's response replaces it
;;> send GET /empty
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (call $note1 $"first" (call $reply (i32.const 403) $"the first"))
  (call $note1 $"second" (call $reply (i32.const 200) $"the second one"))
  (i32.const 0))
(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
  (call $note1 $"response headers, end" (local.get 2))
  (call $note1 $"third" (call $reply (i32.const 200) $"third"))
  (i32.const 0))
(func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
  (call $note2 $"response body, end" (local.get 1) (local.get 2))
  (i32.const 0))
(func (export "proxy_on_log") (param i32) (call $note $"log"))
