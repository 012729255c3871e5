;; The filter exits: what that is for this request and the next
;;> send GET /empty
;;> send GET /empty
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $note $"exit") (call $exit (i32.const 0)) (i32.const 0))
