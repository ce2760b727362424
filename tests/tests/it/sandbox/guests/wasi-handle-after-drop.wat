;; ends in trap: handle
;; wasi
(import "wasi" "get-stdout" (func $get-stdout (result i32)))
(import "wasi" "write" (func $write (param i32 i32 i32 i32)))
(import "wasi" "drop-output" (func $drop-output (param i32)))
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (local $out i32)
  (local.set $out (call $get-stdout))
  (call $drop-output (local.get $out))
  (call $write (local.get $out) (i32.const 0) (i32.const 1) (i32.const 4096))
  (call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
