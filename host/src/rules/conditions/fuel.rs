//! The work that conditions may do on one event.

/// Work left, in units of very roughly ten nanoseconds. Deterministic: the same conditions on the same event
/// always cost the same.
#[derive(Debug)]
pub(in crate::rules) struct Fuel(u64);

/// There is none left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutOfFuel;

impl Fuel {
    /// Fuel for all rules of a tenant on one event. A thousand rules that each match a pattern against a name use a
    /// fraction of it; the most expensive conditions use it up in some fifty milliseconds.
    const PER_EVENT: u64 = 5_000_000;

    pub(in crate::rules) const fn for_event() -> Self {
        Self(Self::PER_EVENT)
    }

    #[cfg(test)]
    pub(super) const fn of(units: u64) -> Self {
        Self(units)
    }

    /// Spends for a condition or group in itself.
    pub(super) fn condition(&mut self) -> Result<(), OutOfFuel> {
        self.spend(20)
    }

    /// Spends for one step over so many bytes.
    pub(super) fn step(&mut self, bytes: usize) -> Result<(), OutOfFuel> {
        self.spend(1 + (bytes / 64) as u64)
    }

    /// Spends. Once it is used up it stays so.
    pub(super) fn spend(&mut self, units: u64) -> Result<(), OutOfFuel> {
        match self.0.checked_sub(units) {
            Some(left) => {
                self.0 = left;
                Ok(())
            }
            None => {
                self.0 = 0;
                Err(OutOfFuel)
            }
        }
    }
}
