//! The counters, gauges and histograms of one process.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use prometheus_client::{
    encoding::{
        EncodeLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::Registry,
};

use super::{exposition::Exposition, log, process::Process};
use crate::{
    backend::{Enqueued, QueueOverview},
    model::Timestamp,
    record::{Attempt, AttemptOutcome, FailureKind},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    /// `delivered`, `skipped`, or the kind of error.
    result: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    status: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: String,
}

/// Seconds that deliveries wait for their first attempt: from a millisecond to a day.
const WAITS: [f64; 17] = [
    0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0,
    43_200.0, 86_400.0,
];

/// Why a plugin may not be ready to run here.
const NOT_READY: [&str; 3] = ["busy", "machine", "store"];

/// A part of hookbox that may run in this process or not. Only what runs has series here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The API.
    Api,
    /// A worker.
    Worker,
}

/// Counters and histograms of one process.
#[derive(Debug)]
pub struct Metrics {
    /// Of every process.
    process: Registry,
    api: OfApi,
    queue: OfQueue,
    worker: OfWorker,
}

/// The counters of the API.
#[derive(Debug)]
struct OfApi {
    registry: Registry,
    runs: AtomicBool,
    events: Counter,
    duplicates: Counter,
    deliveries: Counter,
    requests: Family<RequestLabels, Counter>,
}

/// The state of the queue, for all workers together.
#[derive(Debug)]
struct OfQueue {
    registry: Registry,
    known: AtomicBool,
    deliveries: Family<StatusLabels, Gauge>,
    oldest_seconds: Gauge<f64, AtomicU64>,
}

/// The counters of a worker.
#[derive(Debug)]
struct OfWorker {
    registry: Registry,
    runs: AtomicBool,
    attempts: Family<AttemptLabels, Counter>,
    failed: Family<KindLabels, Counter>,
    fuel: Counter,
    attempt_seconds: Histogram,
    render_seconds: Histogram,
    wait_seconds: Histogram,
    in_flight: Gauge,
    rollouts_ended: Counter,
    defer: Family<ReasonLabels, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut process = Registry::default();
        process.register(
            "hookbox_build",
            "What runs here",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        process.register_collector(Box::new(Process));
        process.register(
            "hookbox_log_lines_lost",
            "Log lines that could not be written to standard error",
            log::lost(),
        );
        Self {
            process,
            api: OfApi::new(),
            queue: OfQueue::new(),
            worker: OfWorker::new(),
        }
    }
}

impl OfApi {
    fn new() -> Self {
        let (events, duplicates, deliveries) =
            (Counter::default(), Counter::default(), Counter::default());
        let requests = Family::default();
        let mut registry = Registry::with_prefix("hookbox");
        registry.register("events", "Events accepted", events.clone());
        registry.register(
            "duplicate_events",
            "Events recognised as sent before",
            duplicates.clone(),
        );
        registry.register(
            "deliveries_created",
            "Deliveries created",
            deliveries.clone(),
        );
        registry.register(
            "http_requests",
            "Requests answered, by method, path template and status",
            requests.clone(),
        );
        Self {
            registry,
            runs: AtomicBool::new(false),
            events,
            duplicates,
            deliveries,
            requests,
        }
    }
}

impl OfQueue {
    fn new() -> Self {
        let (deliveries, oldest_seconds) = (Family::default(), Gauge::default());
        let mut registry = Registry::with_prefix("hookbox");
        registry.register(
            "queue_deliveries",
            "Deliveries in the queue by state",
            deliveries.clone(),
        );
        registry.register(
            "queue_oldest_seconds",
            "How long the oldest delivery has waited that waits for its first attempt",
            oldest_seconds.clone(),
        );
        Self {
            registry,
            known: AtomicBool::new(false),
            deliveries,
            oldest_seconds,
        }
    }
}

