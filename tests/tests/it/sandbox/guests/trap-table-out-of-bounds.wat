;; ends in trap: table entry
(table $t 1 funcref)
(func (export "transform") (param $event i32) (param $event-len i32) (param $webhook i32) (param $webhook-len i32) (result i32)
  (drop (table.get $t (i32.const -1)))
  (unreachable))
