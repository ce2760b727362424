;; is refused: has 501 instances
;; Each instance of a component with instances in it is all of them again.
(component
  (component $c)
  ;; repeat 501 (instance (instantiate $c))
)
