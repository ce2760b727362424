//! The template engine, set up as Jinja2 is in NetBox, and one template's way through it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use hookbox_guest::{Failure, FailureKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, Value};

use crate::{functions, headers, json::Place, limits, memory, python};

/// A field of the webhook that is a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Headers,
    Body,
    JsonBody,
    Url,
}

impl Field {
    /// Its name in the webhook.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Headers => "additional_headers",
            Self::Body | Self::JsonBody => "body_template",
            Self::Url => "payload_url",
        }
    }

    const fn limit(self) -> usize {
        match self {
            Self::Headers => limits::HEADERS,
            Self::Body | Self::JsonBody => limits::BODY,
            Self::Url => limits::URL,
        }
    }
}

/// The engine for one webhook's templates.
pub(crate) struct Engine {
    environment: Environment<'static>,
}

impl Engine {
    /// An engine that has all these templates could use.
    pub(crate) fn new(templates: &[&str]) -> Self {
        // A fresh instance would fill its tables of filters, tests and functions each time; most
        // templates need none. Whoever uses one writes one of these.
        let plain = !templates.iter().any(|t| {
            is_template(t) && (t.contains(['|', '(']) || t.contains("is") || t.contains("filter"))
        });
        let mut environment = if plain {
            Environment::empty()
        } else {
            functions::environment()
        };
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_recursion_limit(limits::RECURSION);
        Self { environment }
    }

    /// Parses a template, and looks up what it names.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub(crate) fn check(&self, field: Field, source: &str) -> Result<(), Failure> {
        if is_template(source) {
            self.environment
                .template_from_named_str(field.name(), &normalise(source))
                .map_err(|e| failure(field, &e, false))?;
        }
        Ok(())
    }

    /// Renders a template.
    ///
    /// # Errors
    /// What is wrong with it, or the limit that it went past.
    pub(crate) fn render(
        &self,
        field: Field,
        source: &str,
        context: &Value,
    ) -> Result<Vec<u8>, Failure> {
        let source = normalise(source);
        if !is_template(&source) {
            let text = source.strip_suffix('\n').unwrap_or(&source);
            return if text.len() > field.limit() {
                Err(too_large(field, None))
            } else {
                Ok(text.as_bytes().to_vec())
            };
        }
        let mut sink = Sink::new(field.limit());
        let (result, used) =
            memory::measure(|| self.run(field, &source, context, limits::FUEL, &mut sink));
        // What the output takes, while it grows, is not what the template holds.
        let held = used.peak.saturating_sub(sink.written.len() * 3);
        result.map(|()| sink.written).map_err(|mut failure| {
            if failure.kind == FailureKind::OutOfFuel
                && (held > limits::MUCH_MEMORY || self.asks_for_much(field, &source, context))
            {
                failure.kind = FailureKind::OutOfMemory;
                failure.message =
                    "the template makes more data than one render may hold; make it shorter"
                        .to_owned();
            }
            failure
        })
    }

    /// Whether a template that ran out of fuel did so at one request for more memory than its fuel would
    /// ever pay for, which the engine refuses beforehand and calls by the same name.
    ///
    /// Such a request fails with any budget, at the same place; a loop gets further with a larger one, and
    /// cannot do so without allocating.
    fn asks_for_much(&self, field: Field, source: &str, context: &Value) -> bool {
        let try_with = |fuel| {
            let mut sink = Sink::new(field.limit());
            memory::measure(|| self.run(field, source, context, fuel, &mut sink))
        };
        let (small, small_use) = try_with(limits::FUEL / 16);
        let (large, large_use) = try_with(limits::FUEL / 8);
        small == large && small_use.calls == large_use.calls
    }

    fn run(
        &self,
        field: Field,
        source: &str,
        context: &Value,
        fuel: u64,
        sink: &mut Sink,
    ) -> Result<(), Failure> {
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel));
        match field {
            Field::Headers => environment.set_formatter(format_header),
            Field::Body | Field::Url => environment.set_formatter(format_text),
            Field::JsonBody => {
                let place = Arc::new(Mutex::new(Probe::default()));
                sink.probe = Some(Arc::clone(&place));
                environment.set_formatter(move |out, _, value| format_json(&place, out, value));
            }
        }
        let template = environment
            .template_from_named_str(field.name(), source)
            .map_err(|e| failure(field, &e, false))?;
        match template.render_captured_to(context.clone(), &mut *sink) {
            Ok(_) => Ok(()),
            Err(error) => Err(failure(field, &error, sink.full)),
        }
    }
}

