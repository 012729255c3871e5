;; A module that imports a host call with another signature
;;: bare
;;> send GET /empty
(module (import "env" "proxy_log" (func (result i64))) (memory (export "memory") 1) (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024)) (func (export "proxy_abi_version_0_2_1")))
