;; is refused: bytes for each run, beside memories and tables
(component
  (core module $m
    ;; repeat 6000 (global i32 (i32.const 0))
  )
  ;; repeat 95 (core instance (instantiate $m))
)
