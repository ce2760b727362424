;; is refused: has 201 core modules
(component
  (component
    ;; repeat 101 (core module)
  )
  (component
    ;; repeat 101 (core module)
  ))
