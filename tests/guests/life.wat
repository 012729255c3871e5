;; The life of a stream: created with its first callback, logged, done, deleted
;;> open POST /trailers
;;> data one
;;> trailers x-t-sum: 1
(func (export "proxy_on_context_create") (param i32 i32)
  (call $note1 $"create, of a root" (i32.eqz (i32.eqz (local.get 1)))))
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $note1 $"headers, end" (local.get 2)) (i32.const 0))
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
(func (export "proxy_on_log") (param i32) (call $note $"log"))
(func (export "proxy_on_done") (param i32) (result i32) (call $note $"done") (i32.const 1))
(func (export "proxy_on_delete") (param i32) (call $note $"delete"))
