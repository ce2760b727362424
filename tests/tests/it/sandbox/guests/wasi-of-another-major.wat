;; is refused: wasi:clocks/monotonic-clock@0.3.0
(component
  (import "wasi:clocks/monotonic-clock@0.3.0" (instance (export "now" (func (result u64))))))
