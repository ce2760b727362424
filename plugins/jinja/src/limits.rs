//! What one template is granted. Each ends in a message that names field and line, and each lies well
//! below the sandbox's own limit, which ends the whole run without knowing of templates.
//!
//! The sandbox grants a thousand units of its fuel for each of the engine's. The prices here and in the
//! filters are such that one of the engine's pays for at most some seven hundred, as measured in the
//! sandbox; the rest is for what the engine does before and after.

/// The engine's own fuel for one template: about one per instruction, and one per 64 bytes made, so it
/// bounds data too. An instruction costs some hundreds of the sandbox's.
const FUEL: u64 = 20_000;

/// The fuel for one template, given the event's size: enough for any event as `tojson`. No more than that
/// for a large one, as reading it has taken of the sandbox's fuel before.
pub(crate) fn fuel(event_bytes: usize) -> u64 {
    FUEL.max(event_bytes as u64 / 8)
}

/// Bytes of a value written out that cost one unit of fuel, which is about what an instruction costs.
pub(crate) const BYTES_PER_FUEL: usize = 32;

/// The fuel for a call of a filter or method, and for a step of a path of attributes, beside the
/// instruction's.
pub(crate) const CALL: u64 = 4;

/// The fuel for an item that a filter or method goes through.
pub(crate) const ITEM: u64 = 2;

/// Bytes of text that one unit of fuel pays for, where they are read character by character.
pub(crate) const READ_BYTES_PER_FUEL: usize = 6;

/// Bytes of a template's tags that cost one unit of fuel before the template runs.
pub(crate) const TAG_BYTES_PER_FUEL: usize = 2;

/// Bytes of a template's text that do.
pub(crate) const TEXT_BYTES_PER_FUEL: usize = 16;

/// A template that ran out of fuel while it held this many bytes did so for its data.
pub(crate) const MUCH_MEMORY: usize = 256 << 10;

/// Nested macros, loops and blocks. A macro call costs about its depth plus 4.
pub(crate) const RECURSION: usize = 100;

/// Bytes of a rendered body.
pub(crate) const BODY: usize = 1 << 20;

/// Bytes of a rendered URL.
pub(crate) const URL: usize = 8 << 10;

/// Bytes of the rendered headers, all together.
pub(crate) const HEADERS: usize = HEADER_COUNT * HEADER;

/// Bytes of one header, its name and its value.
pub(crate) const HEADER: usize = 8 << 10;

/// Headers, `Content-Type` included.
pub(crate) const HEADER_COUNT: usize = 100;
