;; ends in trap: not valid
;; lift string-encoding=utf16
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (call $skip (i32.const 4097) (i32.const 1)))
