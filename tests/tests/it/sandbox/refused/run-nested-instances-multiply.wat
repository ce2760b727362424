;; is refused: bytes for each run, beside memories and tables
(component
  (component $inner
    (core module $m (elem funcref
      ;; repeat 6000 (ref.null func)
    ))
    ;; repeat 10 (core instance (instantiate $m))
  )
  ;; repeat 10 (instance (instantiate $inner))
)
