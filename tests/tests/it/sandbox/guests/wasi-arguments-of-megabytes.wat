;; ends in output_too_large
;; wasi
;; memory 70
(import "wasi" "open-them-all" (func $open-them-all (param i32 i32)))
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (local $i i32)
  ;; a thousand lists, each of the same half million strings
  (loop $again
    (i32.store (i32.add (i32.const 65536) (i32.mul (local.get $i) (i32.const 8))) (i32.const 131072))
    (i32.store (i32.add (i32.const 65540) (i32.mul (local.get $i) (i32.const 8))) (i32.const 500000))
    (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))
  (call $open-them-all (i32.const 65536) (i32.const 1000))
  (call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
