;; ends in trap: called the host
;; allocator $main "realloc"
(func (export "realloc") (param i32 i32 i32 i32) (result i32)
  (call $log (i32.const 1) (i32.const 0) (i32.const 0))
  (i32.const 8192))
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
