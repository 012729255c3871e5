;; A serialized map of more than 1,024 pairs or 1 MiB, or one that is malformed, reads as no pairs at all
;;> send GET /empty x-t: pairs
;;> send GET /empty x-t: more
;;> send GET /empty x-t: bytes
;;> send GET /empty x-t: cut
;; A map of $n pairs `a`: `b`, at 1 MiB.
(func $build (param $n i32) (result i32) (local $i i32) (local $at i32)
  (if (i32.lt_u (memory.size) (i32.const 64)) (then (drop (memory.grow (i32.const 64)))))
  (i32.store (i32.const 1048576) (local.get $n))
  (local.set $at (i32.const 1048580))
  (block $out (loop $next
    (br_if $out (i32.ge_u (local.get $i) (local.get $n)))
    (i32.store (local.get $at) (i32.const 1)) (i32.store offset=4 (local.get $at) (i32.const 1))
    (local.set $at (i32.add (local.get $at) (i32.const 8)))
    (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $next)))
  (local.set $i (i32.const 0))
  (block $out (loop $next
    (br_if $out (i32.ge_u (local.get $i) (local.get $n)))
    (i32.store (local.get $at) (i32.const 0x00620061))
    (local.set $at (i32.add (local.get $at) (i32.const 4)))
    (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $next)))
  (i32.sub (local.get $at) (i32.const 1048576)))
(func $count
  (call $note2 $"pairs, size" (call $get_pairs (i32.const 2) (call $at) (call $size)) (i32.load (call $size)))
  (drop (call $set_pairs (i32.const 2) $"\01\00\00\00\07\00\00\00\03\00\00\00:status\00200\00")))
(global $what (mut i32) (i32.const 0))
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (drop (call $get (i32.const 0) $"x-t" (call $at) (call $size)))
  (global.set $what (i32.load8_u (i32.load (call $at)))) (i32.const 0))
(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
  (if (i32.eq (global.get $what) (i32.const 112)) (then
    (call $note1 $"1,024 pairs" (call $set_pairs (i32.const 2) (i32.const 1048576) (call $build (i32.const 1024))))))
  (if (i32.eq (global.get $what) (i32.const 109)) (then
    (call $note1 $"1,025 pairs" (call $set_pairs (i32.const 2) (i32.const 1048576) (call $build (i32.const 1025))))))
  (if (i32.eq (global.get $what) (i32.const 98)) (then
    (drop (call $build (i32.const 1)))
    (i32.store offset=8 (i32.const 1048576) (i32.const 1048562))
    (call $note1 $"a byte over 1 MiB" (call $set_pairs (i32.const 2) (i32.const 1048576) (i32.const 1048577)))))
  (if (i32.eq (global.get $what) (i32.const 99)) (then
    (call $note1 $"a byte short" (call $set_pairs (i32.const 2) (i32.const 1048576) (i32.sub (call $build (i32.const 2)) (i32.const 1))))))
  (call $count)
  (i32.const 0))
