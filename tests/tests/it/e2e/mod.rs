//! The whole path, through the real program: what an operator would see.

mod answers;
mod blocked;
mod crash;
mod hostile;
mod log;
mod path;
mod proxy;
mod receivers;
mod retries;
mod secrets;
