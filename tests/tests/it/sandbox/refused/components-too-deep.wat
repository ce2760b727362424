;; is refused: has 9 levels of components within components, of which there may be 8 (plugins.component_depth)
(component (component (component (component (component (component (component (component (component)))))))))
