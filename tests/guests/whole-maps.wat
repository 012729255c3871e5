;; Whole maps: every field in its order, repeated ones apart, what Envoy keeps once joined
;;> open POST /trailers x-t: a; x-t: b; accept: x; accept: y; x-t-empty: 
;;> data body
;;> trailers x-t-sum: 1; x-t-sum: 2
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (call $note2 $"request headers, end" (local.get 1) (local.get 2))
  (call $pairs $"request" (call $get_pairs (i32.const 0) (call $at) (call $size)))
  (call $result $"response" (call $get_pairs (i32.const 2) (call $at) (call $size)))
  (i32.const 0))
(func (export "proxy_on_request_trailers") (param i32 i32) (result i32)
  (call $note1 $"request trailers" (local.get 1))
  (call $pairs $"trailers" (call $get_pairs (i32.const 1) (call $at) (call $size)))
  (i32.const 0))
(func (export "proxy_on_response_trailers") (param i32 i32) (result i32)
  (call $pairs $"trailers" (call $get_pairs (i32.const 3) (call $at) (call $size)))
  (i32.const 0))
