//! What a run of a component takes that makes the host allocate as much as it may, measured in a process of its own
//! (`guests load KIND CACHE`), as others in the same one would blur it.

use std::{fs, path::Path};

use hookbox::{
    config::Config,
    sandbox::{Measure, Sandbox, survey},
};

use crate::{guest, resident};

/// What can be multiplied by instances, by name.
pub const KINDS: [&str; 6] = [
    "elements",
    "segments",
    "functions",
    "globals",
    "imports",
    "data",
];

/// Instances of the module, beside the few that every guest of the corpus has, within the hundred that there may be.
const INSTANCES: usize = 90;
/// What the engine lets the contexts of all instances of a component take (wasmtime's `max_component_instance_size`),
/// which everything but segments is in; less a little that every guest takes.
const CONTEXTS: u64 = (1 << 20) - (64 << 10);

/// What a component was counted to take for each run, and what it was seen to take.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The most that there may be of this kind.
    pub limit: u64,
    /// The survey's figure.
    pub counted: u64,
    /// Bytes by which the process grew while there was an instance.
    pub held: u64,
}

/// Makes the largest component of a kind that is admitted, and an instance of it. To be called a second time in another
/// process with the same cache: in one that has compiled, freed memory is taken again, and nothing is seen to grow.
///
/// # Panics
/// If there is no such kind, or it cannot be admitted or instantiated.
#[must_use]
pub fn measure(kind: &str, cache: &Path) -> Load {
    let limits = Config::defaults().plugins;
    let counted = |wasm: &[u8]| {
        let found = survey(wasm, &limits).expect("it is admitted");
        found.figure(Measure::RunBytes)
    };
    let limit = match kind {
        "elements" | "segments" => limits.run_bytes,
        _ => limits.run_bytes.min(CONTEXTS),
    };
    let (few, more) = (counted(&component(kind, 10)), counted(&component(kind, 20)));
    let most = 10 + (limit - few) * 10 / (more - few);
    let wasm = component(kind, usize::try_from(most).expect("few"));

    let sandbox = Sandbox::new(&guest::config(), Some(cache)).expect("a sandbox");
    let echo = sandbox.load("echo", &guest::echo()).expect("it fits");
    let loaded = sandbox.load("load", &wasm).expect("it is valid");
    sandbox.instantiate(&echo).expect("it starts");
    // The highest mark begins anew (proc(5)).
    fs::write("/proc/self/clear_refs", "5").expect("Linux");
    let before = resident::bytes();
    sandbox.instantiate(&loaded).expect("it starts");
    Load {
        limit,
        counted: counted(&wasm),
        held: resident::most().saturating_sub(before),
    }
}

/// A guest with instances of a module that has so many of something.
fn component(kind: &str, many: usize) -> Vec<u8> {
    let times = |what: &str| format!("{what} ").repeat(many);
    let numbered = |what: &dyn Fn(usize) -> String| {
        let all: Vec<_> = (0..many).map(what).collect();
        all.join(" ")
    };
    let module = match kind {
        "elements" => format!("(elem funcref {})", times("(ref.null func)")),
        "segments" => times("(elem funcref)"),
        "functions" => {
            let all = numbered(&|n| n.to_string());
            format!("{} (elem declare func {all})", times("(func)"))
        }
        "globals" => times("(global i32 (i32.const 0))"),
        "imports" => numbered(&|n| format!(r#"(import "m" "f{n}" (func))"#)),
        "data" => times(r#"(data "")"#),
        other => panic!("there is no kind {other}"),
    };
    let exports = match kind {
        "imports" => numbered(&|n| format!(r#"(export "f{n}" (func 0))"#)),
        _ => String::new(),
    };
    let instance = r#"(core instance (instantiate $load (with "m" (instance $m)))) "#;
    guest::assemble(
        "load",
        &format!(
            ";; beside (core module $p (func) {exports}) (core instance $m (instantiate $p)) \
             (core module $load {module}) {}\n\
             (func (export \"transform\") (param i32 i32 i32 i32) (result i32) (unreachable))",
            instance.repeat(INSTANCES)
        ),
    )
}
