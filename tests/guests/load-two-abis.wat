;; A module that exports two ABI versions
;;: bare
;;> send GET /empty
(module (memory (export "memory") 1) (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024)) (func (export "proxy_abi_version_0_2_0")) (func (export "proxy_abi_version_0_2_1")))
