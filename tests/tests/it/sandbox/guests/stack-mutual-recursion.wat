;; ends in trap: stack overflowed
(table 2 funcref)
(elem (i32.const 0) $a $b)
(type $f (func (result i32)))
(func $a (result i32) (i32.add (i32.const 1) (call_indirect (type $f) (i32.const 1))))
(func $b (result i32) (i32.add (i32.const 1) (call_indirect (type $f) (i32.const 0))))
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (drop (call $a))
  (call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
