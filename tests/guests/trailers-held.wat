;; Trailers that are held hold the body, too
;;> open POST /empty
;;> data one
;;> trailers x-t-sum: 1
(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
  (call $note2 $"body, end" (local.get 1) (local.get 2))
  (i32.const 1))
(func (export "proxy_on_request_trailers") (param i32 i32) (result i32)
  (call $note1 $"trailers" (local.get 1)) (i32.const 1))
