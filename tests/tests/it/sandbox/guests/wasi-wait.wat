;; ends in trap: wasi:clocks/monotonic-clock#subscribe-duration
;; wasi
(import "wasi" "subscribe-duration" (func $subscribe-duration (param i64) (result i32)))
(import "wasi" "poll-block" (func $poll-block (param i32)))
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (call $poll-block (call $subscribe-duration (i64.const 1000000000000)))
  (call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
