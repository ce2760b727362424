;; is refused: bytes for each run, beside memories and tables
;; 242 KB that would take 121 MB in each run, as it was first seen
(component
  (core module $m (elem funcref
    ;; repeat 80000 (ref.null func)
  ))
  ;; repeat 95 (core instance (instantiate $m))
)
