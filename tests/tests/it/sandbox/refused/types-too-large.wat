;; is refused: bytes of types
(component
  ;; repeat 11000 (type (record (field "a-name-of-about-a-hundred-letters-as-nobody-would-ever-write-it-by-hand-but-tools-might-if-they-tried" u8)))
)
