;; A local reply from the response's headers takes the response's place, past the filter
;;> send GET /chunks
(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
  (call $note1 $"response headers, end" (local.get 2))
  (call $note1 $"reply" (call $reply (i32.const 403) $"no"))
  (i32.const 0))
(func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
  (call $note2 $"response body, end" (local.get 1) (local.get 2)) (i32.const 0))
(func (export "proxy_on_log") (param i32)
  (call $result $"details" (call $get_property $"response\00code_details" (call $at) (call $size))))
