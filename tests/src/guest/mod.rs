//! Guests: components made of WebAssembly text, and what each must come to.
//!
//! `guests/` and `refused/` beside the sandbox's tests are the corpus; `prelude.wat` is what a guest's text is
//! put into.

use std::{fs, path::Path, sync::Arc};

use hookbox::{
    config::{Config, SandboxConfig},
    sandbox::{Output, RenderJob, Rendered, Rendering, Sandbox, SecretHandles, Transformer},
};

const PRELUDE: &str = include_str!("prelude.wat");
/// Imports of WASI, for guests that have the line `;; wasi`: the core module finds them under that name.
const WASI: &str = include_str!("wasi.wat");

/// A bump allocator that grows its memory as needed.
const REALLOC: &str = "(local $p i32)
  (local.set $p (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
  (global.set $next (i32.add (local.get $p) (local.get $size)))
  (block $enough (loop $more
    (br_if $enough (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
    (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))
    (unreachable)))
  (local.get $p)";

/// A file of the corpus.
#[derive(Debug)]
pub struct Guest {
    /// The file's name, without `.wat`.
    pub name: String,
    /// The file's first line: what this guest comes to.
    pub ends: String,
    /// The component.
    pub wasm: Vec<u8>,
}

/// The guests that are tried in the sandbox, by name.
///
/// # Panics
/// If one cannot be built.
#[must_use]
pub fn corpus() -> Vec<Guest> {
    folder("guests")
}

/// All files of a folder, by name.
///
/// # Panics
/// If one cannot be built.
#[must_use]
pub fn folder(name: &str) -> Vec<Guest> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/sandbox")
        .join(name);
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the corpus")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy();
            let text = fs::read_to_string(path).expect("readable");
            let ends = text
                .lines()
                .next()
                .and_then(|line| line.strip_prefix(";; "));
            Guest {
                ends: ends.expect("a first line that says how it ends").to_owned(),
                wasm: assemble(&name, &text),
                name: name.into_owned(),
            }
        })
        .collect()
}

