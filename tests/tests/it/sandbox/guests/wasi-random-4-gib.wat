;; ends in trap: 4294967296 random bytes at once
;; wasi
(import "wasi" "random-bytes" (func $random-bytes (param i64 i32)))
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (call $random-bytes (i64.const 4294967296) (i32.const 4096))
  (call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
