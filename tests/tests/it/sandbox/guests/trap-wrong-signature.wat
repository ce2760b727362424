;; ends in trap: function pointer
(type $other (func (param i64) (result i64)))
(table funcref (elem $f))
(func $f)
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (drop (call_indirect (type $other) (i64.const 1) (i32.const 0)))
  (unreachable))
