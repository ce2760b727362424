;; ends in out_of_fuel
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (loop $again
    (drop (memory.grow (i32.const 0)))
    (br $again))
  (unreachable))
