;; ends in out_of_memory
(table $t 1 funcref)
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (loop $again
    (drop (table.grow $t (ref.null func) (i32.const 1000)))
    (br $again))
  (unreachable))
