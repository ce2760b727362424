//! Where the configuration comes from, and what must hold of it as a whole.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};

use super::Config;

/// The documented defaults, as compiled in.
pub const DEFAULTS: &str = include_str!("../../config.default.toml");

/// The file that is read when none is named and it exists.
const DEFAULT_FILE: &str = "hookbox.toml";

/// Makes a list of [`Ranged`], so that a key cannot be named differently from the field it is.
macro_rules! ranges {
    ($config:ident; $($section:ident.$key:ident in $range:expr $(, $hint:literal)?;)+) => {
        vec![$((
            concat!(stringify!($section), ".", stringify!($key)),
            u64::try_from($config.$section.$key).unwrap_or(u64::MAX),
            $range,
            [$($hint,)?].first().copied(),
        ),)+]
    };
}
/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The named file cannot be read.
    #[error("cannot read the configuration file {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A source does not parse, has an unknown key or a value of the wrong type.
    #[error("the configuration is not valid: {0}")]
    Invalid(Box<figment::Error>),
    /// The values do not go together.
    #[error("{key} is {value}: {message}")]
    Unsound {
        /// The key at fault.
        key: &'static str,
        /// Its value.
        value: String,
        /// The condition that must hold.
        message: String,
    },
}

impl Config {
    /// Lays the sources over each other: the defaults, `file` (or `hookbox.toml` in the working directory
    /// if there is one), the environment (`HOOKBOX__SECTION__KEY`), and `overrides` (key, value) from the
    /// command line. Then checks the whole.
    ///
    /// # Errors
    /// A sentence that names the file or the key at fault.
    pub fn load(
        file: Option<&Path>,
        overrides: &[(&'static str, figment::value::Value)],
    ) -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Toml::string(DEFAULTS));
        let default_file = Path::new(DEFAULT_FILE);
        if let Some(path) = file.or_else(|| default_file.exists().then_some(default_file)) {
            std::fs::File::open(path).map_err(|source| ConfigError::Unreadable {
                path: path.to_owned(),
                source,
            })?;
            figment = figment.merge(Toml::file_exact(path));
        }
        figment = figment.merge(Env::prefixed("HOOKBOX__").split("__"));
        for (key, value) in overrides {
            figment = figment.merge(Serialized::default(key, value));
        }
        let config: Self = figment
            .extract()
            .map_err(|e| ConfigError::Invalid(Box::new(e)))?;
        config.check()?;
        Ok(config)
    }

