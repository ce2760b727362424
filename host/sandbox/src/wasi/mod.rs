//! A stand-in for the part of WASI 0.2 that compilers and language runtimes import of themselves: it links, and
//! gives nothing of this machine.
//!
//! An allow-list says what works: the environment is empty; standard input is at its end; standard output and
//! standard error are the attempt's log; both clocks stand still at the event's timestamp; random bytes follow
//! from the event and the webhook. So the same event and webhook give the same request. Any other call of
//! these interfaces (files, sockets, waiting, `exit`) ends the run and is named in the error. Sockets are on
//! the list because `CPython` imports them whether a program has any or not; there is no code behind them. HTTP, which
//! only programs that want it import, is not even linked: a component that imports it is refused.
//!
//! The host holds nothing for a guest but one line each of its two outputs, bounded by the log: streams are
//! numbers, and there is nothing behind them. Every call costs fuel, as all calls of the host do.

mod clock;
mod functions;
mod random;
mod stdio;

use std::sync::Arc;

use wasmtime::component::{
    Component, Linker, LinkerInstance, ResourceType, types::ComponentInstance, types::ComponentItem,
};

use self::{clock::Clock, random::Random, stdio::Stdio};
use super::{imports::State, log::Log, text::clean_line};

/// The interfaces that may be imported, without `wasi:` and version.
const INTERFACES: [&str; 27] = [
    "cli/environment",
    "cli/exit",
    "cli/stderr",
    "cli/stdin",
    "cli/stdout",
    "cli/terminal-input",
    "cli/terminal-output",
    "cli/terminal-stderr",
    "cli/terminal-stdin",
    "cli/terminal-stdout",
    "clocks/monotonic-clock",
    "clocks/wall-clock",
    "filesystem/preopens",
    "filesystem/types",
    "io/error",
    "io/poll",
    "io/streams",
    "random/insecure",
    "random/insecure-seed",
    "random/random",
    "sockets/instance-network",
    "sockets/ip-name-lookup",
    "sockets/network",
    "sockets/tcp",
    "sockets/tcp-create-socket",
    "sockets/udp",
    "sockets/udp-create-socket",
];

/// The function that a guest called, which the stand-in does not grant and so ends the run.
#[derive(Debug, thiserror::Error)]
pub(super) enum Denied {
    #[error("it called `{0}`, which is not to be had: a transformer computes and nothing else")]
    Function(String),
    #[error("it ended itself with `wasi:cli/exit`; return a failure that says why instead")]
    Exit,
    #[error("it asked for {0} random bytes at once; at most {max} are given", max = random::MAX_BYTES)]
    RandomBytes(u64),
}

/// Whether this is the name of an import for which there is a stand-in: an interface of the list in a release of
/// WASI 0.2, all of which are compatible.
#[must_use]
pub fn has_stand_in(import: &str) -> bool {
    interface(import).is_some()
}

/// Whether the name is of WASI and there is no stand-in for it.
pub(super) fn is_refused_wasi(import: &str) -> bool {
    import.starts_with("wasi:") && !has_stand_in(import)
}

fn interface(import: &str) -> Option<&'static str> {
    let (name, version) = import.strip_prefix("wasi:")?.split_once('@')?;
    let patch = version.strip_prefix("0.2.")?;
    if patch.is_empty() || !patch.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    INTERFACES.into_iter().find(|known| *known == name)
}

/// Adds what a component imports of WASI, under the versions it names, to a linker. What is not on the list is
/// left out.
///
/// Functions that do something have the types that WASI gives them, which linking then compares; the others have
/// whatever type the component says, and never return.
pub(super) fn add(linker: &mut Linker<State>, component: &Component) -> wasmtime::Result<()> {
    let engine = component.engine();
    for (name, item) in component.component_type().imports(engine) {
        if let (Some(interface), ComponentItem::ComponentInstance(instance)) =
            (interface(name), item.ty)
        {
            let mut to = linker.instance(name)?;
            add_instance(&mut to, interface, &instance, engine)?;
        }
    }
    Ok(())
}

