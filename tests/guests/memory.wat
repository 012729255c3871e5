;; Memory grows up to 1 GiB and no further
;;> send GET /empty
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (block $out (loop $next
    (br_if $out (i32.eq (memory.grow (i32.const 256)) (i32.const -1)))
    (br $next)))
  (block $out (loop $next
    (br_if $out (i32.eq (memory.grow (i32.const 1)) (i32.const -1)))
    (br $next)))
  (call $note1 $"pages" (memory.size))
  (i32.const 0))
