;; is refused: has 20001 types
(component (core module
  ;; repeat 20001 (type (func))
))
