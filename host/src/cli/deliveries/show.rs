//! `hookbox deliveries show`: the whole story of one delivery.

use std::io::{self, Write};

use serde_json::Value;

use super::{Names, text};
use crate::cli::{
    client::Client,
    error::CliResult,
    terminal::{Clean, Json, Paint, one_line},
};

/// Bytes of a body that are shown; `--json` has all of it.
const MAX_BODY: usize = 16 * 1024;

fn attempts_of(answer: &Value) -> &[Value] {
    let attempts = answer.get("attempts").and_then(Value::as_array);
    attempts.map(Vec::as_slice).unwrap_or_default()
}

pub(super) async fn run(client: &Client, id: &str, as_json: bool) -> CliResult {
    let answer = client.get(&["deliveries", id], &[]).await?;
    let mut out = io::stdout();
    if as_json {
        return Ok(writeln!(out, "{}", Json(&answer))?);
    }
    let names = Names::load(client).await?;
    let event = client.find(&["events", text(&answer, "event")]).await?;
    let story = Story {
        out: Vec::new(),
        paint: Paint::for_stdout(),
    };
    let story = story.tell(&answer, attempts_of(&answer), event.as_ref(), &names)?;
    Ok(out.write_all(&story)?)
}

/// Written into memory, then printed at once.
struct Story {
    out: Vec<u8>,
    paint: Paint,
}

impl Story {
    fn tell(
        mut self,
        delivery: &Value,
        attempts: &[Value],
        event: Option<&Value>,
        names: &Names,
    ) -> io::Result<Vec<u8>> {
        let heading = self
            .paint
            .bold(&format!("Delivery {}", one_line(text(delivery, "id"))));
        writeln!(self.out, "{heading}")?;
        let status = text(delivery, "status");
        let status = match status {
            "finished" => self.paint.green(status),
            "failed" => self.paint.red(status),
            other => one_line(other),
        };
        writeln!(self.out, "  Status        {status}")?;
        self.field("Last result", text(delivery, "last_result"))?;
        self.field("Webhook", &names.webhook(text(delivery, "webhook")))?;
        self.field("Rule", &names.rule(text(delivery, "rule")))?;
        let kind = format!(
            "{} {}",
            text(delivery, "object_type"),
            text(delivery, "event_type")
        );
        self.field(
            "Event",
            &format!("{} ({})", text(delivery, "event"), kind.trim()),
        )?;
        self.field("Accepted", text(delivery, "created"))?;
        self.field("Last change", text(delivery, "updated"))?;
        self.field("Next attempt", text(delivery, "next_attempt"))?;

        if let Some(event) = event {
            self.heading("Why")?;
            let rule = text(delivery, "rule");
            for line in verdict_lines(event, Some(rule)) {
                writeln!(self.out, "  {line}")?;
            }
        }
        for attempt in attempts {
            self.attempt(attempt)?;
        }
        if attempts.is_empty() {
            self.heading("No attempt yet")?;
        }
        Ok(self.out)
    }

    fn heading(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "\n{}", self.paint.bold(text))
    }

    fn field(&mut self, name: &str, value: &str) -> io::Result<()> {
        if value.is_empty() {
            return Ok(());
        }
        writeln!(self.out, "  {name:<13} {}", one_line(value))
    }

    fn attempt(&mut self, attempt: &Value) -> io::Result<()> {
        let number = attempt
            .get("number")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        let outcome = text(attempt, "outcome");
        let shown = match outcome {
            "delivered" => self.paint.green(outcome),
            "failed" => self.paint.red(outcome),
            other => one_line(other),
        };
        let heading = self.paint.bold(&format!("Attempt {number}"));
        writeln!(
            self.out,
            "\n{heading} at {}: {shown}",
            one_line(text(attempt, "started"))
        )?;
        if let Some(error) = attempt.get("error").filter(|e| !e.is_null()) {
            self.field("Error", &error_line(error))?;
        }
        for warning in strings(attempt.get("warnings")) {
            self.field("Warning", warning)?;
        }
        if let Some(render) = attempt.get("render").filter(|r| !r.is_null()) {
            let n = |key| render.get(key).and_then(Value::as_u64).unwrap_or_default();
            let cost = format!(
                "{} fuel, {} KiB of memory, {} µs by {}",
                n("fuel"),
                n("peak_memory_bytes") / 1024,
                n("elapsed_us"),
                text(render, "transformer")
            );
            self.field("Sandbox", &cost)?;
            for line in log_lines(render.get("logs")) {
                self.field("Log", &line)?;
            }
        }
        self.timings(attempt.get("timings"))?;
        if let Some(request) = attempt.get("request").filter(|r| !r.is_null()) {
            let line = format!("{} {}", text(request, "method"), text(request, "url"));
            self.message("Request", &line, request)?;
        }
        if let Some(response) = attempt.get("response").filter(|r| !r.is_null()) {
            let status = response
                .get("status")
                .and_then(Value::as_u64)
                .unwrap_or_default();
            let mut line = format!("{} {status}", text(response, "version"));
            if !text(response, "peer").is_empty() {
                line.push_str(&format!(" from {}", text(response, "peer")));
            }
            self.message("Response", &line, response)?;
            if response.get("truncated") == Some(&Value::Bool(true)) {
                writeln!(self.out, "    … (hookbox did not read more)")?;
            }
        }
        Ok(())
    }

    fn timings(&mut self, timings: Option<&Value>) -> io::Result<()> {
        let Some(timings) = timings.filter(|t| t.is_object()) else {
            return Ok(());
        };
        let ms = |key| {
            let us = timings.get(key).and_then(Value::as_u64).unwrap_or_default();
            format!("{}.{:03} ms", us / 1000, us % 1000)
        };
        let waited = timings
            .get("waited_ms")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        let line = format!(
            "{} (render {}, address check {}, response {}, its body {}) after {waited} ms in the queue",
            ms("total_us"),
            ms("render_us"),
            ms("guard_us"),
            ms("response_us"),
            ms("body_us")
        );
        self.field("Took", &line)
    }

    fn message(&mut self, title: &str, line: &str, message: &Value) -> io::Result<()> {
        self.field(title, line)?;
        for (name, value) in header_pairs(message) {
            let line = self
                .paint
                .dim(&format!("{}: {}", one_line(name), one_line(value)));
            writeln!(self.out, "    {line}")?;
        }
        let left_out = message.get("headers_left_out").and_then(Value::as_u64);
        if let Some(count) = left_out {
            writeln!(
                self.out,
                "    … (and {count} more, which were not recorded)"
            )?;
        }
        let body = body_text(message, MAX_BODY);
        if !body.is_empty() {
            writeln!(self.out)?;
            for line in body.lines() {
                writeln!(self.out, "    {line}")?;
            }
        }
        Ok(())
    }
}

