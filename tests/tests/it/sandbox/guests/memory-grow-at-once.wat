;; ends in out_of_memory
;; A refusal traps: the guest does not go on without the memory.
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (drop (memory.grow (i32.const 65535)))
  (call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
