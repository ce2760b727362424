//! Guests: components made of WebAssembly text, and what each must come to.

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
pub(super) struct Guest {
    pub(super) name: String,
    /// The file's first line: what this guest comes to.
    pub(super) ends: String,
    pub(super) wasm: Vec<u8>,
}

/// The guests that are tried in the sandbox, by name.
pub(super) fn corpus() -> Vec<Guest> {
    folder("guests")
}

/// All files of a folder, by name.
pub(super) fn folder(name: &str) -> Vec<Guest> {
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
pub(super) fn assemble(name: &str, text: &str) -> Vec<u8> {
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
            .replace("{beside}", &directive("beside", ""))
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
pub(super) fn echo() -> Vec<u8> {
    assemble(
        "echo",
        r#"(func (export "transform") (param $event i32) (param $event-len i32) (param i32 i32) (result i32)
             (call $send (i32.const 0) (i32.const 0) (local.get $event) (local.get $event-len)))"#,
    )
}

/// The defaults, on two threads whatever the machine, and with time enough for a slow one.
pub(super) fn config() -> SandboxConfig {
    SandboxConfig {
        threads: 2,
        deadline_ms: 5000,
        ..Config::defaults().sandbox
    }
}

pub(super) fn sandbox() -> Sandbox {
    Sandbox::new(&config(), None).expect("a sandbox")
}

pub(super) fn job(event: &str) -> RenderJob {
    RenderJob {
        event: event.into(),
        webhook: "{}".into(),
        secrets: Arc::new(SecretHandles::default()),
    }
}

pub(super) async fn render(sandbox: &Sandbox, transformer: &Transformer, event: &str) -> Rendering {
    sandbox.render(transformer, job(event)).await
}

/// The request, which must be there.
pub(super) fn request(rendering: &Rendering) -> &Rendered {
    match &rendering.output {
        Output::Request(request) => request,
        other => panic!("not a request: {other:?}"),
    }
}
