;; ends in request
;; before (type $r (resource (rep i32))) (core func $new (canon resource.new $r)) (core func $rep (canon resource.rep $r)) (core func $drop (canon resource.drop $r))
;; with (with "r" (instance (export "new" (func $new)) (export "rep" (func $rep)) (export "drop" (func $drop))))
;; It is gone with the instance.
(import "r" "new" (func $new (param i32) (result i32)))
(import "r" "rep" (func $rep (param i32) (result i32)))
(import "r" "drop" (func $drop (param i32)))
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (drop (call $new (i32.const 7)))
  (call $send (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
