//! `hookbox deliveries show`: the whole story of one delivery.

use std::io::{self, Write};

use serde_json::Value;

use super::{Names, painted};
use crate::{
    api::{DeliveryDetail, EventView},
    cli::{
        client::Client,
        describe::{body_text, cost_line, error_line, header_line, log_lines, verdict_lines},
        error::CliResult,
        terminal::{Json, Paint, one_line},
    },
    record::{Attempt, AttemptOutcome, Body, Timings},
    sandbox::Cost,
};

/// Bytes of a body that are shown; `--json` has all of it.
const MAX_BODY: usize = 16 * 1024;

pub(super) async fn run(client: &Client, id: &str, as_json: bool) -> CliResult {
    let path = ["deliveries", id];
    if as_json {
        let answer: Value = client.get(&path).await?;
        return Ok(writeln!(io::stdout(), "{}", Json(&answer))?);
    }
    let delivery: DeliveryDetail = client.get(&path).await?;
    let names = Names::load(client).await?;
    let event = client.find(&["events", delivery.event.as_str()]).await?;
    let story = Story {
        out: Vec::new(),
        paint: Paint::for_stdout(),
    };
    let story = story.tell(&delivery, event.as_ref(), &names)?;
    Ok(io::stdout().write_all(&story)?)
}

/// Written into memory, then printed at once.
struct Story {
    out: Vec<u8>,
    paint: Paint,
}

impl Story {
    fn tell(
        mut self,
        delivery: &DeliveryDetail,
        event: Option<&EventView>,
        names: &Names,
    ) -> io::Result<Vec<u8>> {
        let heading = format!("Delivery {}", one_line(delivery.id.as_str()));
        writeln!(self.out, "{}", self.paint.bold(&heading))?;
        let status = painted(delivery.status, self.paint);
        writeln!(self.out, "  Status        {status}")?;
        let last_result = delivery.last_result.as_deref();
        self.field("Last result", last_result.unwrap_or_default())?;
        self.field("Webhook", &names.webhook(&delivery.webhook))?;
        self.field("Rule", &names.rule(&delivery.rule))?;
        let kind = format!("{} {}", delivery.object_type, delivery.event_type);
        self.field("Event", &format!("{} ({})", delivery.event, kind.trim()))?;
        self.field("Accepted", &delivery.created.to_string())?;
        self.field("Last change", &delivery.updated.to_string())?;
        if let Some(next) = delivery.next_attempt {
            self.field("Next attempt", &next.to_string())?;
        }
        if let Some(event) = event {
            self.heading("Why")?;
            for line in verdict_lines(&event.explanation, Some(&delivery.rule)) {
                writeln!(self.out, "  {line}")?;
            }
        }
        for attempt in &delivery.attempts {
            self.attempt(attempt)?;
        }
        if delivery.attempts.is_empty() {
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

    fn attempt(&mut self, attempt: &Attempt) -> io::Result<()> {
        let outcome = match attempt.outcome {
            AttemptOutcome::Delivered => self.paint.green("delivered"),
            AttemptOutcome::Failed => self.paint.red("failed"),
            AttemptOutcome::Skipped => "skipped".to_owned(),
        };
        let heading = self.paint.bold(&format!("Attempt {}", attempt.number));
        writeln!(self.out, "\n{heading} at {}: {outcome}", attempt.started)?;
        if let Some(error) = &attempt.error {
            self.field("Error", &error_line(error))?;
        }
        for warning in &attempt.warnings {
            self.field("Warning", warning)?;
        }
        if let Some(render) = &attempt.render {
            let cost = cost_line(Cost::from(render));
            self.field("Sandbox", &format!("{cost} by {}", render.transformer))?;
            for line in log_lines(&render.logs) {
                self.field("Log", &line)?;
            }
        }
        self.timings(&attempt.timings)?;
        if let Some(request) = &attempt.request {
            let line = format!("{} {}", request.method, request.url);
            self.field("Request", &line)?;
            self.message(&request.headers, request.headers_left_out, &request.body)?;
        }
        if let Some(response) = &attempt.response {
            let mut line = format!("{} {}", response.version, response.status);
            if let Some(peer) = &response.peer {
                line.push_str(&format!(" from {peer}"));
            }
            self.field("Response", &line)?;
            self.message(&response.headers, 0, &response.body)?;
            if response.truncated {
                writeln!(self.out, "    … (hookbox did not read more)")?;
            }
        }
        Ok(())
    }

    fn timings(&mut self, timings: &Timings) -> io::Result<()> {
        let ms = |us: u64| format!("{}.{:03} ms", us / 1000, us % 1000);
        let line = format!(
            "{} (render {}, address check {}, response {}, its body {}) after {} ms in the queue",
            ms(timings.total_us),
            ms(timings.render_us),
            ms(timings.guard_us),
            ms(timings.response_us),
            ms(timings.body_us),
            timings.waited_ms
        );
        self.field("Took", &line)
    }

    fn message(
        &mut self,
        headers: &[(String, String)],
        left_out: usize,
        body: &Body,
    ) -> io::Result<()> {
        for (name, value) in headers {
            writeln!(self.out, "    {}", header_line(name, value, self.paint))?;
        }
        if left_out > 0 {
            writeln!(
                self.out,
                "    … (and {left_out} more, which were not recorded)"
            )?;
        }
        let body = body_text(body, MAX_BODY);
        if !body.is_empty() {
            writeln!(self.out)?;
            for line in body.lines() {
                writeln!(self.out, "    {line}")?;
            }
        }
        Ok(())
    }
}
