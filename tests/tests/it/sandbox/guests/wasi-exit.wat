;; ends in trap: it ended itself with `wasi:cli/exit`
;; wasi
(import "wasi" "exit" (func $exit (param i32)))
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (call $exit (i32.const 0))
  (call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
