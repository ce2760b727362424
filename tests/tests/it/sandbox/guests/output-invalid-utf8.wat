;; ends in trap: not valid
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (drop (call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
  (i32.store (i32.const 1040) (i32.const 0xfffefdfc))
  (i32.const 2048))
