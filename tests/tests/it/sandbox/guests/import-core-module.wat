;; is refused: `evil`
(component
  (import "evil" (core module)))
