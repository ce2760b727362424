//! All that a guest can call: `log` and `secret`, and the stand-in for WASI where it imports that.

use std::sync::Arc;

use wasmtime::{
    Engine, StoreContextMut, Trap,
    component::{Component, Linker, types::ComponentItem},
};

use super::{
    LogLine, SandboxError, SecretSource,
    bindings::Level,
    limits::{Limits, Meter},
    log::Log,
    wasi::{self, Wasi},
};

/// The one interface with functions.
const HOST: &str = "hookbox:transformer/host@1.0.0";
/// Fuel that a call of the host costs beside one unit for each byte handed over, about what the same
/// time spent in Wasm would.
const CALL_FUEL: u64 = 500;

/// The host's state beside one run.
pub(super) struct State {
    pub(super) meter: Meter,
    pub(super) log: Log,
    pub(super) wasi: Wasi,
    secrets: Arc<dyn SecretSource>,
}

impl State {
    pub(super) fn new(limits: &Limits, secrets: Arc<dyn SecretSource>, wasi: Wasi) -> Self {
        Self {
            meter: Meter::new(limits),
            log: Log::new(limits.log_bytes),
            wasi,
            secrets,
        }
    }

    /// Logs what was begun and not ended, once the run has ended.
    pub(super) fn end(&mut self) {
        self.wasi.finish(&mut self.log);
    }

    /// The log.
    pub(super) fn into_log(self) -> Vec<LogLine> {
        self.log.finish()
    }
}

/// A linker that holds the world's own imports.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    let mut host = linker.instance(HOST)?;
    host.func_wrap(
        "log",
        |mut store: StoreContextMut<'_, State>, (level, message): (Level, String)| {
            charge(&mut store, message.len())?;
            store.data_mut().log.add(level, &message);
            Ok(())
        },
    )?;
    host.func_wrap(
        "secret",
        |mut store: StoreContextMut<'_, State>, (name,): (String,)| {
            let handle = store.data().secrets.handle(&name);
            let bytes = name
                .len()
                .saturating_add(handle.as_ref().map_or(0, String::len));
            charge(&mut store, bytes)?;
            Ok((handle,))
        },
    )?;
    Ok(linker)
}

/// Takes the price of a call, for so many bytes, from the run's fuel, and traps if there is not enough.
pub(super) fn charge(store: &mut StoreContextMut<'_, State>, bytes: usize) -> wasmtime::Result<()> {
    let price = u64::try_from(bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(CALL_FUEL);
    let left = store.get_fuel()?.checked_sub(price);
    store.set_fuel(left.unwrap_or(0))?;
    match left {
        Some(_) => Ok(()),
        None => Err(Trap::OutOfFuel.into()),
    }
}

/// Refuses a component that imports anything but the world's own and what has a stand-in, and names it.
///
/// The linker would refuse it as well, in words that say less.
pub(super) fn check_imports(component: &Component) -> Result<(), SandboxError> {
    for (name, item) in component.component_type().imports(component.engine()) {
        let package = name.split('@').next().unwrap_or_default();
        let known = match item.ty {
            ComponentItem::ComponentInstance(_) => {
                matches!(
                    package,
                    "hookbox:transformer/host" | "hookbox:transformer/types"
                ) || wasi::has_stand_in(name)
            }
            // types that the world itself uses
            ComponentItem::Type(_) => true,
            _ => false,
        };
        if !known {
            return Err(SandboxError::import(name));
        }
    }
    Ok(())
}
