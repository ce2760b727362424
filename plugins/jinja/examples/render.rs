//! Renders templates natively, by the protocol of `tests/jinja2/render.py`: a request a line on standard
//! input, `{"template": …, "context": {…}}`, and an answer a line on standard output.

use std::io::{self, BufRead, Write};
use std::panic::AssertUnwindSafe;

use hookbox_guest::{BodyEscape, Decision, Event, FailureKind, Webhook};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Request {
    template: String,
    context: Box<RawValue>,
    #[serde(default)]
    body_escape: BodyEscape,
}

fn answer(line: &str) -> Result<Value, serde_json::Error> {
    let request: Request = serde_json::from_str(line)?;
    let webhook = Webhook {
        body_template: request.template,
        body_escape: request.body_escape,
        payload_url: "https://example.com/".to_owned(),
        ..Webhook::default()
    };
    let event = Event::from_text(request.context.get());
    let rendered = std::panic::catch_unwind(AssertUnwindSafe(|| {
        hookbox_jinja::transform(&event, &webhook)
    }));
    let Ok(result) = rendered else {
        return Ok(json!({"error": "trap", "class": "panic", "message": "see standard error"}));
    };
    Ok(match result {
        Ok(Decision::Send(request)) => {
            json!({"text": String::from_utf8_lossy(&request.body)})
        }
        Ok(Decision::Skip(reason)) => json!({"error": "skip", "message": reason}),
        Err(failure) => {
            let error = match failure.kind {
                FailureKind::TemplateSyntax => "syntax",
                _ => "runtime",
            };
            json!({"error": error, "class": failure.kind, "message": failure.message})
        }
    })
}

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        writeln!(out, "{}", answer(&line?)?)?;
    }
    Ok(())
}
