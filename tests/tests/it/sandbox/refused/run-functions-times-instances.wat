;; is refused: bytes for each run, beside memories and tables
(component
  (core module $m
    ;; repeat 3000 (func)
    (elem declare func
    ;; repeat 3000 0
    )
  )
  ;; repeat 95 (core instance (instantiate $m))
)
