;; A pause in the response's headers hides its body
;;> send GET /chunks
(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (call $note1 $"response headers, end" (local.get 2)) (i32.const 1))
(func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) (call $note2 $"response body, end" (local.get 1) (local.get 2)) (i32.const 0))
