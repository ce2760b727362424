//! The template engine, set up as Jinja2 is in NetBox, and one template's way through it.

use std::borrow::Cow;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hookbox_guest::{Failure, FailureKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, Value};

use crate::{
    filters::html::escape_text,
    functions, headers,
    json::{self, Place},
    limits, memory,
    output::{affordable, to_str},
    rewrite::rewrite,
    scan::{Class, run},
    values::afford,
    writer,
};

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
    fuel: u64,
}

impl Engine {
    /// An engine that has all these templates could use, and this much fuel for each.
    pub(crate) fn new(templates: &[&str], fuel: u64) -> Self {
        // A fresh instance would fill its tables of filters, tests and functions each time; most
        // templates need none.
        let mut environment = if templates.iter().any(|template| uses_names(template)) {
            functions::environment(templates)
        } else {
            Environment::empty()
        };
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_recursion_limit(limits::RECURSION);
        Self { environment, fuel }
    }

    /// Parses a template.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub(crate) fn check(&self, field: Field, source: &str) -> Result<(), Failure> {
        if marked(source).is_some() {
            self.environment
                .template_from_named_str(field.name(), &rewrite(&normalise(source)))
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
        if marked(&source).is_none() {
            let text = source.strip_suffix('\n').unwrap_or(&source);
            return if text.len() > field.limit() {
                Err(too_large(field, None))
            } else {
                Ok(text.as_bytes().to_vec())
            };
        }
        let source = rewritten(source);
        let price = compilation(&source);
        let fuel = self.fuel.checked_sub(price).ok_or_else(|| {
            let message = "the template is too long for one render; make it shorter";
            Failure::new(FailureKind::OutOfFuel, message).in_field(field.name())
        })?;
        let sink = Sink::new(field);
        let (result, used) = memory::measure(|| self.run(&source, context, fuel, &sink));
        let written = sink.take();
        // What the output takes, while it grows, is not what the template holds.
        let held = used.peak.saturating_sub(written.len() * 3);
        result.map(|()| written).map_err(|mut failure| {
            if failure.message == TOO_MUCH_WORK
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
            let sink = Sink::new(field);
            memory::measure(|| self.run(source, context, fuel, &sink))
        };
        let (small, small_use) = try_with(self.fuel / 20);
        let (large, large_use) = try_with(self.fuel / 10);
        small == large && small_use.calls == large_use.calls
    }

    fn run(&self, source: &str, context: &Value, fuel: u64, sink: &Sink) -> Result<(), Failure> {
        let json = sink.field == Field::JsonBody;
        json::rendering(json, || self.run_plainly(source, context, fuel, sink))
    }

    fn run_plainly(
        &self,
        source: &str,
        context: &Value,
        fuel: u64,
        sink: &Sink,
    ) -> Result<(), Failure> {
        let field = sink.field;
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel));
        let formatter = sink.clone();
        environment.set_formatter(move |out, state, value| formatter.format(out, state, value));
        let template = environment
            .template_from_named_str(field.name(), source)
            .map_err(|e| failure(field, &e, false))?;
        match template.render_captured_to(context.clone(), sink.clone()) {
            Ok(_) => Ok(()),
            Err(error) => Err(failure(field, &error, sink.lock().full)),
        }
    }
}

/// The text after the first mark that the engine has to do with, from that mark on.
fn marked(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        rest = rest.get(run(rest.as_bytes(), Class::of(b"{"))..)?;
        match rest.as_bytes().get(1)? {
            b'{' | b'%' | b'#' => return Some(rest),
            _ => rest = rest.get(1..)?,
        }
    }
}

/// The bytes of the tag or comment that the text begins with, up to the last bracket, which neither stands
/// in a text literal nor closes a dict literal.
fn length(tag: &str) -> usize {
    if tag.starts_with("{#") {
        return tag.find("#}").map_or(tag.len(), |at| at + 1);
    }
    let bytes = tag.as_bytes();
    let seek = |from: usize, class| from + run(bytes.get(from..).unwrap_or_default(), class);
    let (mut at, mut depth) = (2, 0_usize);
    loop {
        at = seek(at, Class::of(b"{}'\""));
        match bytes.get(at) {
            Some(b'{') => depth += 1,
            Some(b'}') if depth > 0 => depth -= 1,
            Some(quote @ (b'\'' | b'"')) => {
                let class = Class::of(if *quote == b'"' { b"\"\\" } else { b"'\\" });
                at = seek(at + 1, class);
                while bytes.get(at) == Some(&b'\\') {
                    at = seek(at + 2, class);
                }
            }
            _ => return at.min(bytes.len()),
        }
        at += 1;
    }
}

/// Whether a template could use a filter, test or function. Whoever does writes `|`, `(`, `is`, `in` or `filter`
/// within a tag; that these, or parts of them, also stand elsewhere costs nothing but time.
fn uses_names(template: &str) -> bool {
    // Operators and slices may become functions.
    any_tag(template, Class::of(b"|({%<>~:"))
}

/// Whether there is anything in the template's tags that has to be said in other words.
fn needs_rewriting(template: &str) -> bool {
    any_tag(template, Class::of(b"({%<>~\\,+:0123456789"))
}

