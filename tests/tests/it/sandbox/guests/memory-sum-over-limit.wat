;; ends in out_of_memory
;; memory 257
;; beside (core module $more (memory 257)) (core instance (instantiate $more))
;; Each memory is within the limit; together they are not, before the first instruction.
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
