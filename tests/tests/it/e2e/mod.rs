//! The whole path, through the real program: what an operator would see.

mod blocked;
mod crash;
mod hostile;
mod path;
mod proxy;
mod retries;