/// Whether a tag has any of these bytes within, or `is`, `filter` or the word `in`.
fn any_tag(template: &str, marks: Class) -> bool {
    let mut rest = template;
    while let Some(tag) = marked(rest) {
        let end = length(tag);
        let within = tag.get(2..end).unwrap_or_default();
        let within = within.strip_suffix('%').unwrap_or(within).as_bytes();
        let mut pairs = within.windows(2);
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        let mut fours = within.windows(4);
        if run(within, marks) < within.len()
            || pairs.any(|pair| matches!(pair, b"is" | b"fi"))
            || fours.any(|four| matches!(four, [a, b'i', b'n', z] if !is_word(a) && !is_word(z)))
        {
            return true;
        }
        // What follows is not made of tags.
        if matches!(
            within.trim_ascii(),
            b"raw" | b"- raw" | b"-raw" | b"+raw" | b"+ raw"
        ) {
            return true;
        }
        rest = tag.get(end..).unwrap_or_default();
    }
    false
}

/// The fuel for making instructions of a template: the engine itself charges only for running them.
fn compilation(template: &str) -> u64 {
    let (mut rest, mut within) = (template, 0);
    while let Some(tag) = marked(rest) {
        let end = length(tag);
        within += end;
        rest = tag.get(end..).unwrap_or_default();
    }
    (within / limits::TAG_BYTES_PER_FUEL + template.len() / limits::TEXT_BYTES_PER_FUEL) as u64
}

/// The source with the line ends that Jinja2 makes of any.
fn normalise(source: &str) -> Cow<'_, str> {
    if run(source.as_bytes(), Class::of(b"\r")) < source.len() {
        source.replace("\r\n", "\n").replace('\r', "\n").into()
    } else {
        source.into()
    }
}

/// The source as the engine has to get it, if there is anything in it that could need that.
fn rewritten(source: Cow<'_, str>) -> Cow<'_, str> {
    match source {
        source if !needs_rewriting(&source) => source,
        Cow::Borrowed(source) => rewrite(source),
        Cow::Owned(source) => Cow::Owned(rewrite(&source).into_owned()),
    }
}

/// Where a template writes to: as many bytes as the field may have.
#[derive(Clone)]
struct Sink {
    field: Field,
    target: Arc<Mutex<Target>>,
}

#[derive(Default)]
struct Target {
    written: Vec<u8>,
    full: bool,
    /// Set by each write.
    reached: bool,
    place: Place,
}

impl Sink {
    fn new(field: Field) -> Self {
        Self {
            field,
            target: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Target> {
        self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.lock().written)
    }

    /// Writes a value as the field wants it.
    fn format(
        &self,
        out: &mut Output<'_>,
        state: &State<'_, '_>,
        value: &Value,
    ) -> Result<(), Error> {
        match (self.field, value.as_str()) {
            (field, _)
                if field != Field::JsonBody
                    && matches!(state.auto_escape(), AutoEscape::Html)
                    && !value.is_safe() =>
            {
                let mut text = escape_text(&to_str(state, value)?);
                if field == Field::Headers {
                    text.retain(|c| !headers::is_unsafe(c));
                }
                Ok(out.write_str(&text)?)
            }
            (Field::Headers, _) => {
                let mut text = to_str(state, value)?;
                if text.contains(headers::is_unsafe) {
                    text.to_mut().retain(|c| !headers::is_unsafe(c));
                }
                Ok(out.write_str(&text)?)
            }
            (Field::Body | Field::Url, Some(text)) => Ok(out.write_str(text)?),
            _ => self.format_directly(out, state, value),
        }
    }

    /// Writes a value past the engine, which would charge for it as if it had been written by its own
    /// slower means.
    fn format_directly(
        &self,
        out: &mut Output<'_>,
        state: &State<'_, '_>,
        value: &Value,
    ) -> Result<(), Error> {
        // What a macro or a `set` block captures does not reach the sink, and where it will stand is not
        // known yet: there a value is mere text, and the whole is escaped when it is written in the end.
        self.lock().reached = false;
        out.write_str("")?;
        let (reached, place) = {
            let target = self.lock();
            (target.reached, target.place)
        };
        let (text, cost) = match self.field {
            Field::JsonBody if reached => place.write(value, affordable(state))?,
            _ => writer::to_str(value, affordable(state))?,
        };
        afford(state, cost)?;
        if !reached {
            return Ok(out.write_str(&text)?);
        }
        let foreign = value.is_safe() && place == Place::Outside;
        match self.lock().write(self.field, text.as_bytes(), foreign) {
            Ok(()) => Ok(()),
            Err(full) => Err(Error::new(ErrorKind::WriteFailure, full.to_string())),
        }
    }
}

impl Target {
    /// Writes bytes; what is foreign may be any JSON, or none.
    fn write(&mut self, field: Field, bytes: &[u8], foreign: bool) -> io::Result<()> {
        if self.written.len().saturating_add(bytes.len()) > field.limit() {
            self.full = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.reached = true;
        if foreign && field == Field::JsonBody {
            self.place = self.place.after(bytes);
        }
        self.written.extend_from_slice(bytes);
        Ok(())
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.lock().write(self.field, bytes, true)
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

/// What a template is told that ran out of fuel at no work that has a message of its own.
const TOO_MUCH_WORK: &str =
    "the template needs more work or data than one render may cost; make its loops shorter";

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
        ErrorKind::OutOfFuel => error.detail().unwrap_or(TOO_MUCH_WORK).to_owned(),
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