    /// The defaults alone.
    ///
    /// # Panics
    /// Never: a test parses the file that is compiled in.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "the defaults are part of the program, and tested"
    )]
    pub fn defaults() -> Self {
        Figment::from(Toml::string(DEFAULTS))
            .extract()
            .expect("the default configuration parses")
    }

    fn check(&self) -> Result<(), ConfigError> {
        for (key, value, range, hint) in self.ranges() {
            if !range.contains(&value) {
                let (least, most) = range.into_inner();
                let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                let message = format!("it must be from {least} to {most}{hint}");
                return unsound(key, &value, &message);
            }
        }
        let (delivery, ingest) = (&self.delivery, &self.ingest);
        if delivery.timeout_seconds > delivery.max_timeout_seconds {
            return unsound(
                "delivery.timeout_seconds",
                &delivery.timeout_seconds,
                "it must not exceed delivery.max_timeout_seconds, the longest that an attempt may take",
            );
        }
        if self.worker.lease_seconds < u64::from(delivery.max_timeout_seconds) + 5 {
            return unsound(
                "worker.lease_seconds",
                &self.worker.lease_seconds,
                "it must exceed delivery.max_timeout_seconds by at least 5, as a lease must last longer than the longest attempt",
            );
        }
        if ingest.max_request_bytes < ingest.max_event_bytes {
            return unsound(
                "ingest.max_request_bytes",
                &ingest.max_request_bytes,
                "it must not be less than ingest.max_event_bytes, as a request must have room for one event",
            );
        }
        if !is_key_prefix(&self.redis.prefix) {
            return unsound(
                "redis.prefix",
                &format!("{:?}", self.redis.prefix),
                "it must be 1 to 64 letters, digits and the characters - _ and .",
            );
        }
        if !(0.0..=1.0).contains(&self.retry.jitter) {
            return unsound("retry.jitter", &self.retry.jitter, "it must be from 0 to 1");
        }
        if let Some(odd) = (self.retry.statuses.iter()).find(|s| !(300..=999).contains(*s)) {
            return unsound(
                "retry.statuses",
                odd,
                "a status for which deliveries are retried must be from 300 to 999",
            );
        }
        Ok(())
    }

    /// Every number, and what it may be. Zero is allowed only where it means something; the other end keeps
    /// arithmetic on times and sizes far from overflowing.
    fn ranges(&self) -> Vec<Ranged> {
        const MIB: u64 = 1 << 20;
        const GIB: u64 = 1 << 30;
        const DAY: u64 = 24 * 3600;
        const MANY: u64 = 1_000_000;
        ranges! { self;
            server.shutdown_seconds in 0..=DAY;
            server.max_connections in 1..=MANY;
            server.max_connections_per_address in 0..=MANY;
            server.request_timeout_seconds in 1..=DAY;
            redis.shards in 0..=64, "each shard is asked for work in turn";
            redis.replicas in 0..=100;
            redis.timeout_ms in 100..=60_000;
            ingest.max_event_bytes in 1..=GIB;
            ingest.max_request_bytes in 1..=GIB;
            ingest.max_batch in 1..=MANY;
            ingest.max_depth in 1..=100, "the JSON parser goes no deeper";
            ingest.idempotency_hours in 0..=MANY;
            limits.webhooks in 1..=MANY;
            limits.event_rules in 1..=MANY;
            limits.secrets in 0..=MANY;
            limits.plugins in 0..=MANY;
            limits.plugin_versions in 1..=1000;
            limits.plugin_versions_kept in 0..=1000;
            limits.plugin_bytes in 0..=1024 * GIB;
            limits.template_bytes in 1..=16 * MIB;
            limits.conditions_bytes in 1..=16 * MIB;
            limits.conditions_depth in 1..=100;
            limits.conditions_count in 1..=MANY;
            limits.deliveries_per_event in 1..=MANY;
            limits.deliveries_per_request in 1..=MANY;
            worker.concurrency in 1..=10_000, "to run no worker use `serve --no-worker`";
            worker.lease_seconds in 1..=DAY;
            worker.max_receives in 1..=MANY, "with 0, nothing would ever be sent";
            worker.max_in_flight in 1..=MANY, "with 0, nothing would ever be sent";
            sandbox.threads in 0..=1024, "0 means one per core";
            sandbox.fuel in 1..=1 << 40;
            sandbox.deadline_ms in 1..=10_000, "renders hold a thread";
            sandbox.memory_bytes in MIB..=GIB;
            sandbox.stack_bytes in 64 << 10..=MIB;
            sandbox.table_elements in 1..=10 * MANY;
            sandbox.body_bytes in 1..=GIB;
            sandbox.headers in 1..=10_000;
            sandbox.header_bytes in 1..=MIB;
            sandbox.url_bytes in 1..=MIB;
            sandbox.log_bytes in 0..=MIB;
            sandbox.compile_seconds in 1..=3600;
            sandbox.compile_memory_bytes in 64 * MIB..=1024 * GIB;
            sandbox.compiled_bytes in MIB..=GIB;
            sandbox.cache_bytes in 64 * MIB..=1024 * GIB;
            plugins.bytes in 1..=32 * MIB, "no component can be larger";
            plugins.sections in 1..=MANY;
            plugins.modules in 1..=1000;
            plugins.components in 0..=1000;
            plugins.component_depth in 1..=100;
            plugins.instances in 1..=1000;
            plugins.functions in 1..=MANY;
            plugins.function_bytes in 1..=7 * MIB;
            plugins.locals in 1..=50_000;
            plugins.block_depth in 1..=MANY;
            plugins.branch_targets in 1..=MANY;
            plugins.types in 1..=MANY;
            plugins.type_bytes in 1..=32 * MIB;
            plugins.items in 1..=MANY;
            plugins.segments in 1..=MANY;
            plugins.run_bytes in 1..=GIB;
            plugins.custom_bytes in 0..=32 * MIB;
            plugins.loaded_bytes in 0..=1024 * GIB;
            delivery.connect_timeout_seconds in 1..=DAY;
            delivery.timeout_seconds in 1..=DAY;
            delivery.max_timeout_seconds in 1..=DAY;
            delivery.response_bytes in 0..=16 * MIB;
            delivery.idle_seconds in 0..=DAY;
            retry.max_retry_after_seconds in 0..=30 * DAY;
            retention.finished_hours in 0..=MANY;
            retention.failed_hours in 0..=MANY;
        }
    }
}

