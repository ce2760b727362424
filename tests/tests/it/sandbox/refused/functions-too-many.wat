;; is refused: has 100001 functions, of which there may be 100000 (plugins.functions)
(component (core module
  ;; repeat 100001 (func)
))
