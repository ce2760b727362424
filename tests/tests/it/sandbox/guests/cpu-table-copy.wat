;; ends in out_of_fuel
(table $t 10000 funcref)
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (loop $again
    (table.copy (i32.const 0) (i32.const 1) (i32.const 9999))
    (br $again))
  (unreachable))
