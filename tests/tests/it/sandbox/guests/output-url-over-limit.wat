;; ends in output_too_large of payload_url: 8193
;; memory 2
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (drop (call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
  (i32.store (i32.const 2064) (i32.const 16384))
  (i32.store (i32.const 2068) (i32.const 8193))
  (i32.const 2048))
