//! Stage 8: what happened, and what happens next.
//!
//! [`Attempt`] is the full record of one try; [`decide()`] is the pure function from its outcome to the
//! delivery's next state. Both go to the backend in one step ([`crate::backend::Settlement`]).

mod attempt;
mod decide;
mod kind;

pub use attempt::{
    Attempt, AttemptError, AttemptOutcome, Body, RenderInput, RenderRecord, RequestRecord,
    ResponseRecord, Timings,
};
pub use decide::{Next, RetryInput, decide, wait_before_retry};
pub use kind::FailureKind;
