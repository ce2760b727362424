;; is refused: the memory section of core module 4
(component
  ;; repeat 5 (core module (memory 1))
)
