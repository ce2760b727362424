;; is refused: has 20001 sections, of which there may be 20000 (plugins.sections)
;; Each type has a section of its own, as an import stands between it and the next.
(component
  ;; repeat 10001 (core type (func)) (type (list u8))
)
