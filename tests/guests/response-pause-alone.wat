;; With allow_on_headers_stop_iteration a response's headers are held while its body is seen, and can be changed then
;;: allow_on_headers_stop_iteration
;;> send GET /trailers
(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (call $note1 $"response headers, end" (local.get 2)) (i32.const 1))
(func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) (call $note2 $"response body, end" (local.get 1) (local.get 2)) (i32.const 1))
(func (export "proxy_on_response_trailers") (param i32 i32) (result i32)
  (call $note1 $"replace" (call $replace (i32.const 2) $"x-t-from" $"the filter"))
  (call $buffer (i32.const 1))
  (i32.const 0))
