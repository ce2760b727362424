;; is refused: component imports are not supported
(component
  (import "nested" (component)))