impl OfWorker {
    fn new() -> Self {
        let attempts = Family::<AttemptLabels, Counter>::default();
        let failed = Family::<KindLabels, Counter>::default();
        let defer = Family::<ReasonLabels, Counter>::default();
        let fuel = Counter::default();
        // All from the start, so that the first of a kind is seen as an increase.
        for kind in FailureKind::all() {
            let (kind, result) = (kind.to_owned(), kind.to_owned());
            drop(failed.get_or_create(&KindLabels { kind }));
            drop(attempts.get_or_create(&AttemptLabels { result }));
        }
        for result in ["delivered", "skipped"] {
            let result = result.to_owned();
            drop(attempts.get_or_create(&AttemptLabels { result }));
        }
        for reason in NOT_READY {
            drop(defer.get_or_create(&ReasonLabels { reason }));
        }
        let attempt_seconds = Histogram::new(exponential_buckets(0.000_5, 2.0, 17));
        let render_seconds = Histogram::new(exponential_buckets(0.000_01, 2.0, 15));
        let wait_seconds = Histogram::new(WAITS);
        let (in_flight, rollouts_ended) = (Gauge::default(), Counter::default());
        let mut registry = Registry::with_prefix("hookbox");
        registry.register("attempts", "Attempts by result", attempts.clone());
        registry.register(
            "deliveries_failed",
            "Deliveries given up, by the kind of the last error",
            failed.clone(),
        );
        registry.register("fuel_consumed", "Fuel spent in the sandbox", fuel.clone());
        registry.register(
            "attempt_duration_seconds",
            "Whole attempts",
            attempt_seconds.clone(),
        );
        registry.register(
            "render_duration_seconds",
            "Runs in the sandbox",
            render_seconds.clone(),
        );
        registry.register(
            "queue_wait_seconds",
            "From acceptance to the first attempt",
            wait_seconds.clone(),
        );
        registry.register(
            "in_flight",
            "Deliveries under way in this process",
            in_flight.clone(),
        );
        registry.register(
            "plugin_trials_ended",
            "Rollouts of plugin versions that were ended because the version did worse",
            rollouts_ended.clone(),
        );
        registry.register(
            "deliveries_put_off",
            "Deliveries given back without an attempt, as their plugin was not ready to run",
            defer.clone(),
        );
        Self {
            registry,
            runs: AtomicBool::new(false),
            attempts,
            failed,
            fuel,
            attempt_seconds,
            render_seconds,
            wait_seconds,
            in_flight,
            rollouts_ended,
            defer,
        }
    }
}

impl Metrics {
    /// Says that a part runs in this process: its series are shown from now on.
    pub fn runs(&self, part: Part) {
        let runs = match part {
            Part::Api => &self.api.runs,
            Part::Worker => &self.worker.runs,
        };
        runs.store(true, Ordering::Relaxed);
    }

    /// Counts what was accepted.
    pub fn accepted(&self, enqueued: &[Enqueued]) {
        for event in enqueued {
            if event.duplicate {
                self.api.duplicates.inc();
            } else {
                self.api.events.inc();
                self.api.deliveries.inc_by(event.deliveries.len() as u64);
            }
        }
    }

    /// Counts an answer. `route` is the path as it is written in the description, so that there are only so many.
    pub fn answered(&self, method: &str, route: Option<&str>, status: u16) {
        const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
        let labels = RequestLabels {
            method: METHODS
                .into_iter()
                .find(|known| *known == method)
                .unwrap_or("other"),
            route: route.unwrap_or("other").to_owned(),
            status: status.to_string(),
        };
        self.api.requests.get_or_create(&labels).inc();
    }

    /// Counts one attempt; whether it is its delivery's first.
    pub fn attempted(&self, attempt: &Attempt, is_first: bool) {
        const MICROS: f64 = 1e-6;
        let worker = &self.worker;
        let result = match (attempt.outcome, &attempt.error) {
            (AttemptOutcome::Delivered, _) => "delivered".to_owned(),
            (AttemptOutcome::Skipped, _) => "skipped".to_owned(),
            (AttemptOutcome::Failed, Some(error)) => error.kind.clone(),
            (AttemptOutcome::Failed, None) => "failed".to_owned(),
        };
        worker
            .attempts
            .get_or_create(&AttemptLabels { result })
            .inc();
        worker
            .attempt_seconds
            .observe(attempt.timings.total_us as f64 * MICROS);
        if is_first {
            worker
                .wait_seconds
                .observe(attempt.timings.waited_ms as f64 * 1e-3);
        }
        if let Some(render) = &attempt.render {
            worker.fuel.inc_by(render.fuel);
            worker
                .render_seconds
                .observe(render.elapsed_us as f64 * MICROS);
        }
    }

    /// Counts a delivery that was given up, by the kind of its last attempt's error.
    pub fn failed(&self, kind: &str) {
        let kind = kind.to_owned();
        self.worker.failed.get_or_create(&KindLabels { kind }).inc();
    }

    /// Counts a rollout that was ended because the new version did worse.
    pub fn rollout_ended(&self) {
        self.worker.rollouts_ended.inc();
    }

    /// Counts a delivery that was put off.
    pub fn defer(&self, reason: &'static str) {
        let labels = ReasonLabels { reason };
        self.worker.defer.get_or_create(&labels).inc();
    }

