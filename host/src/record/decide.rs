//! From an attempt's outcome to the delivery's next state.

use std::time::Duration;

use super::{Attempt, AttemptOutcome};
use crate::model::RetryPolicy;

/// What happens to a delivery after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Delivered.
    Finished,
    /// The transformer wanted nothing sent.
    Skip,
    /// Try again after this long, by the backend's clock.
    Retry(Duration),
    /// Given up, for this reason.
    Fail(String),
}

/// What the decision rests on besides the attempt.
#[derive(Clone, Copy, Debug)]
pub struct RetryInput<'a> {
    /// The webhook's policy.
    pub policy: &'a RetryPolicy,
    /// Attempts settled before this one since the delivery was (re)queued.
    pub earlier_attempts: u32,
    /// The receiver's `Retry-After`, already capped.
    pub retry_after: Option<Duration>,
    /// A random number from 0 up to 1, for the jitter.
    pub random: f64,
}

/// Decides what happens after an attempt. Pure.
///
/// A delivered attempt finishes the delivery and a skipped one skips it. A failed one is tried again if
/// its error is retryable and the schedule has a wait left; the receiver's `Retry-After` can lengthen
/// that wait, never shorten it.
#[must_use]
pub fn decide(attempt: &Attempt, input: RetryInput<'_>) -> Next {
    match attempt.outcome {
        AttemptOutcome::Delivered => Next::Finished,
        AttemptOutcome::Skipped => Next::Skip,
        AttemptOutcome::Failed => {
            let Some(error) = &attempt.error else {
                return Next::Fail("the attempt failed without a reason".to_owned());
            };
            if !error.retryable {
                return Next::Fail(error.message.clone());
            }
            match wait_before_retry(input) {
                Some(wait) => Next::Retry(wait),
                None => Next::Fail(format!(
                    "{} (attempt {} of {}, no retries left)",
                    error.message,
                    input.earlier_attempts.saturating_add(1),
                    input.policy.schedule.len() + 1,
                )),
            }
        }
    }
}

/// The wait before the next attempt, or `None` when the schedule is used up. At least the schedule's
/// wait and the receiver's `Retry-After`; at most those, whichever is longer, and the jitter's share.
#[must_use]
pub fn wait_before_retry(input: RetryInput<'_>) -> Option<Duration> {
    let index = usize::try_from(input.earlier_attempts).ok()?;
    let planned = Duration::from_secs(u64::from(*input.policy.schedule.get(index)?));
    let base = planned.max(input.retry_after.unwrap_or_default());
    let share = (input.policy.jitter * input.random).clamp(0.0, 1.0);
    Some(base + base.mul_f64(share))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_stay_between_plan_and_plan_plus_jitter(
            schedule in proptest::collection::vec(0u32..1_000_000, 0..20),
            jitter in 0.0f64..=1.0,
            random in 0.0f64..1.0,
            earlier in 0u32..25,
            retry_after in proptest::option::of(0u64..100_000),
        ) {
            let policy = RetryPolicy { schedule: schedule.clone(), jitter };
            let retry_after = retry_after.map(Duration::from_secs);
            let wait = wait_before_retry(RetryInput { policy: &policy, earlier_attempts: earlier, retry_after, random });
            match schedule.get(earlier as usize) {
                None => prop_assert_eq!(wait, None),
                Some(&planned) => {
                    let least = Duration::from_secs(planned.into()).max(retry_after.unwrap_or_default());
                    let wait = wait.expect("the schedule has a wait left");
                    prop_assert!(wait >= least);
                    prop_assert!(wait <= least + least.mul_f64(jitter) + Duration::from_millis(1));
                }
            }
        }
    }
}
