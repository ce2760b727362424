;; ends in out_of_fuel
;; wasi
;; memory 4
;; realloc (i32.const 65536)
(import "wasi" "random-bytes" (func $random-bytes (param i64 i32)))
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (loop $again
    (call $random-bytes (i64.const 65536) (i32.const 4096))
    (br $again))
  (unreachable))
