;; is refused: has 10001 locals in one function, of which there may be 10000 (plugins.locals)
(component (core module
  (func (local
    ;; repeat 10001 i64
  ))))
