;; Callouts that are refused at once: to a cluster that is not there, without a path
;;> send GET /empty
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (call $note1 $"no such cluster" (call $http_call $"none"
    $"\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00p\00"
    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1000) (call $at)))
  (call $note1 $"no headers" (call $http_call $"upstream" (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 100) (call $at)))
  (call $note1 $"status" (call $get_status (call $third) (call $at) (call $size)))
  (call $note1 $"code" (i32.load (call $third)))
  (i32.const 0))
