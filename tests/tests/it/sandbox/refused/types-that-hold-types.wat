;; is refused: levels of types within types
;; Beside each other here; a parser that goes down into types cannot know before it has.
(component
  (type (instance
    ;; repeat 201 (type (instance))
  )))
