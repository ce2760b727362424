;; is refused: has 6000 levels of blocks within blocks
(component (core module
  (func
    ;; repeat 3000 loop i32.const 1 if
    ;; repeat 3000 end end
  )))
