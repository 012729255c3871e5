;; A loop without end runs out of fuel, which is a trap
;;: only_policy_host
;;> send GET /empty
;;> send GET /empty
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $note $"headers") (loop $again (br $again)) (i32.const 0))
