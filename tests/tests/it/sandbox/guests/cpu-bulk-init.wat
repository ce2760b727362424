;; ends in out_of_fuel
(data $bytes "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (loop $again
    (memory.init $bytes (i32.const 0) (i32.const 0) (i32.const 64))
    (br $again))
  (unreachable))
