;; A component of the world hookbox:transformer/transformer@1.0.0 around the core code of a guest.
;; `mod.rs` fills in what stands in braces.
(component
  (type $types-t (instance
    (type $header-t (record (field "name" string) (field "value" string)))
    (export "header" (type $header (eq $header-t)))
    (type $request-t (record
      (field "method" string) (field "url" string)
      (field "headers" (list $header)) (field "body" (list u8))))
    (export "request" (type $request (eq $request-t)))
    (type $decision-t (variant (case "send" $request) (case "skip" string)))
    (export "decision" (type (eq $decision-t)))
    (type $kind-t (enum
      "template-syntax" "template-runtime" "out-of-fuel" "out-of-memory" "output-too-large" "plugin-error"))
    (export "failure-kind" (type $kind (eq $kind-t)))
    (type $failure-t (record
      (field "kind" $kind) (field "field" (option string)) (field "line" (option u32)) (field "message" string)))
    (export "failure" (type (eq $failure-t)))))
  (import "hookbox:transformer/types@1.0.0" (instance $types (type $types-t)))
  (alias export $types "decision" (type $decision))
  (alias export $types "failure" (type $failure))

  (type $host-t (instance
    (type $level-t (enum "debug" "info" "warn" "error"))
    (export "level" (type $level (eq $level-t)))
    (export "log" (func (param "level" $level) (param "message" string)))
    (export "secret" (func (param "name" string) (result (option string))))))
  (import "hookbox:transformer/host@1.0.0" (instance $host (type $host-t)))

  (core module $libc
    (memory (export "memory") {memory})
    (global $next (mut i32) (i32.const 8192))
    (func (export "realloc")
      (param $old i32) (param $old-size i32) (param $align i32) (param $size i32) (result i32)
      {realloc})

    (data (i32.const 1024) "POST")
    (data (i32.const 1040) "https://example.com/hook")

    ;; ok(send({POST, the URL above, headers, body})), at 2048:
    ;;   2056 method 2064 url 2072 headers 2080 body, each an address and a length
    (func (export "send")
      (param $headers i32) (param $count i32) (param $body i32) (param $len i32) (result i32)
      (i32.store8 (i32.const 2048) (i32.const 0))
      (i32.store8 (i32.const 2052) (i32.const 0))
      (i32.store (i32.const 2056) (i32.const 1024))
      (i32.store (i32.const 2060) (i32.const 4))
      (i32.store (i32.const 2064) (i32.const 1040))
      (i32.store (i32.const 2068) (i32.const 24))
      (i32.store (i32.const 2072) (local.get $headers))
      (i32.store (i32.const 2076) (local.get $count))
      (i32.store (i32.const 2080) (local.get $body))
      (i32.store (i32.const 2084) (local.get $len))
      (i32.const 2048))
    ;; ok(skip(reason))
    (func (export "skip") (param $reason i32) (param $len i32) (result i32)
      (i32.store8 (i32.const 2048) (i32.const 0))
      (i32.store8 (i32.const 2052) (i32.const 1))
      (i32.store (i32.const 2056) (local.get $reason))
      (i32.store (i32.const 2060) (local.get $len))
      (i32.const 2048))
    ;; err({kind, some(field), some(3), message})
    (func (export "fail")
      (param $kind i32) (param $field i32) (param $field-len i32) (param $message i32) (param $len i32) (result i32)
      (i32.store8 (i32.const 2048) (i32.const 1))
      (i32.store8 (i32.const 2052) (local.get $kind))
      (i32.store8 (i32.const 2056) (i32.const 1))
      (i32.store (i32.const 2060) (local.get $field))
      (i32.store (i32.const 2064) (local.get $field-len))
      (i32.store8 (i32.const 2068) (i32.const 1))
      (i32.store (i32.const 2072) (i32.const 3))
      (i32.store (i32.const 2076) (local.get $message))
      (i32.store (i32.const 2080) (local.get $len))
      (i32.const 2048)))
  (core instance $libc (instantiate $libc))

  (core func $log (canon lower (func $host "log") (memory $libc "memory")))
  (core func $secret (canon lower (func $host "secret") (memory $libc "memory") (realloc (func $libc "realloc"))))

  {before}
  (core module $main
    (import "libc" "memory" (memory 0))
    (import "libc" "send" (func $send (param i32 i32 i32 i32) (result i32)))
    (import "libc" "skip" (func $skip (param i32 i32) (result i32)))
    (import "libc" "fail" (func $fail (param i32 i32 i32 i32 i32) (result i32)))
    (import "host" "log" (func $log (param i32 i32 i32)))
    (import "host" "secret" (func $secret (param i32 i32 i32)))
    {main})
  (core instance $main (instantiate $main
    (with "libc" (instance $libc))
    (with "host" (instance (export "log" (func $log)) (export "secret" (func $secret)))) {with}))

  {beside}
  (func (export "transform")
    (param "event" string) (param "webhook" string) (result (result $decision (error $failure)))
    (canon lift (core func $main "transform")
      (memory $libc "memory") (realloc (func {allocator})) {lift}))
)
