;; ends in request
;; The list of headers lies on the result itself, which reads as headers without names.
;; They are refused on the way to be sent.
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (call $send (i32.const 2048) (i32.const 4) (i32.const 0) (i32.const 0)))
