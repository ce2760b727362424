;; ends in trap
;; before (type $r (resource (rep i32))) (core func $new (canon resource.new $r)) (core func $rep (canon resource.rep $r)) (core func $drop (canon resource.drop $r))
;; with (with "r" (instance (export "new" (func $new)) (export "rep" (func $rep)) (export "drop" (func $drop))))
;; Handles of its own resource, never dropped.
(import "r" "new" (func $new (param i32) (result i32)))
(import "r" "rep" (func $rep (param i32) (result i32)))
(import "r" "drop" (func $drop (param i32)))
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (loop $again
    (drop (call $new (i32.const 7)))
    (br $again))
  (unreachable))
