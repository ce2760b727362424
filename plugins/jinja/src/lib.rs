//! hookbox's default transformer.
