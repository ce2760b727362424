;; is refused: has 20001 types
(component
  ;; repeat 20001 (type (list u8))
)
