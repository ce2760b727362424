;; is refused: the global section of core module 0
(component (core module
  ;; repeat 100001 (global i32 (i32.const 0))
))
