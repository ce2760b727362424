;; is refused: wasi:clocks/monotonic-clock@0.2.0-rc-2023-11-10
(component
  (import "wasi:clocks/monotonic-clock@0.2.0-rc-2023-11-10" (instance (export "now" (func (result u64))))))
