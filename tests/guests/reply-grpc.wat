;; Local replies to a gRPC request become a gRPC status: the filter's own, or one that follows from the HTTP status
;;> send POST /empty content-type: application/grpc; x-t: own
;;> send POST /empty content-type: application/grpc; x-t: none
;;> send POST /empty content-type: application/grpc-web; x-t: own
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (drop (call $get (i32.const 0) $"x-t" (call $at) (call $size)))
  (if (i32.eq (i32.load8_u (i32.load (call $at))) (i32.const 111))
    (then (drop (call $send_reply (i32.const 403) $"d" $"not so % fast" (i32.const 0) (i32.const 0) (i32.const 9))))
    (else (drop (call $send_reply (i32.const 401) $"d" $"" (i32.const 0) (i32.const 0) (i32.const -1)))))
  (i32.const 0))
(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
  (call $pairs $"response" (call $get_pairs (i32.const 2) (call $at) (call $size))) (i32.const 0))
