//! What fuzzers and tests feed with bytes: a function for each way in that strangers have. They panic when
//! something does not hold that must hold whatever the bytes are.
//!
//! `fuzz/` makes targets of them for long runs guided by coverage; `tests/it/sandbox/fuzz.rs` runs them for
//! some seconds with the same seeds.

mod outbound;

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use hookbox::{
    config::{Config, SandboxConfig},
    guard::Guard,
    sandbox::{Output, Rendering, Sandbox, Transformer, survey},
};
use tokio::runtime::{Builder, Runtime};

pub use self::outbound::{outbound, unescape};
use crate::guest::{self, job, puppet};

/// What became of an input, so that whoever feeds them can see that they get anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    /// It was not tried, as it is too long.
    NotTried,
    /// It was refused at the door.
    Refused,
    /// It passed the first check and failed at a later one.
    Failed,
    /// It passed all there is.
    Passed,
}

/// What all inputs share: engine, guests and settings.
struct World {
    runtime: Runtime,
    sandbox: Sandbox,
    puppet: Transformer,
    guard: Guard,
    limits: SandboxConfig,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let sandbox = guest::sandbox();
        World {
            runtime: Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime"),
            puppet: sandbox.load("puppet", &puppet()).expect("fits"),
            sandbox,
            guard: {
                let config = Config::defaults();
                Guard::with_resolver(&config.guard, &config.delivery, Arc::new(outbound::Pretend))
            },
            limits: guest::config(),
        }
    })
}

/// The most bytes of a component that is compiled: a compiler takes its time.
const MAX_COMPILED: usize = 8 << 10;
/// How long a look at an input may take, on the slowest machine, with every check compiled in.
const PATIENCE: Duration = Duration::from_secs(20);

/// Admission of a plugin: the survey for whatever it is, compiling and running for small components.
///
/// Core modules are surveyed only: the encoder that makes components of them may panic, which is why it runs
/// in a process of its own.
///
/// # Panics
/// If anything does not hold.
pub fn admission(input: &[u8]) -> Ended {
    let World { sandbox, .. } = world();
    let limits = Config::defaults().plugins;
    let begun = Instant::now();
    let found = survey(input, &limits);
    assert_eq!(found, survey(input, &limits), "the survey is a function");
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    match found {
        Err(refusal) => {
            fit_to_be_shown(&refusal.to_string());
            return Ended::Refused;
        }
        Ok(found) => {
            for name in found.imports.iter().chain(&found.exports) {
                fit_to_be_shown(name);
            }
            if let Some(function) = found.largest_function {
                assert!(function.bytes <= input.len() as u64, "{function:?}");
            }
        }
    }
    if !input.starts_with(b"\0asm\x0d\0\x01\0") {
        return Ended::Failed;
    }
    if input.len() > MAX_COMPILED {
        return Ended::NotTried;
    }
    match sandbox.admit("plugin", input, &limits) {
        Err(error) => {
            assert!(
                error.is_refusal(),
                "nobody's fault but the plugin's: {error}"
            );
            fit_to_be_shown(&error.to_string());
            Ended::Failed
        }
        Ok(admitted) => {
            assert_eq!(admitted.component, input);
            run_twice(&admitted.transformer, "{}");
            Ended::Passed
        }
    }
}

/// A core module beside a well-behaved guest's, instantiated before it: what its start function does must be
/// bounded, deterministic, and nothing to the host. For modules that validate; others are refused.
///
/// # Panics
/// If anything does not hold.
pub fn module(module: &[u8]) -> Ended {
    /// Core modules in the guest before.
    const MODULES: u8 = 2;
    let mut component = guest::echo();
    // Binary.md of the component model: a core module is section 1, core instances are section 2
    component.push(1);
    let mut size = module.len();
    while size > 0x7f {
        component.push(u8::try_from(size & 0x7f).unwrap_or_default() | 0x80);
        size >>= 7;
    }
    component.push(u8::try_from(size).unwrap_or_default());
    component.extend_from_slice(module);
    // one instance: instantiate that module with no arguments
    component.extend_from_slice(&[2, 4, 1, 0, MODULES, 0]);
    admission(&component)
}

/// A component runs within its limits, and a second time as it did the first.
fn run_twice(transformer: &Transformer, event: &str) -> Rendering {
    let World {
        runtime,
        sandbox,
        limits,
        ..
    } = world();
    let render = || runtime.block_on(sandbox.render(transformer, job(event)));
    let (first, second) = (render(), render());
    let all = |r: &Rendering| {
        let cost = (r.cost.fuel, r.cost.peak_memory_bytes);
        format!("{:?} {cost:?} {:?}", r.output, r.logs)
    };
    assert_eq!(all(&first), all(&second), "the second run is as the first");
    assert!(first.cost.fuel <= limits.fuel);
    assert!(first.cost.peak_memory_bytes <= limits.memory_bytes as u64);
    let logged: usize = first.logs.iter().map(|line| line.message.len()).sum();
    assert!(logged <= limits.log_bytes + 200, "{logged}");
    for line in &first.logs {
        assert!(!line.message.chars().any(char::is_control), "{line:?}");
    }
    match &first.output {
        Output::Request(_) => {}
        Output::Skip(reason) => fit_to_be_shown(reason),
        Output::Error(error) => fit_to_be_shown(&error.message),
    }
    first
}

/// Text by strangers, or about what they sent, that people are shown: one short line, without what steers a
/// terminal.
fn fit_to_be_shown(text: &str) {
    assert!(text.len() < 2000, "{} bytes: {text}", text.len());
    assert!(!text.chars().any(char::is_control), "{text:?}");
}
