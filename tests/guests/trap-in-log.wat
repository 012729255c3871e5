;; A trap in the log: the request is over, those after it get nothing
;;> send GET /empty
;;> send GET /empty
(func (export "proxy_on_log") (param i32) (call $note $"last words") unreachable)
