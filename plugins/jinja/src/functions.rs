//! The filters and functions that templates have beyond the engine's own.

use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind, State};
use minijinja_contrib::{filters, pycompat};

use crate::headers;
use crate::python::{self, Dumps};

/// An environment with everything in it.
pub(crate) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.remove_global("debug");
    environment.set_unknown_method_callback(pycompat::unknown_method_callback);
    environment.add_function("secret", secret);
    environment.add_filter("tojson", tojson);
    environment.add_filter("header_safe", header_safe);
    environment.add_filter("filesizeformat", filters::filesizeformat);
    environment.add_filter("pluralize", filters::pluralize);
    environment.add_filter("striptags", filters::striptags);
    environment.add_filter("truncate", filters::truncate);
    environment.add_filter("wordcount", filters::wordcount);
    environment.add_filter("wordwrap", filters::wordwrap);
    environment
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
    let dumps = Dumps {
        sort_keys: true,
        html_safe: true,
        indent: indent.map(|n| n.min(16)),
        strict: false,
    };
    let mut out = String::new();
    dumps.write(&mut out, value)?;
    state.consume_fuel(out.len() as u64 / 4)?;
    Ok(Value::from_safe_string(out))
}

/// NetBox's filter: the text without control characters.
fn header_safe(value: &Value) -> Result<String, Error> {
    let mut text = String::new();
    python::write_str(&mut text, value)?;
    text.retain(|c| !headers::is_unsafe(c));
    Ok(text)
}
