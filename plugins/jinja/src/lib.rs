//! hookbox's default transformer: a webhook's Jinja2 templates, rendered as NetBox renders them.
//!
//! One call renders the headers, then the body, then the URL. The library is plain Rust with native
//! tests; on WebAssembly it is also a component of the world `checking-transformer`.

mod aliases;
mod args;
mod document;
mod engine;
mod escapes;
mod filters;
mod format_spec;
mod functions;
mod globals;
mod headers;
mod is_tests;
mod json;
mod json_reader;
mod limits;
mod literals;
mod macros;
mod memory;
mod methods;
mod mutable;
mod operators;
mod output;
mod percent;
mod pprint;
mod rewrite;
mod scan;
mod slices;
mod tokens;
mod urlize;
mod values;
mod writer;

use hookbox_guest::{BodyEscape, Decision, Event, Failure, FailureKind, Request, Webhook};

use document::Document;
use engine::{Engine, Field};
use minijinja::Value;
use writer::{Json, Style, Writer};

pub use memory::Counting;

hookbox_guest::transformer!(transform, check);

/// Renders a webhook's templates with the event as context.
///
/// # Errors
/// The first template that does not parse, fails, or goes past a limit, by field and line.
pub fn transform(event: &Event, webhook: &Webhook) -> Result<Decision, Failure> {
    let document = Document::new(event.text())?;
    let event_value = document.value()?;
    let context = match aliases::asked_for(webhook)? {
        true => aliases::with_aliases(event_value.clone()),
        false => event_value.clone(),
    };
    let engine = engine(webhook, event.text().len());
    let headers = engine.render(Field::Headers, &webhook.additional_headers, &context)?;
    let headers = headers::parse(
        &webhook.http_content_type,
        &webhook.additional_headers,
        &text(headers),
    )?;
    let body = if webhook.body_template.is_empty() {
        default_body(&event_value)?
    } else {
        engine.render(body_field(webhook), &webhook.body_template, &context)?
    };
    let url = engine.render(Field::Url, &webhook.payload_url, &context)?;
    Ok(Decision::Send(Request {
        method: webhook.http_method.clone(),
        url: text(url),
        headers,
        body,
    }))
}

/// Parses a webhook's templates.
///
/// # Errors
/// The first syntax error, by field and line. Filters, tests and functions are looked up only when a
/// template runs to them: the engine shows nobody what a parsed template names.
pub fn check(webhook: &Webhook) -> Result<(), Failure> {
    aliases::asked_for(webhook)?;
    let engine = engine(webhook, 0);
    engine.check(Field::Url, &webhook.payload_url)?;
    engine.check(Field::Headers, &webhook.additional_headers)?;
    engine.check(body_field(webhook), &webhook.body_template)
}

fn engine(webhook: &Webhook, event_bytes: usize) -> Engine {
    let templates = [
        &*webhook.additional_headers,
        &webhook.body_template,
        &webhook.payload_url,
    ];
    Engine::new(&templates, limits::fuel(event_bytes))
}

fn body_field(webhook: &Webhook) -> Field {
    match webhook.body_escape {
        BodyEscape::None => Field::Body,
        BodyEscape::Json => Field::JsonBody,
    }
}

/// The whole context as Python's `json.dumps()` writes it.
fn default_body(context: &Value) -> Result<Vec<u8>, Failure> {
    let mut writer = Writer::new(Style::Json(Json::default()), limits::BODY);
    let written = writer.value(context);
    if writer.out.len() > limits::BODY {
        return Err(Failure::new(
            FailureKind::OutputTooLarge,
            format!("the default body is larger than {} bytes", limits::BODY),
        )
        .in_field("body_template"));
    }
    written.map_err(|e| Failure::plugin_error(e.to_string()))?;
    Ok(writer.out.into_bytes())
}

/// The engine writes text only, so nothing is ever replaced here.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}
