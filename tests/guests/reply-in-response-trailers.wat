;; A local reply from the response's trailers
;;> send GET /trailers
(func (export "proxy_on_response_trailers") (param i32 i32) (result i32)
  (call $note1 $"reply" (call $reply (i32.const 403) $"no"))
  (i32.const 0))
(func (export "proxy_on_log") (param i32) (call $note $"log"))
