;; is refused: has 501 instances
(component
  ;; repeat 501 (core instance)
)
