;; is refused: the world
(component
  (import "hookbox:transformer/host@1.0.0" (instance (export "secret" (func (param "name" string) (result string))))))
