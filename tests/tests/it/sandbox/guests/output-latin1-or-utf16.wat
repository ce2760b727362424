;; ends in skip
;; lift string-encoding=latin1+utf16
;; The highest bit of the length says UTF-16.
(data (i32.const 4096) "h\00\20\ac\00")
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (call $skip (i32.const 4096) (i32.const 0x80000002)))
