;; A pause in the request's headers hides the body, too, and holds everything
;;> open POST /empty
;;> data one
;;> last two
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (call $note1 $"headers, end" (local.get 2)) (i32.const 1))
(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
  (call $note2 $"body, end" (local.get 1) (local.get 2)) (i32.const 0))
