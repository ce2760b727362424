;; is refused: the world
(component
  (import "hookbox:transformer/host@1.9.0" (instance (export "eval" (func (param "code" string))))))