fn add_instance(
    to: &mut LinkerInstance<'_, State>,
    interface: &str,
    instance: &ComponentInstance,
    engine: &wasmtime::Engine,
) -> wasmtime::Result<()> {
    for (name, item) in instance.exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(_) => {
                let does_something = functions::add(to, interface, name)?;
                if !does_something {
                    deny(to, interface, name)?;
                }
            }
            // nothing is behind a handle, so nothing is to be done when it is dropped
            ComponentItem::Resource(_) => to.resource(name, resource(name), |_, _| Ok(()))?,
            // types need no definition; of anything else linking says that it is missing
            _ => {}
        }
    }
    Ok(())
}

/// Defines a function that ends the run.
fn deny(to: &mut LinkerInstance<'_, State>, interface: &str, name: &str) -> wasmtime::Result<()> {
    let what = match interface {
        "cli/exit" => None,
        _ => Some(clean_line(&format!("wasi:{interface}#{name}"), 120)),
    };
    to.func_new(name, move |_, _, _, _| {
        let denied = what.clone().map_or(Denied::Exit, Denied::Function);
        Err(wasmtime::Error::new(denied))
    })
}

/// The same resource wherever its name stands: interfaces use those of others.
fn resource(name: &str) -> ResourceType {
    match name {
        "input-stream" => ResourceType::host::<stdio::InputStream>(),
        "output-stream" => ResourceType::host::<stdio::OutputStream>(),
        "error" => ResourceType::host::<stdio::IoError>(),
        "terminal-input" => ResourceType::host::<stdio::TerminalInput>(),
        "terminal-output" => ResourceType::host::<stdio::TerminalOutput>(),
        "descriptor" => ResourceType::host::<stdio::Descriptor>(),
        _ => ResourceType::host::<NeverMade>(),
    }
}

/// A resource of which no guest ever gets one.
enum NeverMade {}

/// The stand-in's state for one run. Nothing of it is computed before a guest asks.
pub(super) struct Wasi {
    /// The event's context, as the guest gets it; empty where there is none.
    event: Arc<str>,
    /// The webhook, likewise.
    webhook: Arc<str>,
    clock: Option<Clock>,
    random: Option<Random>,
    stdio: Stdio,
}

impl Wasi {
    pub(super) fn new(event: Arc<str>, webhook: Arc<str>) -> Self {
        Self {
            event,
            webhook,
            clock: None,
            random: None,
            stdio: Stdio::default(),
        }
    }

    /// Logs what was written since the last line break.
    pub(super) fn finish(&mut self, log: &mut Log) {
        self.stdio.finish(log);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_interfaces_of_released_versions_have_a_stand_in() {
        for name in [
            "wasi:cli/stdout@0.2.0",
            "wasi:io/streams@0.2.12",
            "wasi:random/insecure-seed@0.2.3",
            "wasi:sockets/tcp@0.2.9",
        ] {
            assert!(has_stand_in(name), "{name}");
        }
        for name in [
            "wasi:cli/stdout",
            "wasi:cli/stdout@0.2",
            "wasi:cli/stdout@0.2.",
            "wasi:cli/stdout@0.2.0-rc-2023-11-10",
            "wasi:cli/stdout@0.2.0+x",
            "wasi:cli/stdout@0.3.0",
            "wasi:cli/stdout@1.0.0",
            "wasi:sockets/dns@0.2.0",
            "wasi:http/types@0.2.0",
            "wasi:clocks/timezone@0.2.0",
            "wasi:cli/stdout@0.2.0@0.2.0",
            "other:cli/stdout@0.2.0",
            "wasi:cli/stdout/more@0.2.0",
        ] {
            assert!(!has_stand_in(name), "{name}");
        }
    }
}
