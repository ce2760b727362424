//! From an attempt's outcome to the delivery's next state.

use std::time::Duration;

use super::{Attempt, AttemptOutcome};
use crate::model::RetryPolicy;

/// The next step of a delivery after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Delivered.
    Finished,
    /// The transformer wanted nothing sent, for this reason; empty if it gave none.
    Skip(String),
    /// Try again after this long, by the backend's clock.
    Retry(Duration),
    /// Given up, for this reason.
    Fail(String),
}

/// The input of the decision besides the attempt.
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
        AttemptOutcome::Skipped => Next::Skip(attempt.skip_reason.clone().unwrap_or_default()),
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

/// The wait before the next attempt, or `None` when the schedule is used up.
///
/// The wait is the longer one of the schedule's wait and the receiver's `Retry-After`, and a random share of that on
/// top:
/// `jitter` times `random`, clamped to 0 to 1. No input makes it panic or overflow.
#[must_use]
pub fn wait_before_retry(input: RetryInput<'_>) -> Option<Duration> {
    let index = usize::try_from(input.earlier_attempts).ok()?;
    let planned = Duration::from_secs(u64::from(*input.policy.schedule.get(index)?));
    let base = planned.max(input.retry_after.unwrap_or_default());
    let share = (input.policy.jitter * input.random).clamp(0.0, 1.0);
    // `mul_f64` would panic on a result that does not fit.
    let extra = Duration::try_from_secs_f64(base.as_secs_f64() * share).unwrap_or_default();
    Some(base.saturating_add(extra))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        model::{Timestamp, WorkerId},
        record::{AttemptError, Timings},
    };

    fn attempt(outcome: AttemptOutcome, retryable: Option<bool>) -> Attempt {
        Attempt {
            number: 1,
            started: Timestamp::from_millis(0),
            worker: WorkerId::from("wrk_1"),
            outcome,
            render: None,
            request: None,
            response: None,
            timings: Timings::default(),
            error: retryable.map(|retryable| AttemptError {
                kind: "status".to_owned(),
                field: None,
                line: None,
                message: "The receiver answered 503.".to_owned(),
                retryable,
            }),
            skip_reason: (outcome == AttemptOutcome::Skipped).then(|| "a draft".to_owned()),
            warnings: Vec::new(),
        }
    }

    fn policy(schedule: Vec<u32>) -> RetryPolicy {
        RetryPolicy {
            schedule,
            jitter: 0.1,
            statuses: Vec::new(),
        }
    }

    #[test]
    fn the_last_failure_says_how_often_it_was_tried() {
        let policy = policy(vec![1, 2]);
        let input = RetryInput {
            policy: &policy,
            earlier_attempts: 2,
            retry_after: None,
            random: 0.0,
        };
        let next = decide(&attempt(AttemptOutcome::Failed, Some(true)), input);
        let reason = "The receiver answered 503. (attempt 3 of 3, no retries left)";
        assert_eq!(next, Next::Fail(reason.to_owned()));
    }

    #[test]
    fn no_number_is_too_odd() {
        for odd in [f64::NAN, f64::INFINITY, -1.0, 1.0, 1e308] {
            for wait in [Duration::ZERO, Duration::from_secs(1), Duration::MAX] {
                let policy = RetryPolicy {
                    schedule: vec![u32::MAX],
                    jitter: odd,
                    statuses: Vec::new(),
                };
                let input = RetryInput {
                    policy: &policy,
                    earlier_attempts: 0,
                    retry_after: Some(wait),
                    random: 1.0,
                };
                assert!(wait_before_retry(input).is_some_and(|w| w >= wait));
            }
        }
    }

    proptest! {
        /// A receiver that never recovers costs one attempt more than the schedule has waits, and an error
        /// that cannot be mended one.
        #[test]
        fn retries_end_with_the_schedule(
            schedule in proptest::collection::vec(0_u32..100, 0..10),
            retryable in any::<bool>(),
        ) {
            let policy = policy(schedule.clone());
            let failed = attempt(AttemptOutcome::Failed, Some(retryable));
            let attempts = (0..).take_while(|&earlier_attempts| {
                let input = RetryInput { policy: &policy, earlier_attempts, retry_after: None, random: 0.5 };
                matches!(decide(&failed, input), Next::Retry(_))
            });
            prop_assert_eq!(attempts.count(), if retryable { schedule.len() } else { 0 });
        }

        #[test]
        fn only_failures_are_tried_again(
            outcome in proptest::sample::select(vec![
                AttemptOutcome::Delivered, AttemptOutcome::Skipped, AttemptOutcome::Failed,
            ]),
            retryable in proptest::option::of(any::<bool>()),
            schedule in proptest::collection::vec(any::<u32>(), 0..3),
            jitter in any::<f64>(),
            random in any::<f64>(),
            earlier_attempts in any::<u32>(),
            retry_after in proptest::option::of(any::<Duration>()),
        ) {
            let policy = RetryPolicy { schedule, jitter, statuses: Vec::new() };
            let input = RetryInput { policy: &policy, earlier_attempts, retry_after, random };
            match decide(&attempt(outcome, retryable), input) {
                Next::Finished => prop_assert_eq!(outcome, AttemptOutcome::Delivered),
                Next::Skip(reason) => {
                    prop_assert_eq!(outcome, AttemptOutcome::Skipped);
                    prop_assert_eq!(reason, "a draft");
                }
                Next::Retry(wait) => {
                    prop_assert_eq!((outcome, retryable), (AttemptOutcome::Failed, Some(true)));
                    prop_assert!(wait >= retry_after.unwrap_or_default());
                }
                Next::Fail(reason) => {
                    prop_assert_eq!(outcome, AttemptOutcome::Failed);
                    prop_assert!(!reason.is_empty());
                }
            }
        }

        #[test]
        fn waits_stay_between_plan_and_plan_plus_jitter(
            schedule in proptest::collection::vec(0u32..1_000_000, 0..20),
            jitter in 0.0f64..=1.0,
            random in 0.0f64..1.0,
            earlier in 0u32..25,
            retry_after in proptest::option::of(0u64..100_000),
        ) {
            let policy = RetryPolicy { schedule: schedule.clone(), jitter, statuses: Vec::new() };
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
