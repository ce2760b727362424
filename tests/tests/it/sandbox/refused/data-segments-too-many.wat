;; is refused: has 50001 data and element segments
(component (core module
  (memory 1)
  ;; repeat 50001 (data "")
))
