//! Standard output and standard error, which are the log.

use wasmtime::component::{ComponentType, Lower, Resource};

use crate::{bindings::Level, log::Log};

/// `wasi:io/streams` `input-stream`: standard input, at its end.
pub(super) enum InputStream {}
/// `output-stream`: standard output or standard error.
pub(super) enum OutputStream {}
/// `wasi:io/error` `error`, of which there is none.
pub(super) enum IoError {}
/// `wasi:cli/terminal-input` `terminal-input`, of which there is none.
pub(super) enum TerminalInput {}
/// `wasi:cli/terminal-output` `terminal-output`, of which there is none.
pub(super) enum TerminalOutput {}
/// `wasi:filesystem/types` `descriptor`, of which there is none.
pub(super) enum Descriptor {}

/// `wasi:io/streams` `stream-error`.
#[derive(ComponentType, Lower)]
#[component(variant)]
pub(super) enum StreamError {
    #[component(name = "last-operation-failed")]
    #[expect(dead_code, reason = "a case of the type, which never happens")]
    LastOperationFailed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

/// Which output a stream is: what the host knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Stdout,
    Stderr,
}

impl Output {
    /// A handle for a guest, of which it may have as many as of all handles.
    pub(super) fn stream(self) -> Resource<OutputStream> {
        Resource::new_own(match self {
            Self::Stdout => 1,
            Self::Stderr => 2,
        })
    }

    /// Guests can only hand in handles that [`Output::stream`] made.
    pub(super) fn of(stream: &Resource<OutputStream>) -> Self {
        match stream.rep() {
            1 => Self::Stdout,
            _ => Self::Stderr,
        }
    }

    const fn level(self) -> Level {
        match self {
            Self::Stdout => Level::Info,
            Self::Stderr => Level::Warn,
        }
    }
}

/// The lines that were begun.
#[derive(Default)]
pub(super) struct Stdio {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Stdio {
    /// Logs the lines that `bytes` ends and keeps the rest, of which no more is kept than the log could take.
    ///
    /// Cost: one pass over the bytes.
    pub(super) fn write(&mut self, output: Output, bytes: &[u8], log: &mut Log) {
        let line = match output {
            Output::Stdout => &mut self.stdout,
            Output::Stderr => &mut self.stderr,
        };
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (part, ends) = match part.split_last() {
                Some((b'\n', part)) => (part, true),
                _ => (part, false),
            };
            // one byte more than there is room for shows that the line was cut
            let room = log.left().saturating_add(1).saturating_sub(line.len());
            line.extend_from_slice(part.get(..room).unwrap_or(part));
            if ends {
                log.add(output.level(), &String::from_utf8_lossy(line));
                line.clear();
            }
        }
    }

    /// Logs the lines that nothing ended.
    pub(super) fn finish(&mut self, log: &mut Log) {
        for (output, line) in [
            (Output::Stdout, &mut self.stdout),
            (Output::Stderr, &mut self.stderr),
        ] {
            if !line.is_empty() {
                log.add(output.level(), &String::from_utf8_lossy(line));
                line.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LogLevel;

    fn written(limit: usize, writes: &[(Output, &[u8])]) -> Vec<(LogLevel, String)> {
        let (mut stdio, mut log) = (Stdio::default(), Log::new(limit));
        for (output, bytes) in writes {
            stdio.write(*output, bytes, &mut log);
            assert!(stdio.stdout.len() + stdio.stderr.len() <= 2 * (limit + 1));
        }
        stdio.finish(&mut log);
        let lines = log.finish();
        lines.into_iter().map(|l| (l.level, l.message)).collect()
    }

    #[test]
    fn lines_are_put_together_from_what_is_written() {
        use Output::{Stderr, Stdout};
        let lines = written(
            1000,
            &[
                (Stdout, b"one\ntw"),
                (Stderr, b"oh "),
                (Stdout, b"o\n\n"),
                (Stderr, b"no"),
                (Stdout, b"\xff"),
            ],
        );
        let (info, warn) = (LogLevel::Info, LogLevel::Warn);
        let lines: Vec<_> = lines.iter().map(|(l, m)| (*l, m.as_str())).collect();
        assert_eq!(
            lines,
            [
                (info, "one"),
                (info, "two"),
                (info, ""),
                (info, "\u{fffd}"),
                (warn, "oh no")
            ]
        );
    }

    #[test]
    fn a_line_without_end_is_not_kept_past_the_log() {
        let much = vec![b'x'; 100_000];
        let lines = written(100, &[(Output::Stdout, &much), (Output::Stdout, &much)]);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].1.ends_with('…') && lines[0].1.len() <= 100);
    }
}
