;; is refused: has 201 core modules
(component
  ;; repeat 201 (core module)
)
