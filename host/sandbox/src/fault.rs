//! From the engine's errors, and a guest's own, to what the owner of a webhook reads.

use wasmtime::{Trap, WasmBacktrace};

use super::{
    ErrorKind, RenderError,
    bindings::types::{Failure, FailureKind},
    imports::State,
    limits::Limits,
    text::clean_line,
    wasi::Denied,
};

/// The most of a guest's message that is shown.
const MAX_MESSAGE: usize = 1000;
/// The most of a guest's field name.
const MAX_FIELD: usize = 64;
/// The most of a function's name from the guest's name section.
const MAX_FUNCTION: usize = 80;

/// The reason why a run ended early.
pub(super) fn from_engine(error: &wasmtime::Error, state: &State, limits: &Limits) -> RenderError {
    if let Some(refused) = state.meter.refused() {
        return RenderError::new(ErrorKind::OutOfMemory, refused.to_string());
    }
    if let Some(denied) = error.downcast_ref::<Denied>() {
        return RenderError::new(
            ErrorKind::Trap,
            format!("the transformer crashed: {denied}"),
        );
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => RenderError::new(
            ErrorKind::OutOfFuel,
            format!(
                "the transformer used up its fuel ({}, sandbox.fuel): it loops without end or does too \
                 much work for one event",
                limits.fuel
            ),
        ),
        Some(Trap::Interrupt) => RenderError::new(
            ErrorKind::Timeout,
            format!(
                "the transformer did not finish within {} ms (sandbox.deadline_ms)",
                limits.deadline_ms
            ),
        ),
        Some(Trap::AllocationTooLarge) => RenderError::new(
            ErrorKind::OutOfMemory,
            "the transformer asked for more memory than there can be",
        ),
        Some(Trap::UnreachableCodeReached) => stopped_itself(state, error),
        Some(trap) => crash(describe(*trap), error),
        None if is_hostcall_fuel(error) => RenderError::new(
            ErrorKind::OutputTooLarge,
            format!(
                "the transformer handed over more than {} bytes at once, which is more than all limits \
                 on body, URL, headers and log together",
                limits.hostcall_bytes()
            ),
        ),
        // what is left is a value that breaks the component model's rules
        None => crash(
            "it handed over a value that is not valid (text that is not UTF-8, an address outside its \
             memory, an unknown case, or a handle that it does not hold) or it holds too many handles",
            error,
        ),
    }
}

/// The engine does not export the type of this error, only its words. A test holds them still.
fn is_hostcall_fuel(error: &wasmtime::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .to_string()
            .contains("fuel allocated for hostcalls has been exhausted")
    })
}

fn crash(what: &str, error: &wasmtime::Error) -> RenderError {
    let function = error
        .downcast_ref::<WasmBacktrace>()
        .and_then(|trace| trace.frames().first()?.func_name())
        .map(|name| clean_line(name, MAX_FUNCTION))
        .filter(|name| !name.is_empty())
        .map_or_else(String::new, |name| format!(" (in `{name}`)"));
    RenderError::new(
        ErrorKind::Trap,
        format!("the transformer crashed: {what}{function}"),
    )
}

/// A panic or an abort. Languages write why before they stop, so the last line of the log tells more than the trap.
fn stopped_itself(state: &State, error: &wasmtime::Error) -> RenderError {
    match state.log.last_complaint() {
        Some(line) => RenderError::new(
            ErrorKind::Trap,
            format!(
                "the transformer crashed: it stopped itself after it logged: {}",
                clean_line(line, MAX_MESSAGE)
            ),
        ),
        None => crash("it stopped itself, as a panic or an abort does", error),
    }
}

/// The engine's traps in words for an author.
const fn describe(trap: Trap) -> &'static str {
    match trap {
        Trap::StackOverflow => {
            "its stack overflowed; look for recursion without end (sandbox.stack_bytes is the limit)"
        }
        Trap::MemoryOutOfBounds => "it read or wrote outside its memory",
        Trap::TableOutOfBounds => "it used a table entry that does not exist",
        Trap::IndirectCallToNull | Trap::BadSignature => {
            "it called a function pointer that is empty or of another type"
        }
        Trap::IntegerOverflow => "an integer overflowed",
        Trap::IntegerDivisionByZero => "it divided by zero",
        Trap::BadConversionToInteger => {
            "it turned a number that is too large, or none, into an integer"
        }
        Trap::CannotEnterComponent | Trap::CannotLeaveComponent => {
            "it called the host at a time when that is not allowed"
        }
        Trap::StringOutOfBounds | Trap::ListOutOfBounds | Trap::UnalignedPointer => {
            "it handed over text or a list that does not lie in its memory"
        }
        Trap::InvalidChar | Trap::InvalidDiscriminant => {
            "it handed over a value that is no case of its type"
        }
        _ => "it did what a transformer cannot do",
    }
}

/// A guest's message about its own failure, bounded and cleaned.
pub(super) fn from_guest(failure: &Failure) -> RenderError {
    let message = clean_line(&failure.message, MAX_MESSAGE);
    RenderError {
        kind: match failure.kind {
            FailureKind::TemplateSyntax => ErrorKind::TemplateSyntax,
            FailureKind::TemplateRuntime => ErrorKind::TemplateRuntime,
            FailureKind::OutOfFuel => ErrorKind::OutOfFuel,
            FailureKind::OutOfMemory => ErrorKind::OutOfMemory,
            FailureKind::OutputTooLarge => ErrorKind::OutputTooLarge,
            FailureKind::PluginError => ErrorKind::PluginError,
        },
        field: failure
            .field
            .as_deref()
            .map(|field| clean_line(field, MAX_FIELD))
            .filter(|field| !field.is_empty()),
        line: failure.line.filter(|&line| line > 0),
        message: if message.trim().is_empty() {
            "the transformer failed and did not say why".to_owned()
        } else {
            message
        },
    }
}

/// The host's own fault.
pub(super) fn internal() -> RenderError {
    RenderError::new(
        ErrorKind::Trap,
        "the sandbox failed while it ran the transformer; this is a fault of hookbox, please report it",
    )
}