/// Braces would move the hash tag of a cluster, and patterns match by `*`, `?` and `[`.
fn is_key_prefix(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

/// A key, its value, the range it must lie in, and what else to say when it does not.
type Ranged = (&'static str, u64, RangeInclusive<u64>, Option<&'static str>);

fn unsound(key: &'static str, value: &dyn ToString, message: &str) -> Result<(), ConfigError> {
    Err(ConfigError::Unsound {
        key,
        value: value.to_string(),
        message: message.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_parse_and_are_sound() {
        Config::defaults().check().expect("sound");
    }

    #[test]
    fn an_unknown_key_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("c.toml");
        std::fs::write(&file, "[worker]\nconcurency = 3\n").expect("written");
        let error = Config::load(Some(&file), &[])
            .expect_err("refused")
            .to_string();
        assert!(error.contains("concurency"), "{error}");
    }

    fn refused(key: &'static str, value: i64) -> String {
        Config::load(None, &[(key, value.into())])
            .expect_err(key)
            .to_string()
    }

    #[test]
    fn a_lease_shorter_than_an_attempt_is_refused_with_the_key() {
        let error = refused("worker.lease_seconds", 10);
        assert!(error.starts_with("worker.lease_seconds is 10"), "{error}");
    }

    #[test]
    fn a_timeout_that_would_be_cut_is_refused() {
        let error = refused("delivery.timeout_seconds", 56);
        assert!(
            error.starts_with("delivery.timeout_seconds is 56")
                && error.contains("delivery.max_timeout_seconds"),
            "{error}"
        );
        let error = refused("ingest.max_request_bytes", 1000);
        assert!(error.contains("ingest.max_event_bytes"), "{error}");
    }

    #[test]
    fn a_redis_url_is_taken_from_the_file_and_shown_without_its_password() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let load = |toml: &str| {
            std::fs::write(file.path(), toml).expect("written");
            Config::load(Some(file.path()), &[])
        };
        let config = load("[redis]\nurl = \"rediss://app:hush@r.example\"\n").expect("loaded");
        let address = config.redis.url.address().expect("an address");
        let credentials = address.credentials.as_ref().expect("credentials");
        assert_eq!(credentials.password.expose(), "hush");
        let shown = serde_json::to_value(&config).expect("JSON");
        assert_eq!(
            shown["redis"]["url"],
            "rediss://app:[secret]@r.example:6379"
        );
        assert!(!format!("{config:?}").contains("hush"));
        // The printed configuration must not be read back with another password.
        load("[redis]\nurl = \"rediss://app:[secret]@r.example:6379\"\n").expect_err("refused");

        for wrong in [
            "url = \"redis://app:hush/@r.example\"",
            "url = [\"redis://app:hush@r.example\"]",
            "url = { a = \"hush\" }",
        ] {
            let error = load(&format!("[redis]\n{wrong}\n")).expect_err("refused");
            let text = format!("{error} {error:?}");
            assert!(text.contains("redis") && text.contains("url"), "{text}");
            assert!(!text.contains("hush"), "{text}");
        }
    }

    #[test]
    fn a_proxys_url_is_shown_without_its_password_and_never_quoted() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let load = |toml: &str| {
            std::fs::write(file.path(), format!("[delivery]\n{toml}\n")).expect("written");
            Config::load(Some(file.path()), &[])
        };
        let config =
            load("proxy = \"http://app:hush@p.example:3128\"\nno_proxy = [\".corp.example\", \"10.0.0.0/8\"]")
                .expect("loaded");
        let address = config.delivery.proxy.address().expect("an address");
        let credentials = address.credentials.as_ref().expect("credentials");
        assert_eq!(credentials.password.expose(), "hush");
        let shown = serde_json::to_value(&config).expect("JSON");
        let shown = &shown["delivery"];
        assert_eq!(shown["proxy"], "http://app:[secret]@p.example:3128");
        assert_eq!(
            shown["no_proxy"],
            serde_json::json!(["corp.example", "10.0.0.0/8"])
        );
        assert!(!format!("{config:?}").contains("hush"));
        for wrong in [
            "proxy = \"http://app:[secret]@p.example:3128\"",
            "proxy = \"http://app:hush/@p.example\"",
            "proxy = [\"http://app:hush@p.example\"]",
            "proxy = { a = \"hush\" }",
        ] {
            let error = load(wrong).expect_err("refused");
            let text = format!("{error} {error:?}");
            assert!(
                text.contains("delivery") && text.contains("proxy"),
                "{text}"
            );
            assert!(!text.contains("hush"), "{text}");
        }
        let error = load("no_proxy = [\"http://p.example\"]")
            .expect_err("refused")
            .to_string();
        assert!(
            error.contains("no_proxy") && error.contains("without a scheme"),
            "{error}"
        );
    }

    #[test]
    fn a_prefix_that_would_break_the_layout_of_keys_is_refused() {
        for prefix in ["", "a{b}", "a:b", "a*", "ä", &"a".repeat(65)] {
            let error = Config::load(None, &[("redis.prefix", prefix.into())]).expect_err(prefix);
            assert!(
                error.to_string().starts_with("redis.prefix is \""),
                "{error}"
            );
        }
    }

    /// Every number of every section: what is not in [`Config::ranges`] is named here, with the reason.
    #[test]
    fn every_number_has_a_range_and_what_lies_outside_is_refused_by_name() {
        let not_plain = ["retry.jitter"];
        let defaults = serde_json::to_value(Config::defaults()).expect("JSON");
        let numbers = defaults.as_object().expect("sections").iter();
        let numbers: Vec<String> = numbers
            .flat_map(|(section, keys)| {
                let keys = keys.as_object().expect("keys").iter();
                keys.filter(|(_, value)| value.is_number())
                    .map(move |(key, _)| format!("{section}.{key}"))
            })
            .filter(|key| !not_plain.contains(&key.as_str()))
            .collect();
        let ranges = Config::defaults().ranges();
        let mut covered: Vec<&str> = ranges.iter().map(|(key, ..)| *key).collect();
        covered.sort_unstable();
        let mut numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
        numbers.sort_unstable();
        assert_eq!(covered, numbers);

        for (key, _, range, _) in ranges {
            let outside = [range.start().checked_sub(1), Some(range.end() + 1)];
            for value in outside.into_iter().flatten() {
                // Some keys' types are too small for the second.
                let error = refused(key, i64::try_from(value).expect("small"));
                assert!(error.contains(key), "{key}: {error}");
            }
        }
    }

    #[test]
    fn zero_is_refused_where_it_would_stop_everything() {
        for key in [
            "server.max_connections",
            "server.request_timeout_seconds",
            "ingest.max_batch",
            "sandbox.fuel",
            "sandbox.compile_seconds",
            "sandbox.compile_memory_bytes",
            "sandbox.table_elements",
            "sandbox.body_bytes",
            "delivery.connect_timeout_seconds",
            "delivery.timeout_seconds",
        ] {
            let error = refused(key, 0);
            assert!(error.starts_with(&format!("{key} is 0: ")), "{error}");
        }
    }
}
