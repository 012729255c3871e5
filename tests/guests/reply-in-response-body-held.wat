;; A local reply from the response's body while its headers are held takes the response's place
;;: allow_on_headers_stop_iteration
;;> send GET /chunks
(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 1))
(func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
  (call $note2 $"response body, end" (local.get 1) (local.get 2))
  (if (i32.eqz (local.get 2)) (then (return (i32.const 1))))
  (call $note1 $"reply" (call $reply (i32.const 403) $"no"))
  (i32.const 0))
(func (export "proxy_on_log") (param i32) (call $note $"log"))
