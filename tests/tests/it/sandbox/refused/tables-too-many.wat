;; is refused: has 13 tables, of which there may be 12; link
(component (core module
  ;; repeat 13 (table 1 funcref)
))
