;; ends in skip
;; lift string-encoding=utf16
(data (i32.const 4096) "h\00i\00=\d8\00\de")
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (call $skip (i32.const 4096) (i32.const 4)))
