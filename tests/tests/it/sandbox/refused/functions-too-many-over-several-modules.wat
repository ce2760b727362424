;; is refused: the function section of core module 1
(component
  (core module
    ;; repeat 60000 (func)
  )
  (core module
    ;; repeat 60000 (func)
  ))
