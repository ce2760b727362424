;; is refused: `launch-missiles`
(component
  (import "launch-missiles" (func)))
