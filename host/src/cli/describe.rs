//! Requests, errors, costs, logs and verdicts as lines for people. Nothing in them reaches the terminal unescaped.

use std::io::{self, Write};

use super::terminal::{Clean, Paint, marked_lines, one_line};
use crate::{
    model::RuleId,
    record::{AttemptError, Body, RequestRecord},
    rules::Explanation,
    sandbox::{Cost, LogLevel, LogLine},
};

/// Bytes of a request's body that are shown.
const MAX_BODY_SHOWN: usize = 64 * 1024;

/// The error of a render or an attempt in one line: kind, place, message.
pub(super) fn error_line(error: &AttemptError) -> String {
    let line = error.line.map(|line| format!("line {line}"));
    let place: Vec<&str> = [error.field.as_deref(), line.as_deref()]
        .into_iter()
        .flatten()
        .collect();
    let place = match place.join(" ") {
        place if place.is_empty() => place,
        place => format!(" in {}", one_line(&place)),
    };
    let kind = one_line(&error.kind);
    format!("{kind}{place}: {}", one_line(&error.message))
}

/// A transformer's log, one line each.
pub(super) fn log_lines(logs: &[LogLine]) -> impl Iterator<Item = String> {
    logs.iter().map(|line| {
        let level = match line.level {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        };
        format!("{level}: {}", one_line(&line.message))
    })
}

/// The cost of a render.
pub(super) fn cost_line(cost: Cost) -> String {
    format!(
        "{} fuel, {} KiB of memory, {} µs",
        cost.fuel,
        cost.peak_memory_bytes / 1024,
        cost.elapsed_us
    )
}

/// A body, cut after about `max` bytes.
pub(super) fn body_text(body: &Body, max: usize) -> String {
    let body = match body {
        Body::Base64(encoded) => {
            return format!("({} bytes of binary data)", encoded.len() / 4 * 3);
        }
        Body::Text(body) => body,
    };
    if body.len() <= max {
        return Clean(body).to_string();
    }
    let start = body
        .get(..body.floor_char_boundary(max))
        .unwrap_or_default();
    format!("{}\n… ({} bytes in all)", Clean(start), body.len())
}

/// Method, URL, headers and body. The body is indented, so that nothing in it looks like a line of hookbox's own.
pub(super) fn request_text(request: &RequestRecord, paint: Paint) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let line = format!("{} {}", request.method, request.url);
    writeln!(out, "{}", paint.bold(&one_line(&line)))?;
    for (name, value) in &request.headers {
        writeln!(out, "{}", header_line(name, value, paint))?;
    }
    let body = body_text(&request.body, MAX_BODY_SHOWN);
    if !body.is_empty() {
        write!(out, "\n{}", marked_lines(body.trim_end_matches('\n'), "  "))?;
    }
    Ok(out)
}

/// One header.
pub(super) fn header_line(name: &str, value: &str, paint: Paint) -> String {
    paint.dim(&format!("{}: {}", one_line(name), one_line(value)))
}

/// The verdict of each rule on an event, or of one rule.
pub(super) fn verdict_lines(explanation: &Explanation, only: Option<&RuleId>) -> Vec<String> {
    let mut lines = Vec::new();
    for verdict in &explanation.rules {
        if only.is_some_and(|rule| *rule != verdict.rule) {
            continue;
        }
        let name = one_line(&verdict.name);
        lines.push(format!("{name}: {}", one_line(&verdict.reason)));
        for step in &verdict.trace {
            let result = match step.result {
                Some(true) => "holds",
                Some(false) => "does not hold",
                None => "cannot be evaluated",
            };
            let actual = step.actual.as_ref();
            let actual =
                actual.map(|value| format!(" (the event has {})", one_line(&value.to_string())));
            lines.push(format!(
                "  {} {result}{}",
                one_line(&step.condition),
                actual.unwrap_or_default()
            ));
        }
    }
    if only.is_none() && explanation.omitted > 0 {
        lines.push(format!(
            "and {} more rules that do not match",
            explanation.omitted
        ));
    }
    if only.is_none() && lines.is_empty() {
        lines.push("there is no event rule".to_owned());
    }
    lines
}
