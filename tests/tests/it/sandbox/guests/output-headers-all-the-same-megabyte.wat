;; ends in output_too_large
;; memory 20
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (local $i i32)
  ;; 100 headers that all point at the same 1 MiB
  (loop $next
    (i32.store offset=8192 (local.get $i) (i32.const 65536))
    (i32.store offset=8196 (local.get $i) (i32.const 1048576))
    (local.set $i (i32.add (local.get $i) (i32.const 16)))
    (br_if $next (i32.lt_u (local.get $i) (i32.const 1600))))
  (call $send (i32.const 8192) (i32.const 100) (i32.const 0) (i32.const 0)))
