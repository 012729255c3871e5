;; A local reply from a context without a stream is accepted and comes to nothing
;;> send GET /empty
(func (export "proxy_on_configure") (param i32 i32) (result i32)
  (call $note1 $"without a stream" (call $reply (i32.const 403) $"no")) (i32.const 1))
