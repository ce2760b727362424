;; is refused: bytes for each run, beside memories and tables
(component
  (core module $m
    ;; repeat 1500 (elem funcref)
  )
  ;; repeat 95 (core instance (instantiate $m))
)
