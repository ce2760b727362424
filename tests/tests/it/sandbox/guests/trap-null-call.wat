;; ends in trap: function pointer
(table 1 funcref)
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (call_indirect (result i32) (i32.const 0)))
