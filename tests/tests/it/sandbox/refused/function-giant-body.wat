;; is refused: function 1 of core module 0
;; The second function, after an imported one, is more than a megabyte.
(component (core module
  (import "" "" (func))
  (func
    ;; repeat 90000 (drop (i64.const -9223372036854775808))
  )))
