;; A module of ABI 0.2.1 loads
;;: bare
;;> send GET /empty
(module (memory (export "memory") 1) (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024)) (func (export "proxy_abi_version_0_2_1")))
