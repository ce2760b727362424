;; is refused: bytes for each run, beside memories and tables
(component
  (core module $p (func (export "f")))
  (core instance $p (instantiate $p))
  (core module $m
    ;; repeat 1500 (import "p" "f" (func))
  )
  ;; repeat 95 (core instance (instantiate $m (with "p" (instance $p))))
)
