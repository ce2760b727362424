//! The clocks: one moment, the event's.

use std::time::Duration;

use serde::Deserialize;
use wasmtime::component::{ComponentType, Lower};

/// A moment after the Unix epoch that both clocks show for the whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock(Duration);

/// `wasi:clocks/wall-clock` `datetime`.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(super) struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

#[derive(Deserialize)]
struct Context {
    timestamp: String,
}

impl Clock {
    /// Reads `timestamp` of an event's context. Without one that can be read, or before 1970, it is the epoch:
    /// a run of `check` has no event.
    ///
    /// Cost: one pass over the text.
    pub(super) fn of_event(event: &str) -> Self {
        let time = serde_json::from_str::<Context>(event)
            .ok()
            .and_then(|context| context.timestamp.parse::<jiff::Timestamp>().ok())
            .and_then(|time| Duration::try_from(time.as_duration()).ok());
        Self(time.unwrap_or_default())
    }

    pub(super) fn wall(self) -> Datetime {
        Datetime {
            seconds: self.0.as_secs(),
            nanoseconds: self.0.subsec_nanos(),
        }
    }

    /// In nanoseconds.
    pub(super) fn monotonic(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Datetime {
    /// The resolution of the clock: that of events' timestamps.
    pub(super) const RESOLUTION: Self = Self {
        seconds: 0,
        nanoseconds: 1000,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moment_is_the_events_and_the_epoch_without_one() {
        let at = |event: &str| {
            let clock = Clock::of_event(event);
            let wall = clock.wall();
            assert_eq!(
                clock.monotonic(),
                wall.seconds * 1_000_000_000 + u64::from(wall.nanoseconds)
            );
            (wall.seconds, wall.nanoseconds)
        };
        let event =
            r#"{"event":"created","timestamp":"2026-03-06T15:11:23.503186+00:00","data":{}}"#;
        assert_eq!(at(event), (1_772_809_883, 503_186_000));
        for event in [
            "",
            "{}",
            r#"{"timestamp":7}"#,
            r#"{"timestamp":"soon"}"#,
            r#"{"timestamp":"1969-12-31T23:59:59Z"}"#,
        ] {
            assert_eq!(at(event), (0, 0), "{event}");
        }
    }
}
