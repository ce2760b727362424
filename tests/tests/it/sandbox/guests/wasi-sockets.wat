;; is refused: wasi:sockets/tcp@0.2.3
(component
  (import "wasi:sockets/tcp@0.2.3" (instance (export "connect" (func)))))
