//! How a command fails: with one line on stderr and an exit code.

use std::{fmt, io};

/// Why a command did not do what it was asked to.
///
/// Exit codes: 1 for [`CliError::Failed`], 2 for [`CliError::Usage`]. A broken pipe is success: whoever
/// read the output has seen enough.
#[derive(Debug)]
pub(crate) enum CliError {
    /// The command line itself is wrong, in a way that the parser of options cannot see.
    Usage(String),
    /// The work failed. One sentence: what, where, what to do.
    Failed(String),
    /// The output could not be written.
    Output(io::Error),
}

/// The result of a command.
pub(crate) type CliResult<T = ()> = Result<T, CliError>;

impl CliError {
    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self::Failed(message.to_string())
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::Usage(message.to_string())
    }
}

/// Only writing to stdout is converted without words; a file's error names the file.
impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) | Self::Failed(message) => f.write_str(message),
            Self::Output(error) => write!(f, "cannot write the output: {error}"),
        }
    }
}

/// The cause at the bottom of an error's chain, which says more than the wrappers around it.
pub(crate) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
