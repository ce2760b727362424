;; is refused: bytes for each run, beside memories and tables
(component
  (core module $m (elem funcref
    ;; repeat 6000 (ref.null func)
  ))
  (component $inner
    (import "m" (core module $n))
    ;; repeat 95 (core instance (instantiate $n))
  )
  (instance (instantiate $inner (with "m" (core module $m))))
)
