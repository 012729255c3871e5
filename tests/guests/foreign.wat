;; Foreign functions: unknown ones, those that Envoy has, and bad arguments
;;> send GET /empty
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (call $note1 $"unknown" (call $foreign $"no_such_function" (i32.const 0) (i32.const 0) (call $at) (call $size)))
  (call $note1 $"verify_signature, no arguments" (call $foreign $"verify_signature" (i32.const 0) (i32.const 0) (call $at) (call $size)))
  (call $note1 $"verify_signature, no key" (call $foreign $"verify_signature" $"\0a\06sha256" (call $at) (call $size)))
  (call $note1 $"clear_route_cache" (call $foreign $"clear_route_cache" (i32.const 0) (i32.const 0) (call $at) (call $size)))
  (call $note1 $"no room for the answer" (call $foreign $"clear_route_cache" (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
  (i32.const 0))
