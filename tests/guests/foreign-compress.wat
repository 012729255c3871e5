;; The foreign functions compress and uncompress
;;> send GET /empty
(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
  (call $note1 $"compress" (call $foreign $"compress" $"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" (call $at) (call $size)))
  (call $note1 $"uncompress" (call $foreign $"uncompress" (i32.load (call $at)) (i32.load (call $size)) (call $at) (call $size)))
  (call $result $"text" (i32.const 0))
  (call $note1 $"uncompress, no zlib" (call $foreign $"uncompress" $"text" (call $at) (call $size)))
  (i32.const 0))
