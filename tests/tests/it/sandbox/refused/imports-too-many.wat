;; is refused: has 100001 imports, exports, aliases and globals
(component (core module
  ;; repeat 100001 (import "" "" (global i32))
))
