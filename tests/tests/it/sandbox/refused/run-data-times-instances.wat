;; is refused: bytes for each run, beside memories and tables
(component
  (core module $m
    ;; repeat 6000 (data "")
  )
  ;; repeat 95 (core instance (instantiate $m))
)
