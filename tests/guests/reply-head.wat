;; Local replies to HEAD, and without a body
;;> send HEAD /empty
;;> send GET /empty
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (drop (call $get (i32.const 0) $":method" (call $at) (call $size)))
  (if (i32.eq (i32.load8_u (i32.load (call $at))) (i32.const 72))
    (then (drop (call $reply (i32.const 403) $"body")))
    (else (drop (call $send_reply (i32.const 204) $"d" $"" (i32.const 0) (i32.const 0) (i32.const -1)))))
  (i32.const 0))
(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
  (call $pairs $"response" (call $get_pairs (i32.const 2) (call $at) (call $size))) (i32.const 0))
