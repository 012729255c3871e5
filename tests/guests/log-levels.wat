;; Log levels: each is written as what it is
;;> send GET /empty
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (call $note1 $"debug" (call $log (i32.const 1) $"a debug line"))
  (call $note1 $"warn" (call $log (i32.const 3) $"a warning"))
  (call $note1 $"error" (call $log (i32.const 4) $"an error"))
  (call $note1 $"critical" (call $log (i32.const 5) $"a critical one"))
  (call $note1 $"empty" (call $log (i32.const 2) $""))
  (call $note1 $"get level" (call $log_level (call $at)))
  (call $note1 $"level" (i32.load (call $at)))
  (i32.const 0))