/// The component around a guest's code: a whole component as it is, or fields of the main core module,
/// with lines such as `;; memory 1 2` for what the prelude shall have in other places.
///
/// # Panics
/// If the text is not WebAssembly.
#[must_use]
pub fn assemble(name: &str, text: &str) -> Vec<u8> {
    let directive = |key: &str, default: &str| {
        text.lines()
            .find_map(|line| {
                line.strip_prefix(";; ")?
                    .strip_prefix(key)?
                    .strip_prefix(' ')
            })
            .unwrap_or(default)
            .to_owned()
    };
    let text = &repeat(text);
    let whole = text.lines().any(|line| line.starts_with("(component"));
    let component = if whole {
        text.to_owned()
    } else {
        let prelude = if text.lines().any(|line| line == ";; wasi") {
            let libc = "(core instance $libc (instantiate $libc))";
            let with = r#"(with "libc" (instance $libc))"#;
            PRELUDE
                .replace(libc, &format!("{libc}\n{WASI}"))
                .replace(with, &format!(r#"{with} (with "wasi" (instance $wasi))"#))
        } else {
            PRELUDE.to_owned()
        };
        prelude
            .replace("{memory}", &directive("memory", "1"))
            .replace("{realloc}", &directive("realloc", REALLOC))
            .replace("{before}", &directive("before", ""))
            .replace("{with}", &directive("with", ""))
            .replace("{beside}", &directive("beside", ""))
            .replace("{allocator}", &directive("allocator", "$libc \"realloc\""))
            .replace("{lift}", &directive("lift", ""))
            .replace("{main}", text)
    };
    wat::parse_str(&component).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The text with each line `;; repeat N what` written out: bombs are small until they are built.
fn repeat(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    for line in text.lines() {
        let written_out = line.trim_start().strip_prefix(";; repeat ");
        match written_out.and_then(|line| line.split_once(' ')) {
            Some((times, what)) => {
                let times = times.parse().expect("a number");
                all.extend(std::iter::repeat_n(format!("{what}\n"), times));
            }
            None => all.extend([line, "\n"]),
        }
    }
    all
}

/// A guest that sends the event back.
#[must_use]
pub fn echo() -> Vec<u8> {
    assemble(
        "echo",
        r#"(func (export "transform") (param $event i32) (param $event-len i32) (param i32 i32) (result i32)
             (call $send (i32.const 0) (i32.const 0) (local.get $event) (local.get $event-len)))"#,
    )
}

/// The defaults, on two threads whatever the machine, and with time enough for a slow one.
#[must_use]
pub fn config() -> SandboxConfig {
    SandboxConfig {
        threads: 2,
        deadline_ms: 5000,
        ..Config::defaults().sandbox
    }
}

/// A sandbox with [`config`], which compiles in this process and caches nothing.
///
/// # Panics
/// If it cannot be started.
#[must_use]
pub fn sandbox() -> Sandbox {
    Sandbox::new(&config(), None).expect("a sandbox")
}

/// Nothing but an event.
#[must_use]
pub fn job(event: &str) -> RenderJob {
    RenderJob {
        event: event.into(),
        webhook: "{}".into(),
        secrets: Arc::new(SecretHandles::default()),
        owner: Arc::default(),
    }
}

/// Renders an event.
pub async fn render(sandbox: &Sandbox, transformer: &Transformer, event: &str) -> Rendering {
    sandbox.render(transformer, job(event)).await
}

/// The request, which must be there.
///
/// # Panics
/// If it is not.
pub fn request(rendering: &Rendering) -> &Rendered {
    match &rendering.output {
        Output::Request(request) => request,
        other => panic!("not a request: {other:?}"),
    }
}

/// A guest that returns what the event spells out, whatever that is: the bytes of the result in memory, as
/// the component model lays them out, from [`PUPPET_BASE`] on. See [`strings`].
///
/// # Panics
/// Never: its text is WebAssembly.
#[must_use]
pub fn puppet() -> Vec<u8> {
    assemble(
        "puppet",
        r#"(func (export "transform") (param $event i32) (param $len i32) (param i32 i32) (result i32)
             (local $at i32)
             (loop $next (if (i32.lt_u (local.get $at) (i32.shr_u (local.get $len) (i32.const 1))) (then
               (i32.store8 (i32.add (local.get $event) (local.get $at))
                 (i32.or
                   (i32.shl (i32.and (i32.const 15)
                     (i32.load8_u (i32.add (local.get $event) (i32.shl (local.get $at) (i32.const 1)))))
                     (i32.const 4))
                   (i32.and (i32.const 15)
                     (i32.load8_u offset=1 (i32.add (local.get $event) (i32.shl (local.get $at) (i32.const 1)))))))
               (local.set $at (i32.add (local.get $at) (i32.const 1)))
               (br $next))))
             (local.get $event))"#,
    )
}

/// Where the puppet's result lies: the first address its allocator hands out.
pub const PUPPET_BASE: u32 = 8192;

/// The event that makes a [`puppet`] return these bytes.
#[must_use]
pub fn strings(result: &[u8]) -> String {
    let nibble = |n: u8| char::from(b'@' | (n & 15));
    result
        .iter()
        .flat_map(|byte| [nibble(byte >> 4), nibble(*byte)])
        .collect()
}

/// The bytes of `ok(send(…))`, as the canonical ABI lays it out from [`PUPPET_BASE`] on. Parts are bytes, as a
/// guest's strings need not be text.
///
/// # Panics
/// If it is longer than a memory can be.
#[must_use]
pub fn returned(method: &[u8], url: &[u8], headers: &[(Vec<u8>, Vec<u8>)], body: &[u8]) -> Vec<u8> {
    // two discriminants of a byte each in words of their own, then four pairs of address and length
    const HEAD: usize = 40;
    // name and value, a pair each
    const HEADER: usize = 16;
    fn address(at: usize) -> u32 {
        u32::try_from(at).expect("a small result") + PUPPET_BASE
    }
    let mut image = vec![0; HEAD + headers.len() * HEADER];
    let pair = |image: &mut Vec<u8>, at: usize, start: u32, count: usize| {
        let count = u32::try_from(count).expect("a small result");
        image[at..at + 4].copy_from_slice(&start.to_le_bytes());
        image[at + 4..at + 8].copy_from_slice(&count.to_le_bytes());
    };
    let text = |image: &mut Vec<u8>, at: usize, bytes: &[u8]| {
        let start = address(image.len());
        image.extend_from_slice(bytes);
        pair(image, at, start, bytes.len());
    };
    text(&mut image, 8, method);
    text(&mut image, 16, url);
    pair(&mut image, 24, address(HEAD), headers.len());
    for (n, (name, value)) in headers.iter().enumerate() {
        text(&mut image, HEAD + n * HEADER, name);
        text(&mut image, HEAD + n * HEADER + 8, value);
    }
    text(&mut image, 32, body);
    image
}
