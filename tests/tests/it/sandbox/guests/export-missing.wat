;; is refused: transform
(component)