/// Whether the text has anything for the engine to do.
fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark))
}

/// The source with the line ends that Jinja2 makes of any.
fn normalise(source: &str) -> std::borrow::Cow<'_, str> {
    if source.contains('\r') {
        source.replace("\r\n", "\n").replace('\r', "\n").into()
    } else {
        source.into()
    }
}

fn format_text(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    python::write_str(out, value)
}

fn format_header(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let mut text = String::new();
    python::write_str(&mut text, value)?;
    text.retain(|c| !headers::is_unsafe(c));
    Ok(out.write_str(&text)?)
}

fn format_json(probe: &Mutex<Probe>, out: &mut Output<'_>, value: &Value) -> Result<(), Error> {
    let lock = || probe.lock().unwrap_or_else(PoisonError::into_inner);
    // What a macro or a `set` block captures does not reach the sink, and where it will stand is not
    // known yet: there a value is mere text, and the whole is escaped when it is written in the end.
    lock().reached = false;
    out.write_str("")?;
    let (reached, place) = {
        let probe = lock();
        (probe.reached, probe.place)
    };
    if reached {
        place.write(out, value)
    } else {
        python::write_str(out, value)
    }
}

/// What the sink of a JSON body tells the formatter.
#[derive(Debug, Default)]
struct Probe {
    place: Place,
    reached: bool,
}

/// Where a template writes to: as many bytes as the field may have.
struct Sink {
    written: Vec<u8>,
    limit: usize,
    full: bool,
    probe: Option<Arc<Mutex<Probe>>>,
}

impl Sink {
    fn new(limit: usize) -> Self {
        Self {
            written: Vec::new(),
            limit,
            full: false,
            probe: None,
        }
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.written.len().saturating_add(bytes.len()) > self.limit {
            self.full = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        if let Some(probe) = &self.probe {
            let mut probe = probe.lock().unwrap_or_else(PoisonError::into_inner);
            probe.reached = true;
            probe.place = probe.place.after(bytes);
        }
        self.written.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn too_large(field: Field, line: Option<u32>) -> Failure {
    let mut failure = Failure::new(
        FailureKind::OutputTooLarge,
        format!(
            "`{}` rendered to more than {} bytes",
            field.name(),
            field.limit()
        ),
    )
    .in_field(field.name());
    failure.line = line;
    failure
}

/// The engine's error in the words of the world.
fn failure(field: Field, error: &Error, full: bool) -> Failure {
    let line = error.line().and_then(|line| u32::try_from(line).ok());
    if full {
        return too_large(field, line);
    }
    let kind = match error.kind() {
        ErrorKind::OutOfFuel => FailureKind::OutOfFuel,
        ErrorKind::SyntaxError
        | ErrorKind::BadEscape
        | ErrorKind::UnknownFilter
        | ErrorKind::UnknownTest => FailureKind::TemplateSyntax,
        _ => FailureKind::TemplateRuntime,
    };
    let mut message = match error.kind() {
        ErrorKind::OutOfFuel => {
            "the template needs more work or data than one render may cost; make its loops shorter"
                .to_owned()
        }
        kind => match error.detail() {
            Some(detail) => format!("{kind}: {detail}"),
            None => kind.to_string(),
        },
    };
    let mut cause = std::error::Error::source(error);
    for _ in 0..4 {
        let Some(inner) = cause else { break };
        message = format!("{message}: {inner}");
        cause = inner.source();
    }
    let mut failure = Failure::new(kind, message).in_field(field.name());
    failure.line = line;
    failure
}
