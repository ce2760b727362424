;; ends in out_of_fuel
(table $t 10000 funcref)
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (loop $again
    (table.fill $t (i32.const 0) (ref.null func) (i32.const 10000))
    (br $again))
  (unreachable))
