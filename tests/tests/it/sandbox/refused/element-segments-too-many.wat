;; is refused: has 50001 data and element segments
(component (core module
  (func)
  ;; repeat 50001 (elem func 0)
))
