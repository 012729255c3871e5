;; A module with malloc instead of proxy_on_memory_allocate loads
;;: bare
;;> send GET /empty
(module (memory (export "memory") 1) (func (export "malloc") (param i32) (result i32) (i32.const 1024)) (func (export "proxy_abi_version_0_2_1")))
