//! The sandbox against guests that mean harm. `guests/` is the corpus: one file for each thing a guest
//! can try, with what it must come to in its first line;
//! `refused/` is what must not even be compiled.

mod admit;
mod cache;
mod compile;
mod fuzz;
mod hostile;
mod isolation;
mod jinja;
mod limits;
mod memory;
mod outbound;
mod replay;
mod wasi;

use hookbox_tests::guest;
