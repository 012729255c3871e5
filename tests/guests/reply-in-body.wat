;; A local reply from the request's body, when the headers have gone upstream
;;> open POST /chunks
;;> data one
;;> data two
;;> last three
(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
  (call $note2 $"body, end" (local.get 1) (local.get 2))
  (call $note1 $"reply" (call $reply (i32.const 403) $"no"))
  (i32.const 0))
(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
  (call $note1 $"response headers, end" (local.get 2)) (i32.const 0))
(func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
  (call $note2 $"response body, end" (local.get 1) (local.get 2)) (i32.const 0))
(func (export "proxy_on_response_trailers") (param i32 i32) (result i32)
  (call $note $"response trailers") (i32.const 0))
(func (export "proxy_on_log") (param i32) (call $note $"log"))
