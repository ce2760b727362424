;; ends in trap: called the host
;; allocator $main "realloc"
;; From host to guest to host and, for the answer, to guest again.
(func (export "realloc") (param i32 i32 i32 i32) (result i32)
  (call $secret (i32.const 0) (i32.const 0) (i32.const 4096))
  (i32.const 8192))
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
