;; A module that calls the host for more than it may when it starts is refused
;;: bare
;;> send GET /empty
(module (import "env" "proxy_set_shared_data" (func $s (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024)) (func (export "proxy_abi_version_0_2_1"))
  (func (export "_initialize") (drop (call $s (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))))
