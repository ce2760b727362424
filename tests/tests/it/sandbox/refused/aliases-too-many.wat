;; is refused: the alias section
(component
  (core module $m (func (export "f")))
  (core instance $i (instantiate $m))
  ;; repeat 100001 (alias core export $i "f" (core func))
)