/// One line for an error of a render or an attempt: kind, place, message.
pub(in crate::cli) fn error_line(error: &Value) -> String {
    let mut place = one_line(text(error, "field"));
    if let Some(line) = error.get("line").and_then(Value::as_u64) {
        place.push_str(&format!(" line {line}"));
    }
    if !place.is_empty() {
        place = format!(" in {}", place.trim());
    }
    format!(
        "{}{place}: {}",
        one_line(text(error, "kind")),
        one_line(text(error, "message"))
    )
}

/// Log lines of a guest, clean.
pub(in crate::cli) fn log_lines(logs: Option<&Value>) -> Vec<String> {
    logs.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|line| {
            format!(
                "{}: {}",
                one_line(text(line, "level")),
                one_line(text(line, "message"))
            )
        })
        .collect()
}

/// The strings of a list.
pub(in crate::cli) fn strings(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// The headers of a request or response as pairs.
pub(in crate::cli) fn header_pairs(message: &Value) -> impl Iterator<Item = (&str, &str)> {
    let headers = message.get("headers").and_then(Value::as_array);
    headers
        .into_iter()
        .flatten()
        .filter_map(|pair| Some((pair.get(0)?.as_str()?, pair.get(1)?.as_str()?)))
}

/// A body for people: clean, at most about `max` bytes.
pub(in crate::cli) fn body_text(message: &Value, max: usize) -> String {
    if let Some(encoded) = message.get("body_base64").and_then(Value::as_str) {
        return format!("({} bytes of binary data)", encoded.len() / 4 * 3);
    }
    let body = text(message, "body");
    if body.len() <= max {
        return Clean(body).to_string();
    }
    let start = body
        .get(..body.floor_char_boundary(max))
        .unwrap_or_default();
    format!("{}\n… ({} bytes in all)", Clean(start), body.len())
}

/// The verdict of each rule on an event.
pub(in crate::cli) fn explanation_lines(event: &Value) -> Vec<String> {
    verdict_lines(event, None)
}

fn verdict_lines(event: &Value, only: Option<&str>) -> Vec<String> {
    let Some(explanation) = event.get("explanation") else {
        return Vec::new();
    };
    let rules = explanation.get("rules").and_then(Value::as_array);
    let mut lines = Vec::new();
    for verdict in rules.into_iter().flatten() {
        if only.is_some_and(|id| id != text(verdict, "rule")) {
            continue;
        }
        lines.push(format!(
            "{}: {}",
            one_line(text(verdict, "name")),
            one_line(text(verdict, "reason"))
        ));
        for step in verdict
            .get("trace")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let result = match step.get("result").and_then(Value::as_bool) {
                Some(true) => "holds",
                Some(false) => "does not hold",
                None => "cannot be evaluated",
            };
            let actual = step
                .get("actual")
                .map(|value| format!(" (the event has {})", one_line(&value.to_string())))
                .unwrap_or_default();
            lines.push(format!(
                "  {} {result}{actual}",
                one_line(text(step, "condition"))
            ));
        }
    }
    if let (None, Some(n)) = (only, explanation.get("omitted").and_then(Value::as_u64)) {
        lines.push(format!("and {n} more rules that do not match"));
    }
    if lines.is_empty() && only.is_none() {
        lines.push("there is no event rule".to_owned());
    }
    lines
}
