//! The test whether the canary of a rollout does worse than the current version.
//!
//! The test is made after every attempt. An ordinary test of significance that is repeated so often would in the end
//! find a difference where there is none. This is a sequential test, which may be repeated at any time.
//!
//! The side of each delivery is drawn at random with the canary's share `s` ([`Plugin::choose`]), whatever
//! the delivery. So if the two versions are equally good, each failure, and each attempt that did not fail,
//! is the canary's with probability `s`, independently of all others; also when webhooks, events and
//! receivers fail at quite different rates. If instead the canary fails `r` times as often as the current
//! version, and does not fail `q` times as often, these probabilities are `sr / (1 + s(r-1))` and
//! `sq / (1 + s(q-1))`. The likelihood of what was seen under that, divided by its likelihood if they are
//! equal, is a martingale that starts at 1, and so is the mean of several such ratios; by Ville's inequality
//! (1939) it ever reaches `1/α` with a probability of at most `α`. When it does, the canary is worse.
//!
//! For this to hold a delivery may count only once, so only first attempts are tallied.
//!
//! [`Plugin::choose`]: super::Plugin::choose

use super::{Tallies, Tally};

/// Of a thousand rollouts of a version that is as good as the current one, at most one is ended, however long
/// they last.
const ALPHA: f64 = 0.001;

/// The alternatives that are tested, each as `(r, q)`: the canary fails `r` times as often as the current version, and
/// does not fail `q` times as often.
const ALTERNATIVES: [(f64, f64); 8] = [
    (2.0, 1.0),
    (3.0, 1.0),
    (5.0, 1.0),
    (10.0, 1.0),
    (100.0, 1.0),
    (10.0, 0.5),
    (100.0, 0.1),
    (100.0, 0.01),
];

/// With fewer attempts of the canary than these it is not judged, whatever the odds.
const LEAST_ATTEMPTS: u64 = 10;

/// A rollout is not ended for a difference of the failure rates below this, however certain it is.
const LEAST_DIFFERENCE: f64 = 0.01;

/// Whether a rollout with this share (in percent) should end because the canary does worse: it has had ten
/// attempts, its failure rate is higher by at least one percentage point, and that is not chance (at most one of a
/// thousand rollouts of an equally good version would ever be ended). A canary that always fails is found after 10
/// attempts of its own, unless nearly all deliveries run it.
#[must_use]
pub fn is_worse(seen: &Tallies, share: u8) -> bool {
    let (canary, current) = (&seen.canary, &seen.current);
    if canary.attempts < LEAST_ATTEMPTS || rate(canary) < rate(current) + LEAST_DIFFERENCE {
        return false;
    }
    let s = f64::from(share) / 100.0;
    let good = |tally: &Tally| tally.attempts.saturating_sub(tally.failures) as f64;
    let (bad_canary, bad_current) = (canary.failures as f64, current.failures as f64);
    let (good_canary, good_current) = (good(canary), good(current));
    let ratios = ALTERNATIVES.map(|(r, q)| {
        let failures = bad_canary * r.ln() - (bad_canary + bad_current) * (s * (r - 1.0)).ln_1p();
        let others = good_canary * q.ln() - (good_canary + good_current) * (s * (q - 1.0)).ln_1p();
        (failures + others).exp()
    });
    let evidence = ratios.iter().sum::<f64>() / ALTERNATIVES.len() as f64;
    evidence >= 1.0 / ALPHA
}

fn rate(tally: &Tally) -> f64 {
    if tally.attempts == 0 {
        return 0.0;
    }
    tally.failures as f64 / tally.attempts as f64
}
