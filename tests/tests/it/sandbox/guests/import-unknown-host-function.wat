;; is refused: the world
(component
  (import "hookbox:transformer/host@1.0.0" (instance (export "read-file" (func (param "path" string) (result string))))))