    /// Tells how many deliveries are under way.
    pub fn set_in_flight(&self, n: usize) {
        self.worker
            .in_flight
            .set(i64::try_from(n).unwrap_or(i64::MAX));
    }

    /// Tells how the queue stands; set just before it is scraped.
    pub fn set_queue(&self, overview: &QueueOverview) {
        for (status, n) in [
            ("queued", overview.queued),
            ("started", overview.started),
            ("scheduled", overview.scheduled),
            ("failed", overview.failed),
        ] {
            self.queue
                .deliveries
                .get_or_create(&StatusLabels {
                    status: status.to_owned(),
                })
                .set(i64::try_from(n).unwrap_or(i64::MAX));
        }
        let waits = overview.oldest_queued.map(|t| Timestamp::now().since(t));
        self.queue
            .oldest_seconds
            .set(waits.unwrap_or_default().as_secs_f64());
        self.queue.known.store(true, Ordering::Relaxed);
    }

    /// Takes the queue out: how it stands is not known.
    pub fn clear_queue(&self) {
        self.queue.known.store(false, Ordering::Relaxed);
    }

    /// All of it in this format; nothing if it cannot be written.
    #[must_use]
    pub fn encode(&self, format: Exposition) -> String {
        let of = |registry, shown: &AtomicBool| shown.load(Ordering::Relaxed).then_some(registry);
        let shown = [
            Some(&self.process),
            of(&self.api.registry, &self.api.runs),
            of(&self.queue.registry, &self.queue.known),
            of(&self.worker.registry, &self.worker.runs),
        ];
        let mut text = String::new();
        let written = shown
            .into_iter()
            .flatten()
            .try_for_each(|registry| encode_registry(&mut text, registry))
            .and_then(|()| encode_eof(&mut text));
        written.map_or_else(|_| String::new(), |()| format.of(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_runs_here_has_series() {
        let metrics = Metrics::default();
        let has = |name: &str| {
            let text = metrics.encode(Exposition::Text);
            text.contains(&format!("# TYPE {name} "))
        };
        assert!(has("hookbox_build_info") && has("process_cpu_seconds_total"));
        assert!(!has("hookbox_events_total") && !has("hookbox_attempts_total"));
        metrics.runs(Part::Api);
        assert!(has("hookbox_events_total") && !has("hookbox_attempts_total"));
        assert!(!has("hookbox_queue_oldest_seconds"));
        metrics.set_queue(&QueueOverview::default());
        assert!(has("hookbox_queue_oldest_seconds"));
        metrics.runs(Part::Worker);
        assert!(has("hookbox_attempts_total"));
    }

    #[test]
    fn waits_of_hours_and_of_no_time_are_told_apart() {
        let metrics = Metrics::default();
        metrics.runs(Part::Worker);
        let mut attempt = crate::backend::schedule::lost_attempt(
            1,
            crate::model::WorkerId::generate(),
            Timestamp::from_millis(0),
            Timestamp::from_millis(0),
        );
        for (hours, is_first) in [(0, true), (2, true), (30, true), (5, false)] {
            attempt.timings.waited_ms = hours * 3_600_000;
            metrics.attempted(&attempt, is_first);
        }
        let text = metrics.encode(Exposition::Text);
        for line in [
            "hookbox_queue_wait_seconds_count 3",
            "hookbox_queue_wait_seconds_bucket{le=\"0.001\"} 1",
            "hookbox_queue_wait_seconds_bucket{le=\"3600.0\"} 1",
            "hookbox_queue_wait_seconds_bucket{le=\"14400.0\"} 2",
            "hookbox_queue_wait_seconds_bucket{le=\"86400.0\"} 2",
            "hookbox_queue_wait_seconds_bucket{le=\"+Inf\"} 3",
            "hookbox_attempts_total{result=\"worker_lost\"} 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn strangers_cannot_make_series() {
        let metrics = Metrics::default();
        metrics.runs(Part::Api);
        for n in 0..100 {
            metrics.answered(&format!("X{n}"), None, 404);
        }
        metrics.answered("GET", Some("/v1/events/{id}"), 200);
        let text = metrics.encode(Exposition::Text);
        let series: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("hookbox_http_requests_total{"))
            .collect();
        assert_eq!(series.len(), 2, "{series:#?}");
        let unknown = r#"{method="other",route="other",status="404"} 100"#;
        assert!(
            series.iter().any(|line| line.ends_with(unknown)),
            "{series:#?}"
        );
    }
}
