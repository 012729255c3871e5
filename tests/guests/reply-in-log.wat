;; A local reply from the log: it comes to nothing
;;: only_policy_host
;;> send GET /empty
(func (export "proxy_on_log") (param i32)
  (call $note1 $"reply" (call $reply (i32.const 403) $"no")))
