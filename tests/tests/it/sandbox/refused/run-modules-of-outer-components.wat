;; is refused: bytes for each run, beside memories and tables
(component $outer
  (core module $m (elem funcref
    ;; repeat 6000 (ref.null func)
  ))
  (component $inner
    (alias outer $outer $m (core module $n))
    ;; repeat 10 (core instance (instantiate $n))
  )
  (component $middle
    (alias outer $outer $inner (component $i))
    ;; repeat 10 (instance (instantiate $i))
  )
  (instance (instantiate $middle))
)
