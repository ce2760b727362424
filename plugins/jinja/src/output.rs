//! Values written out as text, which a template pays for with fuel.

use std::borrow::Cow;

use minijinja::{Error, State, Value};

use crate::{limits, values::afford, writer};

/// The bytes of a value written out that a template could still pay for.
pub(crate) fn affordable(state: &State<'_, '_>) -> usize {
    let left = state.fuel_levels().map_or(0, |(_, left)| left);
    usize::try_from(left)
        .unwrap_or(usize::MAX)
        .saturating_mul(limits::BYTES_PER_FUEL)
}

/// `str(value)`, paid for.
pub(crate) fn to_str<'v>(state: &State<'_, '_>, value: &'v Value) -> Result<Cow<'v, str>, Error> {
    let (text, cost) = writer::to_str(value, affordable(state))?;
    afford(state, cost)?;
    Ok(text)
}
