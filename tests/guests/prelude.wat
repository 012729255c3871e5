;; What every guest here starts with: the host's calls under short names, an allocator, and words to write its transcript with.
;; In a guest `$"text"` stands for two constants, where the text is and how long it is; the tests put it there. Each line of the
;; transcript goes to the log.
(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
(import "env" "proxy_get_log_level" (func $log_level (param i32) (result i32)))
(import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
(import "env" "proxy_set_tick_period_milliseconds" (func $ticks (param i32) (result i32)))
(import "env" "proxy_get_status" (func $get_status (param i32 i32 i32) (result i32)))
(import "env" "proxy_get_property" (func $get_property (param i32 i32 i32 i32) (result i32)))
(import "env" "proxy_set_property" (func $set_property (param i32 i32 i32 i32) (result i32)))
(import "env" "proxy_get_header_map_pairs" (func $get_pairs (param i32 i32 i32) (result i32)))
(import "env" "proxy_set_header_map_pairs" (func $set_pairs (param i32 i32 i32) (result i32)))
(import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_replace_header_map_value" (func $replace (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_remove_header_map_value" (func $remove (param i32 i32 i32) (result i32)))
(import "env" "proxy_get_header_map_size" (func $map_size (param i32 i32) (result i32)))
(import "env" "proxy_get_buffer_bytes" (func $get_buffer (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_get_buffer_status" (func $buffer_status (param i32 i32 i32) (result i32)))
(import "env" "proxy_set_buffer_bytes" (func $set_buffer (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_send_local_response" (func $send_reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
(import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
(import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
(import "env" "proxy_done" (func $done (result i32)))
(import "env" "proxy_get_shared_data" (func $get_shared (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_set_shared_data" (func $set_shared (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_register_shared_queue" (func $register_queue (param i32 i32 i32) (result i32)))
(import "env" "proxy_resolve_shared_queue" (func $resolve_queue (param i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))
(import "env" "proxy_dequeue_shared_queue" (func $dequeue (param i32 i32 i32) (result i32)))
(import "env" "proxy_define_metric" (func $define_metric (param i32 i32 i32 i32) (result i32)))
(import "env" "proxy_increment_metric" (func $increment_metric (param i32 i64) (result i32)))
(import "env" "proxy_record_metric" (func $record_metric (param i32 i64) (result i32)))
(import "env" "proxy_get_metric" (func $get_metric (param i32 i32) (result i32)))
(import "env" "proxy_http_call" (func $http_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
(import "env" "proxy_call_foreign_function" (func $foreign (param i32 i32 i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
(import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes (param i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
(memory (export "memory") 4)
(func (export "proxy_abi_version_0_2_1"))

;; 0..16 KiB: the texts. 16 KiB: the line that is being written. 32 KiB: where host calls put their answers. 64 KiB: the heap.
(global $heap (mut i32) (i32.const 65536))
(func $allocate (export "proxy_on_memory_allocate") (param $size i32) (result i32) (local $at i32)
  (local.set $at (global.get $heap))
  (global.set $heap (i32.and (i32.add (i32.add (local.get $at) (local.get $size)) (i32.const 15)) (i32.const -16)))
  (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))) (then
    (if (i32.eq (memory.grow (i32.add (i32.shr_u (local.get $size) (i32.const 16)) (i32.const 1))) (i32.const -1))
      (then (return (i32.const 0))))))
  (local.get $at))

(global $line (mut i32) (i32.const 16384))
;; Writes bytes into the line.
(func $say (param $at i32) (param $size i32)
  (memory.copy (global.get $line) (local.get $at) (local.get $size))
  (global.set $line (i32.add (global.get $line) (local.get $size))))
;; Writes a byte.
(func $byte (param i32)
  (i32.store8 (global.get $line) (local.get 0))
  (global.set $line (i32.add (global.get $line) (i32.const 1))))
;; Writes a number.
(func $number (param $n i64)
  (if (i64.ge_u (local.get $n) (i64.const 10)) (then (call $number (i64.div_u (local.get $n) (i64.const 10)))))
  (call $byte (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $n) (i64.const 10))))))
(func $num (param i32) (call $byte (i32.const 32)) (call $number (i64.extend_i32_u (local.get 0))))
;; Ends the line.
(func $end
  (drop (call $log (i32.const 2) (i32.const 16384) (i32.sub (global.get $line) (i32.const 16384))))
  (global.set $line (i32.const 16384)))
;; A whole line.
(func $note (param i32 i32) (call $say (local.get 0) (local.get 1)) (call $end))
;; A line with one number, and one with two.
(func $note1 (param i32 i32 i32) (call $say (local.get 0) (local.get 1)) (call $num (local.get 2)) (call $end))
(func $note2 (param i32 i32 i32 i32)
  (call $say (local.get 0) (local.get 1)) (call $num (local.get 2)) (call $num (local.get 3)) (call $end))

;; Where host calls write: an address and a length, or a number.
(func $at (result i32) (i32.const 32768))
(func $size (result i32) (i32.const 32772))
(func $third (result i32) (i32.const 32776))
;; The bytes that a host call gave: bytes that are no visible ASCII as a dot, at most 200 of them.
(func $given (local $i i32) (local $b i32)
  (block $out (loop $next
    (br_if $out (i32.ge_u (local.get $i) (i32.load (call $size))))
    (br_if $out (i32.ge_u (local.get $i) (i32.const 200)))
    (local.set $b (i32.load8_u (i32.add (i32.load (call $at)) (local.get $i))))
    (if (i32.or (i32.lt_u (local.get $b) (i32.const 32)) (i32.gt_u (local.get $b) (i32.const 126))) (then (local.set $b (i32.const 46))))
    (call $byte (local.get $b))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br $next))))
;; A line with what a call answered: its status, and what it gave where that is 0.
(func $result (param i32 i32) (param $status i32)
  (call $say (local.get 0) (local.get 1))
  (call $num (local.get $status))
  (if (i32.eqz (local.get $status)) (then (call $byte (i32.const 32)) (call $byte (i32.const 91)) (call $given) (call $byte (i32.const 93))))
  (call $end))
;; The same with the bytes' number and each byte as a number: integers and flags.
(func $bytes (param i32 i32) (param $status i32) (local $i i32)
  (call $say (local.get 0) (local.get 1))
  (call $num (local.get $status))
  (if (i32.eqz (local.get $status)) (then
    (call $byte (i32.const 58))
    (block $out (loop $next
      (br_if $out (i32.ge_u (local.get $i) (i32.load (call $size))))
      (call $num (i32.load8_u (i32.add (i32.load (call $at)) (local.get $i))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))))
  (call $end))
;; A map in its serialized form, as `name=value` in its order.
(func $pairs (param i32 i32) (param $status i32) (local $n i32) (local $i i32) (local $text i32) (local $length i32)
  (call $say (local.get 0) (local.get 1))
  (call $num (local.get $status))
  (if (i32.and (i32.eqz (local.get $status)) (i32.ne (i32.load (call $size)) (i32.const 0))) (then
    (local.set $n (i32.load (i32.load (call $at))))
    (local.set $text (i32.add (i32.add (i32.load (call $at)) (i32.const 4)) (i32.mul (local.get $n) (i32.const 8))))
    (block $out (loop $next
      (br_if $out (i32.ge_u (local.get $i) (i32.mul (local.get $n) (i32.const 2))))
      (call $byte (select (i32.const 61) (i32.const 32) (i32.and (local.get $i) (i32.const 1))))
      (local.set $length (i32.load offset=4 (i32.add (i32.load (call $at)) (i32.mul (local.get $i) (i32.const 4)))))
      (call $say (local.get $text) (local.get $length))
      (local.set $text (i32.add (i32.add (local.get $text) (local.get $length)) (i32.const 1)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))))
  (call $end))
;; A local reply with a status, the text as details and body, and no headers.
(func $reply (param $status i32) (param i32 i32) (result i32)
  (call $send_reply (local.get $status) (local.get 1) (local.get 2) (local.get 1) (local.get 2) (i32.const 0) (i32.const 0) (i32.const -1)))
;; The first value of a request's header, as a line.
(func $header (param $map i32) (param i32 i32)
  (call $result (local.get 1) (local.get 2) (call $get (local.get $map) (local.get 1) (local.get 2) (call $at) (call $size))))
;; The whole of a buffer, as a line.
(func $buffer (param $kind i32)
  (call $result $"buffer" (call $get_buffer (local.get $kind) (i32.const 0) (i32.const 1000) (call $at) (call $size))))
