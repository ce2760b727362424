;; is refused: has 20001 targets of one br_table
(component (core module
  (func (param i32)
    (block
      (br_table
        ;; repeat 20002 0
        (local.get 0))))))
