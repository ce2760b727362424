  ;; What of WASI the guests of these tests use, as its WIT has it.
  (import "wasi:io/error@0.2.3" (instance $io-error
    (export "error" (type (sub resource)))))
  (alias export $io-error "error" (type $error))
  (import "wasi:io/poll@0.2.3" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))
    (export "poll" (func (param "in" (list (borrow $pollable))) (result (list u32))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:io/streams@0.2.3" (instance $streams
    (export "error" (type $e (eq $error)))
    (export "pollable" (type $p (eq $pollable)))
    (export "input-stream" (type $in (sub resource)))
    (export "output-stream" (type $out (sub resource)))
    (type $stream-error-t (variant (case "last-operation-failed" (own $e)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $stream-error-t)))
    (export "[method]input-stream.blocking-read" (func
      (param "self" (borrow $in)) (param "len" u64) (result (result (list u8) (error $stream-error)))))
    (export "[method]output-stream.check-write" (func
      (param "self" (borrow $out)) (result (result u64 (error $stream-error)))))
    (export "[method]output-stream.write" (func
      (param "self" (borrow $out)) (param "contents" (list u8)) (result (result (error $stream-error)))))
    (export "[method]output-stream.subscribe" (func (param "self" (borrow $out)) (result (own $p))))))
  (alias export $streams "input-stream" (type $input-stream))
  (alias export $streams "output-stream" (type $output-stream))
  (import "wasi:cli/stdin@0.2.3" (instance $stdin
    (export "input-stream" (type $s (eq $input-stream)))
    (export "get-stdin" (func (result (own $s))))))
  (import "wasi:cli/stdout@0.2.3" (instance $stdout
    (export "output-stream" (type $s (eq $output-stream)))
    (export "get-stdout" (func (result (own $s))))))
  (import "wasi:cli/stderr@0.2.3" (instance $stderr
    (export "output-stream" (type $s (eq $output-stream)))
    (export "get-stderr" (func (result (own $s))))))
  (import "wasi:cli/environment@0.2.3" (instance $environment
    (export "get-environment" (func (result (list (tuple string string)))))
    (export "get-arguments" (func (result (list string))))
    (export "initial-cwd" (func (result (option string))))))
  (import "wasi:cli/exit@0.2.3" (instance $exit
    (export "exit" (func (param "status" (result))))))
  (import "wasi:clocks/monotonic-clock@0.2.3" (instance $monotonic
    (export "pollable" (type $p (eq $pollable)))
    (export "now" (func (result u64)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
  ;; another version: they are compatible
  (import "wasi:clocks/wall-clock@0.2.0" (instance $wall
    (type $datetime-t (record (field "seconds" u64) (field "nanoseconds" u32)))
    (export "datetime" (type $datetime (eq $datetime-t)))
    (export "now" (func (result $datetime)))))
  (import "wasi:random/random@0.2.3" (instance $random
    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))
    (export "get-random-u64" (func (result u64)))))
  (import "wasi:random/insecure-seed@0.2.3" (instance $seed
    (export "insecure-seed" (func (result (tuple u64 u64))))))
  (import "wasi:filesystem/types@0.2.3" (instance $files
    (export "descriptor" (type $d (sub resource)))
    (export "[method]descriptor.sync" (func (param "self" (borrow $d)) (result (result))))
    ;; not of WASI: what a component says it is, it is
    (export "open-them-all" (func (param "paths" (list (list string)))))))
  (alias export $files "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@0.2.3" (instance $preopens
    (export "descriptor" (type $d (eq $descriptor)))
    (export "get-directories" (func (result (list (tuple (own $d) string)))))))
  ;; runtimes of languages import these whether a program uses them or not
  (import "wasi:sockets/tcp@0.2.9" (instance $tcp
    (export "tcp-socket" (type (sub resource)))))
  (alias export $tcp "tcp-socket" (type $tcp-socket))
  (import "wasi:sockets/tcp-create-socket@0.2.9" (instance $tcp-create
    (export "tcp-socket" (type $s (eq $tcp-socket)))
    (type $family-t (enum "ipv4" "ipv6"))
    (export "ip-address-family" (type $family (eq $family-t)))
    (export "create-tcp-socket" (func (param "address-family" $family) (result (result (own $s)))))))

  (core func $poll-block (canon lower (func $poll "[method]pollable.block")))
  (core func $poll-poll (canon lower (func $poll "poll") (memory $libc "memory") (realloc (func $libc "realloc"))))
  (core func $read (canon lower (func $streams "[method]input-stream.blocking-read")
    (memory $libc "memory") (realloc (func $libc "realloc"))))
  (core func $check-write (canon lower (func $streams "[method]output-stream.check-write") (memory $libc "memory")))
  (core func $write (canon lower (func $streams "[method]output-stream.write") (memory $libc "memory")))
  (core func $subscribe (canon lower (func $streams "[method]output-stream.subscribe")))
  (core func $drop-output (canon resource.drop $output-stream))
  (core func $get-stdin (canon lower (func $stdin "get-stdin")))
  (core func $get-stdout (canon lower (func $stdout "get-stdout")))
  (core func $get-stderr (canon lower (func $stderr "get-stderr")))
  (core func $get-environment (canon lower (func $environment "get-environment")
    (memory $libc "memory") (realloc (func $libc "realloc"))))
  (core func $get-arguments (canon lower (func $environment "get-arguments")
    (memory $libc "memory") (realloc (func $libc "realloc"))))
  (core func $initial-cwd (canon lower (func $environment "initial-cwd")
    (memory $libc "memory") (realloc (func $libc "realloc"))))
  (core func $exit-now (canon lower (func $exit "exit")))
  (core func $monotonic-now (canon lower (func $monotonic "now")))
  (core func $subscribe-duration (canon lower (func $monotonic "subscribe-duration")))
  (core func $wall-now (canon lower (func $wall "now") (memory $libc "memory")))
  (core func $random-bytes (canon lower (func $random "get-random-bytes")
    (memory $libc "memory") (realloc (func $libc "realloc"))))
  (core func $random-u64 (canon lower (func $random "get-random-u64")))
  (core func $insecure-seed (canon lower (func $seed "insecure-seed") (memory $libc "memory")))
  (core func $sync (canon lower (func $files "[method]descriptor.sync")))
  (core func $open-them-all (canon lower (func $files "open-them-all") (memory $libc "memory")))
  (core func $get-directories (canon lower (func $preopens "get-directories")
    (memory $libc "memory") (realloc (func $libc "realloc"))))
  (core func $create-tcp-socket (canon lower (func $tcp-create "create-tcp-socket") (memory $libc "memory")))
  (core instance $wasi
    (export "create-tcp-socket" (func $create-tcp-socket))
    (export "poll-block" (func $poll-block))
    (export "poll" (func $poll-poll))
    (export "read" (func $read))
    (export "check-write" (func $check-write))
    (export "write" (func $write))
    (export "subscribe" (func $subscribe))
    (export "drop-output" (func $drop-output))
    (export "get-stdin" (func $get-stdin))
    (export "get-stdout" (func $get-stdout))
    (export "get-stderr" (func $get-stderr))
    (export "get-environment" (func $get-environment))
    (export "get-arguments" (func $get-arguments))
    (export "initial-cwd" (func $initial-cwd))
    (export "exit" (func $exit-now))
    (export "monotonic-now" (func $monotonic-now))
    (export "subscribe-duration" (func $subscribe-duration))
    (export "wall-now" (func $wall-now))
    (export "random-bytes" (func $random-bytes))
    (export "random-u64" (func $random-u64))
    (export "insecure-seed" (func $insecure-seed))
    (export "sync" (func $sync))
    (export "open-them-all" (func $open-them-all))
    (export "get-directories" (func $get-directories)))
