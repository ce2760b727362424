//! hookbox delivers webhooks whose URL, headers and body are written by people it does not trust.
//!
//! The modules are the stages an event passes, in this order. Each stage has its own type, and only that
//! stage can construct it, so a request that was not validated and guarded cannot be sent.
//!
//! ```text
//! bytes ──ingest──▶ Event ──rules──▶ Matched ──queue──▶ Leased
//!   ──sandbox──▶ Rendered ──request──▶ OutboundRequest ──guard──▶ GuardedRequest
//!   ──deliver──▶ Response ──record──▶ Attempt + Next
//! ```
//!
//! `pipeline` is the path from a render to the attempt's record, `transformers` has the components that render, `engine`
//! puts all parts together, and `worker` is the loop that drives them. `tenant` compiles what a tenant
//! configured, and `backend` stores it and the queue. `api` and `cli` are the ways in. The sandbox is a crate of its own,
//! so that all `unsafe` is there.

#![forbid(unsafe_code)]

pub mod ingest;
pub mod rules;

pub mod backend;
pub use hookbox_sandbox as sandbox;

pub mod request;

pub mod guard;

pub mod deliver;

pub mod record;

pub mod pipeline;
pub mod transformers;

pub mod engine;
pub mod worker;

pub mod tenant;

pub mod api;
pub mod cli;

pub mod config;
pub mod model;
pub mod telemetry;
