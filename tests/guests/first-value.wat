;; Of several values of a header only the first is read, in whatever case its name is asked for
;;> send GET /empty x-t: a; x-t: b
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (call $header (i32.const 0) $"x-t")
  (call $header (i32.const 0) $"X-T")
  (call $header (i32.const 0) $"host")
  (call $header (i32.const 0) $"x-t-missing")
  (i32.const 0))
(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
  (call $header (i32.const 2) $"x-t-twice")
  (i32.const 0))
