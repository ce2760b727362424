//! What one template is granted. Each ends in a message that names field and line, and each lies well
//! below the sandbox's own limit, which ends the whole run without knowing of templates.

/// The engine's own fuel for one template: about one per instruction, and one per 64 bytes made.
pub(crate) const FUEL: u64 = 60_000;

/// Nested macros, loops and blocks. A macro call costs about its depth plus 4.
pub(crate) const RECURSION: usize = 100;

/// Bytes of a rendered body.
pub(crate) const BODY: usize = 1 << 20;

/// Bytes of a rendered URL.
pub(crate) const URL: usize = 8 << 10;

/// Bytes of the rendered headers, all together.
pub(crate) const HEADERS: usize = 100 * (8 << 10);
