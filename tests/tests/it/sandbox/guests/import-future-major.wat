;; is refused: the world
(component
  (import "hookbox:transformer/host@2.0.0" (instance (export "log" (func (param "message" string))))))
