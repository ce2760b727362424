;; is refused: bytes for each run, beside memories and tables
(component
  (type $r (resource (rep i32)))
  ;; repeat 33000 (core func (canon resource.drop $r))
)
