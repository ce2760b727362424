;; ends in trap: not allowed
;; before (component $inner (core module $m (func (export "f") )) (core instance $i (instantiate $m)) (func (export "f") (canon lift (core func $i "f")))) (instance $inner (instantiate $inner)) (core func $inner-f (canon lower (func $inner "f")))
;; with (with "inner" (instance (export "f" (func $inner-f))))
;; A component must not call one that it contains, as that one could call back.
(import "inner" "f" (func $f))
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (call $f)
  (call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
