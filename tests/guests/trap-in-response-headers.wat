;; A trap in the callback for the response's headers
;;> send GET /chunks
;;> send GET /empty
(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (call $note $"last words") unreachable)
(func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) (call $note $"body") (i32.const 0))
(func (export "proxy_on_log") (param i32) (call $note $"log"))
