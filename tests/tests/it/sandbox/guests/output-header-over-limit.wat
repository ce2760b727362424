;; ends in output_too_large of additional_headers: 8193
;; memory 2
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (i32.store (i32.const 8192) (i32.const 16384))
  (i32.store (i32.const 8196) (i32.const 1))
  (i32.store (i32.const 8200) (i32.const 16384))
  (i32.store (i32.const 8204) (i32.const 8192))
  (call $send (i32.const 8192) (i32.const 1) (i32.const 0) (i32.const 0)))
