;; is refused: transform
(component
  (core module $m (func (export "f") (result i32) (i32.const 0)))
  (core instance $m (instantiate $m))
  (func (export "transform") (result u32) (canon lift (core func $m "f"))))
