//! Where the configuration comes from, and what must hold of it as a whole.

use std::path::{Path, PathBuf};

use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};

use super::Config;

/// The documented defaults, as compiled in.
pub const DEFAULTS: &str = include_str!("../../config.default.toml");

/// The file that is read when none is named and it exists.
const DEFAULT_FILE: &str = "hookbox.toml";

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
        /// What it is set to.
        value: String,
        /// What must hold.
        message: &'static str,
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
        let unsound = |key, value: &dyn ToString, message| {
            Err(ConfigError::Unsound {
                key,
                value: value.to_string(),
                message,
            })
        };
        let longest = u64::from(
            self.delivery
                .max_timeout_seconds
                .max(self.delivery.timeout_seconds),
        );
        if self.worker.lease_seconds < longest + 5 {
            return unsound(
                "worker.lease_seconds",
                &self.worker.lease_seconds,
                "a lease must outlast the longest attempt, so it must exceed delivery.timeout_seconds and \
                 delivery.max_timeout_seconds by at least 5",
            );
        }
        if self.delivery.timeout_seconds == 0 || self.delivery.connect_timeout_seconds == 0 {
            return unsound(
                "delivery.timeout_seconds",
                &0,
                "timeouts must be at least one second",
            );
        }
        if self.worker.concurrency == 0 || self.worker.concurrency > 10_000 {
            return unsound(
                "worker.concurrency",
                &self.worker.concurrency,
                "it must be from 1 to 10000; to run no worker use `serve --no-worker`",
            );
        }
        if self.worker.max_in_flight == 0 {
            return unsound(
                "worker.max_in_flight",
                &0,
                "it must be at least 1, or nothing is ever sent",
            );
        }
        if self.worker.max_receives == 0 {
            return unsound(
                "worker.max_receives",
                &0,
                "it must be at least 1, or nothing is ever sent",
            );
        }
        if !(0.0..=1.0).contains(&self.retry.jitter) {
            return unsound(
                "retry.jitter",
                &self.retry.jitter,
                "it is a share, from 0 to 1",
            );
        }
        let mib = 1 << 20;
        if !(mib..=1024 * mib).contains(&self.sandbox.memory_bytes) {
            return unsound(
                "sandbox.memory_bytes",
                &self.sandbox.memory_bytes,
                "it must be from 1 MiB (1048576) to 1 GiB (1073741824)",
            );
        }
        if !(64 * 1024..=mib).contains(&self.sandbox.stack_bytes) {
            return unsound(
                "sandbox.stack_bytes",
                &self.sandbox.stack_bytes,
                "it must be from 64 KiB (65536) to 1 MiB (1048576)",
            );
        }
        if self.sandbox.deadline_ms == 0 || self.sandbox.deadline_ms > 10_000 {
            return unsound(
                "sandbox.deadline_ms",
                &self.sandbox.deadline_ms,
                "it must be from 1 to 10000: renders hold a thread",
            );
        }
        if self.ingest.max_depth > 100 {
            return unsound(
                "ingest.max_depth",
                &self.ingest.max_depth,
                "it must be at most 100, which is as deep as the JSON parser goes",
            );
        }
        Ok(())
    }
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

    #[test]
    fn a_lease_shorter_than_an_attempt_is_refused_with_the_key() {
        let error = Config::load(None, &[("worker.lease_seconds", 10.into())])
            .expect_err("refused")
            .to_string();
        assert!(error.starts_with("worker.lease_seconds is 10"), "{error}");
    }
}
