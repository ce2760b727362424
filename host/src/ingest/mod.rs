//! Stage 1: bytes become an [`Event`].

mod event;

pub use event::Event;
