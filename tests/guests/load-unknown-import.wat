;; A module that imports what Envoy does not have
;;: bare
;;> send GET /empty
(module (import "env" "proxy_open_the_door" (func (result i32))) (memory (export "memory") 1) (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024)) (func (export "proxy_abi_version_0_2_1")))
