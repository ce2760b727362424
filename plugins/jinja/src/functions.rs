//! The filters and functions that templates have beyond the engine's own.
#![expect(
    clippy::needless_pass_by_value,
    reason = "the engine hands arguments over by value"
)]

use minijinja::value::{Kwargs, Rest, Value};
use minijinja::{Environment, Error, ErrorKind, State};
use minijinja_contrib::{filters, globals, pycompat};

use crate::engine;
use crate::headers;
use crate::limits;
use crate::python::{Json, Style, Writer};

/// An environment with everything in it.
pub(crate) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.remove_global("debug");
    environment.set_unknown_method_callback(method);
    environment.add_function("secret", secret);
    environment.add_function("cycler", |items: Rest<Value>| globals::cycler(items.0));
    environment.add_function("joiner", globals::joiner);
    // NetBox's way to reach a token that is kept outside the template.
    environment.add_filter("env", secret);
    environment.add_filter("tojson", tojson);
    environment.add_filter("header_safe", header_safe);
    environment.add_filter("filesizeformat", filters::filesizeformat);
    environment.add_filter("pluralize", filters::pluralize);
    environment.add_filter("striptags", filters::striptags);
    environment.add_filter("center", center);
    environment.add_filter("truncate", truncate);
    environment.add_filter("wordcount", filters::wordcount);
    environment.add_filter("wordwrap", wordwrap);
    environment
}

/// Python's methods. The engine charges for what they return; they also read what they are called on.
fn method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let read = value.as_str().map_or(0, str::len) as u64;
    state.consume_fuel(8 + read / 16)?;
    pycompat::unknown_method_callback(state, value, name, arguments)
}

/// `secret('name')`: the handle that the host replaces by the secret's value.
fn secret(name: &str) -> Result<String, Error> {
    hookbox_guest::secret(name).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidOperation,
            format!("there is no secret `{name}`; create it or correct the name"),
        )
    })
}

/// `tojson(indent=None)` as Jinja2's: sorted keys, ASCII only, safe within HTML.
fn tojson(
    state: &State<'_, '_>,
    value: &Value,
    indent: Option<usize>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => kwargs.get::<Option<usize>>("indent")?,
    };
    kwargs.assert_all_used()?;
    let style = Style::Json(Json {
        sort_keys: true,
        html_safe: true,
        indent: indent.map(|n| n.min(16)),
        strict: false,
    });
    let mut writer = Writer::new(style, engine::affordable(state));
    writer.value(value)?;
    engine::charge(state, writer.cost())?;
    Ok(Value::from_safe_string(writer.out))
}

/// NetBox's filter: the text without control characters.
fn header_safe(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    let mut text = engine::to_str(state, value)?.into_owned();
    text.retain(|c| !headers::is_unsafe(c));
    Ok(text)
}

/// `center(width=80)`: the text amid spaces.
fn center(state: &State<'_, '_>, value: &Value, width: Option<usize>) -> Result<String, Error> {
    let text = engine::to_str(state, value)?;
    let width = width.unwrap_or(80);
    if width > limits::BODY {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("a width of {width} is too large"),
        ));
    }
    let missing = width.saturating_sub(text.chars().count());
    // Python puts the odd space to the left where the width is odd.
    let left = missing / 2 + (missing & width & 1);
    Ok(format!(
        "{:left$}{text}{:right$}",
        "",
        "",
        right = missing - left
    ))
}

/// `truncate(length, killwords, end, leeway)`, by place as in Jinja2 or by name.
fn truncate(
    state: &mut State<'_, '_>,
    value: &Value,
    arguments: Rest<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let names = ["length", "killwords", "end", "leeway"];
    filters::truncate(state, value, by_name(&names, &arguments, &kwargs)?)
}

/// `wordwrap(width, break_long_words, wrapstring, break_on_hyphens)`, by place as in Jinja2 or by name.
fn wordwrap(value: &Value, arguments: Rest<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let names = [
        "width",
        "break_long_words",
        "wrapstring",
        "break_on_hyphens",
    ];
    filters::wordwrap(value, by_name(&names, &arguments, &kwargs)?)
}

/// Arguments given by place, as if they had been given by name.
fn by_name(names: &[&'static str], arguments: &[Value], kwargs: &Kwargs) -> Result<Kwargs, Error> {
    if arguments.len() > names.len() {
        return Err(ErrorKind::TooManyArguments.into());
    }
    let mut all: Vec<(&str, Value)> = names
        .iter()
        .copied()
        .zip(arguments.iter().cloned())
        .collect();
    for name in kwargs.args() {
        all.push((name, kwargs.peek(name)?));
    }
    Ok(all.into_iter().collect())
}
