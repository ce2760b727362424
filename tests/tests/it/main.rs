//! hookbox tested from outside. One binary; each module says what belongs in it.
//!
//! (`cfg(test)` tells clippy that helpers in these modules are test code too.)

#[cfg(test)]
mod api;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod e2e;
#[cfg(test)]
mod jinja2;
#[cfg(test)]
mod netbox;
#[cfg(test)]
mod plugins;
#[cfg(test)]
mod ready;
#[cfg(test)]
mod redis;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod sqlite;
#[cfg(test)]
mod structure;
#[cfg(test)]
mod wit;
