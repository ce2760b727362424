//! Stage 4: the sandbox. A webhook's logic runs here, and nothing it does is felt outside.

mod report;

pub use report::{Cost, ErrorKind, LogLevel, LogLine, Output, RenderError, Rendered, Rendering};
