//! What an operator sees of a running hookbox: log lines and metrics. No secret and no payload is in
//! either; metrics carry no tenant label, so their number is bounded.

use std::io::IsTerminal;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use tracing_subscriber::EnvFilter;

use crate::{
    config::{LogConfig, LogFormat},
    queue::{Enqueued, QueueOverview},
    record::{Attempt, AttemptOutcome},
};

/// Starts logging to standard error. `RUST_LOG` takes the place of the configured filter.
///
/// # Errors
/// When the filter does not parse, or logging has been started before.
pub fn init(config: &LogConfig) -> Result<(), String> {
    let filter = EnvFilter::try_from_default_env()
        .or_else(|_| EnvFilter::try_new(&config.filter))
        .map_err(|e| format!("log.filter is {:?}: {e}", config.filter))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Colours are for terminals; in a file they are noise.
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    }
    .map_err(|e| e.to_string())
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    /// `delivered`, `skipped`, or the kind of error.
    result: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    status: String,
}

/// Counters and histograms of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    events: Counter,
    duplicates: Counter,
    deliveries: Counter,
    attempts: Family<AttemptLabels, Counter>,
    fuel: Counter,
    attempt_seconds: Histogram,
    render_seconds: Histogram,
    wait_seconds: Histogram,
    in_flight: Gauge,
    queue: Family<StatusLabels, Gauge>,
    trials_ended: Counter,
    put_off: Family<ReasonLabels, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.000_5, 2.0, 17));
        let mut registry = Registry::with_prefix("hookbox");
        let metrics = Self {
            events: Counter::default(),
            duplicates: Counter::default(),
            deliveries: Counter::default(),
            attempts: Family::default(),
            fuel: Counter::default(),
            attempt_seconds: seconds(),
            render_seconds: Histogram::new(exponential_buckets(0.000_01, 2.0, 15)),
            wait_seconds: seconds(),
            in_flight: Gauge::default(),
            queue: Family::default(),
            trials_ended: Counter::default(),
            put_off: Family::default(),
            registry: Registry::default(),
        };
        registry.register("events", "Events accepted", metrics.events.clone());
        registry.register(
            "duplicate_events",
            "Events recognised as sent before",
            metrics.duplicates.clone(),
        );
        registry.register(
            "deliveries_created",
            "Deliveries created",
            metrics.deliveries.clone(),
        );
        registry.register("attempts", "Attempts by result", metrics.attempts.clone());
        registry.register(
            "fuel_consumed",
            "Fuel spent in the sandbox",
            metrics.fuel.clone(),
        );
        registry.register(
            "attempt_duration_seconds",
            "Whole attempts",
            metrics.attempt_seconds.clone(),
        );
        registry.register(
            "render_duration_seconds",
            "Runs in the sandbox",
            metrics.render_seconds.clone(),
        );
        registry.register(
            "queue_wait_seconds",
            "From acceptance to the first attempt",
            metrics.wait_seconds.clone(),
        );
        registry.register(
            "in_flight",
            "Deliveries under way in this process",
            metrics.in_flight.clone(),
        );
        registry.register(
            "queue_deliveries",
            "Deliveries in the queue by state",
            metrics.queue.clone(),
        );
        registry.register(
            "plugin_trials_ended",
            "Trials of plugin versions that were ended because the version did worse",
            metrics.trials_ended.clone(),
        );
        registry.register(
            "deliveries_put_off",
            "Deliveries given back without an attempt, as their plugin was not ready to run",
            metrics.put_off.clone(),
        );
        Self {
            registry,
            ..metrics
        }
    }
}

impl Metrics {
    /// Counts what was accepted.
    pub fn accepted(&self, enqueued: &[Enqueued]) {
        for event in enqueued {
            if event.duplicate {
                self.duplicates.inc();
            } else {
                self.events.inc();
                self.deliveries.inc_by(event.deliveries.len() as u64);
            }
        }
    }

    /// Counts one attempt.
    pub fn attempted(&self, attempt: &Attempt) {
        const MICROS: f64 = 1e-6;
        let result = match (attempt.outcome, &attempt.error) {
            (AttemptOutcome::Delivered, _) => "delivered".to_owned(),
            (AttemptOutcome::Skipped, _) => "skipped".to_owned(),
            (AttemptOutcome::Failed, Some(error)) => error.kind.clone(),
            (AttemptOutcome::Failed, None) => "failed".to_owned(),
        };
        self.attempts.get_or_create(&AttemptLabels { result }).inc();
        self.attempt_seconds
            .observe(attempt.timings.total_us as f64 * MICROS);
        if attempt.timings.waited_ms > 0 {
            self.wait_seconds
                .observe(attempt.timings.waited_ms as f64 * 1e-3);
        }
        if let Some(render) = &attempt.render {
            self.fuel.inc_by(render.fuel);
            self.render_seconds
                .observe(render.elapsed_us as f64 * MICROS);
        }
    }

    /// Counts a trial that was ended because the version on trial did worse.
    pub fn trial_ended(&self) {
        self.trials_ended.inc();
    }

    /// Counts a delivery that was put off.
    pub fn put_off(&self, reason: &'static str) {
        self.put_off.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// Tells how many deliveries are under way.
    pub fn set_in_flight(&self, n: usize) {
        self.in_flight.set(i64::try_from(n).unwrap_or(i64::MAX));
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
                .get_or_create(&StatusLabels {
                    status: status.to_owned(),
                })
                .set(i64::try_from(n).unwrap_or(i64::MAX));
        }
    }

    /// Takes the queue out: how it stands is not known.
    pub fn clear_queue(&self) {
        self.queue.clear();
    }

    /// All of it in Prometheus' text format.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(_) => String::new(),
        }
    }
}
