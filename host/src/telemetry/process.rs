//! The operating system's view of this process: the metrics that Prometheus' client libraries give by these names.
//! Read from
//! `/proc` at each scrape; without it, or where it does not say something, that is left out.

use std::{fmt, fs, sync::OnceLock};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

/// Ticks in a second in `/proc/PID/stat`: `USER_HZ`, which is part of Linux' interface with programs.
const TICKS: f64 = 100.0;

#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let seen = Seen::now();
        if let Some(seconds) = seen.cpu_seconds {
            let metric = ConstCounter::new(seconds);
            metric.encode(encoder.encode_descriptor(
                "process_cpu_seconds",
                "CPU time of this process, of users and of the system.",
                None,
                metric.metric_type(),
            )?)?;
        }
        for (name, help, value) in [
            (
                "process_start_time_seconds",
                "When this process started, in seconds since 1970.",
                seen.start_seconds,
            ),
            (
                "process_resident_memory_bytes",
                "Memory of this process that is in the machine's memory.",
                seen.resident_bytes,
            ),
            (
                "process_virtual_memory_bytes",
                "Addresses of memory that this process has. Most of them are reserved for sandboxes and hold nothing.",
                seen.virtual_bytes,
            ),
            ("process_threads", "Threads of this process.", seen.threads),
            (
                "process_open_fds",
                "File descriptors that are open.",
                seen.open_files,
            ),
            (
                "process_max_fds",
                "File descriptors that may be open.",
                seen.most_files,
            ),
        ] {
            if let Some(value) = value {
                let metric = ConstGauge::new(value);
                metric.encode(encoder.encode_descriptor(
                    name,
                    help,
                    None,
                    metric.metric_type(),
                )?)?;
            }
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Seen {
    cpu_seconds: Option<f64>,
    start_seconds: Option<f64>,
    resident_bytes: Option<f64>,
    virtual_bytes: Option<f64>,
    threads: Option<f64>,
    open_files: Option<f64>,
    most_files: Option<f64>,
}

impl Seen {
    fn now() -> Self {
        let read =
            |name: &str| fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
        let stat = read("stat");
        // The program's name, in parentheses, may hold anything; what follows it are numbers.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_whitespace().collect())
            .unwrap_or_default();
        // By its number in proc(5), of which the first two are the id and the name.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Self {
            cpu_seconds: field(14)
                .zip(field(15))
                .map(|(user, system)| (user + system) / TICKS),
            start_seconds: field(22)
                .zip(boot())
                .map(|(ticks, boot)| boot + ticks / TICKS),
            resident_bytes: value(&read("status"), "VmRSS:").map(|kib| kib * 1024.0),
            virtual_bytes: field(23),
            threads: field(20),
            // One of them is that of the folder which is read.
            open_files: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|files| files.count().saturating_sub(1) as f64),
            most_files: value(&read("limits"), "Max open files"),
        }
    }
}

/// The first number after this at the beginning of a line.
fn value(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// When the machine was started, in seconds since 1970. Asked once, so that it does not follow the clock.
fn boot() -> Option<f64> {
    static BOOT: OnceLock<Option<f64>> = OnceLock::new();
    *BOOT.get_or_init(|| value(&fs::read_to_string("/proc/stat").ok()?, "btime"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen_as_it_is() {
        let seen = Seen::now();
        let now = jiff::Timestamp::now().as_second() as f64;
        let started = seen.start_seconds.unwrap();
        // The boot time is rounded to a second.
        assert!(
            (now - 24.0 * 3600.0..=now + 2.0).contains(&started),
            "{started}"
        );
        let resident = seen.resident_bytes.unwrap();
        assert!(
            resident > 1e6 && resident <= seen.virtual_bytes.unwrap(),
            "{seen:?}"
        );
        let before = seen.open_files.unwrap();
        let more: Vec<_> = (0..50)
            .map(|_| fs::File::open("/proc/self/stat").unwrap())
            .collect();
        assert!(Seen::now().open_files.unwrap() >= before + 40.0, "{before}");
        assert!(before < seen.most_files.unwrap());
        assert!(seen.threads.unwrap() >= 1.0 && seen.cpu_seconds.unwrap() >= 0.0);
        drop(more);
    }
}
