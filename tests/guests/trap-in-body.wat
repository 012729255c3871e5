;; A trap in the body callback: what this request and those after it get when the filter fails closed
;;> open POST /chunks
;;> data one
;;> last two
;;> send GET /empty
(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (call $note $"last words") unreachable)
(func (export "proxy_on_log") (param i32) (call $note $"log"))
