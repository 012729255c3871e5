;; A stream that is closed in its headers is reset
;;> open POST /empty
;;> last body
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (call $note1 $"close" (call $close (i32.const 0))) (i32.const 0))
(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
  (call $note2 $"body, end" (local.get 1) (local.get 2)) (i32.const 0))
(func (export "proxy_on_request_trailers") (param i32 i32) (result i32)
  (call $note $"trailers") (i32.const 0))
(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
  (call $note1 $"response headers, end" (local.get 2)) (i32.const 0))
(func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
  (call $note2 $"response body, end" (local.get 1) (local.get 2)) (i32.const 0))
(func (export "proxy_on_response_trailers") (param i32 i32) (result i32)
  (call $note $"response trailers") (i32.const 0))
(func (export "proxy_on_log") (param i32)
  (call $result $"details" (call $get_property $"response\00code_details" (call $at) (call $size))))
