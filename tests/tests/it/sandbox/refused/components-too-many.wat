;; is refused: has 65 nested components
(component
  ;; repeat 65 (component)
)
