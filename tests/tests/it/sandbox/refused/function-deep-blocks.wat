;; is refused: has 5001 levels of blocks within blocks
(component (core module
  (func
    ;; repeat 5001 block
    ;; repeat 5001 end
  )))
