//! The log of a guest: bounded in all, cleaned, and honest about dropped lines.

use super::{LogLevel, LogLine, bindings::Level, text::clean_line};

/// The price of a line beside its text, so that empty lines fill the log as well.
const LINE_BYTES: usize = 16;

/// The log of one run.
#[derive(Debug)]
pub(super) struct Log {
    lines: Vec<LogLine>,
    limit: usize,
    left: usize,
    dropped: u64,
}

impl Log {
    /// An empty log that takes `limit` bytes, each line counting its text and [`LINE_BYTES`].
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            lines: Vec::new(),
            limit,
            left: limit,
            dropped: 0,
        }
    }

    /// Adds a line as far as there is room: one that does not fit is cut, and the rest is counted.
    pub(super) fn add(&mut self, level: Level, message: &str) {
        let Some(room) = self.left.checked_sub(LINE_BYTES).filter(|&room| room > 0) else {
            self.left = 0;
            self.dropped = self.dropped.saturating_add(1);
            return;
        };
        let message = clean_line(message, room);
        self.left = room.saturating_sub(message.len());
        self.lines.push(LogLine {
            level: level.into(),
            message,
        });
    }

    /// The last line, if it is one of something that went wrong.
    pub(super) fn last_complaint(&self) -> Option<&str> {
        let last = self.lines.last()?;
        matches!(last.level, LogLevel::Warn | LogLevel::Error).then_some(last.message.as_str())
    }

    /// Bytes of log that still fit.
    pub(super) const fn left(&self) -> usize {
        self.left
    }

    /// The lines, and a last one that says how many were dropped, if any were.
    pub(super) fn finish(mut self) -> Vec<LogLine> {
        if self.dropped > 0 {
            self.lines.push(LogLine {
                level: LogLevel::Warn,
                message: format!(
                    "the log is full at {} bytes: {} more lines were dropped",
                    self.limit, self.dropped
                ),
            });
        }
        self.lines
    }
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_says_how_much_more_there_was() {
        let mut log = Log::new(100);
        for _ in 0..1000 {
            log.add(Level::Info, "12345678901234567890");
        }
        let lines = log.finish();
        let texts: Vec<&str> = lines.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(
            texts,
            [
                "12345678901234567890",
                "12345678901234567890",
                "123456789…",
                "the log is full at 100 bytes: 997 more lines were dropped"
            ]
        );
    }

    #[test]
    fn empty_lines_fill_it_too() {
        let mut log = Log::new(160);
        for _ in 0..1000 {
            log.add(Level::Debug, "");
        }
        assert!(log.finish().len() <= 11);
    }

    #[test]
    fn a_log_with_room_adds_nothing_of_its_own() {
        let mut log = Log::new(100);
        log.add(Level::Error, "one");
        assert_eq!(log.finish().len(), 1);
    }
}
