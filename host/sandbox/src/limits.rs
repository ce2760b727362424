//! The limits of one run: its memory and tables, and the bounds on its output.

use wasmtime::ResourceLimiter;

use crate::config::SandboxConfig;

/// One Wasm page.
pub(super) const PAGE: usize = 64 * 1024;
/// Linear memories of one component. A plain one has one; composed ones have one for each part.
pub(super) const MEMORIES: u32 = 4;
/// Tables of one component: as memories, and one more for the shims of the component model.
pub(super) const TABLES: u32 = 12;
/// Core instances of one component. Dynamically linked ones (Python) have one for each library.
pub(super) const CORE_INSTANCES: u32 = 100;
/// Resource handles held at once. Transformers have no use for resources.
pub(super) const HANDLES: usize = 64;

/// The numbers of the configuration, as one run needs them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) fuel: u64,
    pub(super) deadline_ms: u64,
    pub(super) memory_bytes: usize,
    pub(super) table_elements: usize,
    pub(super) body_bytes: usize,
    pub(super) headers: usize,
    pub(super) header_bytes: usize,
    pub(super) url_bytes: usize,
    pub(super) log_bytes: usize,
}

impl Limits {
    pub(super) fn new(config: &SandboxConfig) -> Self {
        Self {
            fuel: config.fuel,
            deadline_ms: config.deadline_ms,
            // whole pages: a guest holds no parts of one
            memory_bytes: config.memory_bytes / PAGE * PAGE,
            table_elements: config.table_elements,
            body_bytes: config.body_bytes,
            headers: config.headers,
            header_bytes: config.header_bytes,
            url_bytes: config.url_bytes,
            log_bytes: config.log_bytes,
        }
    }

    /// The bytes that the host copies out of a guest in one call: all that a legal request holds, and
    /// some room, so that what is a little over the limits is told in words that name the field.
    pub(super) fn hostcall_bytes(&self) -> usize {
        const ROOM: usize = 64 * 1024;
        // what the host's own representation of a header takes, beside its text
        const HEADER: usize = 64;
        self.headers
            .saturating_mul(self.header_bytes.saturating_add(HEADER))
            .saturating_add(self.body_bytes)
            .saturating_add(self.url_bytes)
            .saturating_add(self.log_bytes)
            .saturating_add(ROOM)
    }
}

/// Counts what one run holds: all memories together and all tables together, from their initial sizes on.
///
/// A refusal traps, so that no guest goes on half-allocated, and is remembered, so that the run's error
/// can say what happened whatever way the trap took.
#[derive(Debug)]
pub(super) struct Meter {
    memory_limit: usize,
    table_limit: usize,
    memory: usize,
    peak_memory: usize,
    tables: usize,
    refused: Option<Refused>,
}

/// The growth that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error(
        "the transformer asked for {wanted} bytes of memory in all; the limit is {limit} (sandbox.memory_bytes)"
    )]
    Memory { wanted: usize, limit: usize },
    #[error(
        "the transformer asked for {wanted} table entries in all; the limit is {limit} (sandbox.table_elements)"
    )]
    Table { wanted: usize, limit: usize },
}

impl Meter {
    pub(super) const fn new(limits: &Limits) -> Self {
        Self {
            memory_limit: limits.memory_bytes,
            table_limit: limits.table_elements,
            memory: 0,
            peak_memory: 0,
            tables: 0,
            refused: None,
        }
    }

    /// The most memory held at once, in bytes.
    pub(super) fn peak_memory(&self) -> u64 {
        u64::try_from(self.peak_memory).unwrap_or(u64::MAX)
    }

    pub(super) const fn refused(&self) -> Option<Refused> {
        self.refused
    }

    fn refuse(&mut self, what: Refused) -> wasmtime::Result<bool> {
        self.refused = Some(what);
        Err(wasmtime::Error::new(what))
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = total(self.memory, current, desired);
        if wanted > self.memory_limit {
            return self.refuse(Refused::Memory {
                wanted,
                limit: self.memory_limit,
            });
        }
        // the guest's own declared maximum: its growth fails, as Wasm has it
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.memory = wanted;
        self.peak_memory = self.peak_memory.max(wanted);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = total(self.tables, current, desired);
        if wanted > self.table_limit {
            return self.refuse(Refused::Table {
                wanted,
                limit: self.table_limit,
            });
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.tables = wanted;
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }
}

/// All together, once one of them has grown.
const fn total(all: usize, current: usize, desired: usize) -> usize {
    all.saturating_sub(current).saturating_add(desired)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::tests::Config;

    proptest! {
        /// However several memories grow, their sum stays within the limit and a refusal is remembered.
        #[test]
        fn the_sum_of_all_memories_is_what_counts(steps in proptest::collection::vec((0usize..3, 0usize..300), 0..30)) {
            let limits = Limits::new(&Config::defaults().sandbox);
            let mut meter = Meter::new(&limits);
            let mut sizes = [0usize; 3];
            for (memory, pages) in steps {
                let desired = sizes[memory] + pages * PAGE;
                let others: usize = sizes.iter().sum::<usize>() - sizes[memory];
                let fits = others + desired <= limits.memory_bytes;
                prop_assert_eq!(meter.memory_growing(sizes[memory], desired, None).is_ok(), fits);
                if !fits {
                    prop_assert!(meter.refused().is_some());
                    break;
                }
                sizes[memory] = desired;
                prop_assert!(meter.peak_memory() >= sizes.iter().sum::<usize>() as u64);
            }
        }
    }

    #[test]
    fn growth_past_the_guests_own_maximum_fails_without_a_trap_and_is_not_counted() {
        let limits = Limits::new(&Config::defaults().sandbox);
        let mut meter = Meter::new(&limits);
        assert!(
            !meter
                .memory_growing(0, 2 * PAGE, Some(PAGE))
                .expect("no trap")
        );
        assert_eq!(meter.peak_memory(), 0);
        assert_eq!(meter.refused(), None);
    }
}
