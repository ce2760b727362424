;; ends in trap: handle
;; wasi
(import "wasi" "get-stdin" (func $get-stdin (result i32)))
(import "wasi" "write" (func $write (param i32 i32 i32 i32)))
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (call $write (call $get-stdin) (i32.const 0) (i32.const 1) (i32.const 4096))
  (call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
