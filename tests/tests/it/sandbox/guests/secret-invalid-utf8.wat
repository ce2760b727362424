;; ends in trap: not valid
(data (i32.const 4096) "\ff\fe")
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (call $secret (i32.const 4096) (i32.const 2) (i32.const 8192))
  (unreachable))
