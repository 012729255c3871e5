;; A local reply from the request's headers: own headers, details, body; the response callbacks see it, and nothing goes upstream
;;> open POST /chunks
;;> data one
;;> last two
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (call $note1 $"reply" (call $send_reply (i32.const 418) $"some details" $"a body"
    $"\01\00\00\00\05\00\00\00\01\00\00\00X-T-R\00v\00" (i32.const -1)))
  (i32.const 0))
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
  (call $result $"details" (call $get_property $"response\00code_details" (call $at) (call $size)))
  (call $bytes $"code" (call $get_property $"response\00code" (call $at) (call $size))))
