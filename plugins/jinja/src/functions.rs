//! Everything that templates can name: minijinja's own, and Jinja2's where minijinja's differ.
#![expect(
    clippy::needless_pass_by_value,
    reason = "the engine hands arguments over by value"
)]

use std::sync::{Mutex, PoisonError};

use minijinja::functions::Function;
use minijinja::value::{FunctionArgs, FunctionResult, Kwargs, Value};
use minijinja::{Environment, Error, State};

use crate::filters;
use crate::headers;
use crate::json;
use crate::limits;
use crate::methods;
use crate::output;
use crate::values::{self, wrong};
use crate::writer::{Json, Style, Writer};
use crate::{globals, is_tests};

/// An environment with all that the templates name. It is made anew for each render, and a hundred names
/// cost more than most templates do.
pub(crate) fn environment(templates: &[&str]) -> Environment<'static> {
    let mut words: Vec<&str> = templates
        .iter()
        .flat_map(|template| template.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')))
        .collect();
    words.sort_unstable();
    let has = |name: &str| words.binary_search(&name).is_ok();
    // These take the names of others, which need not be written in the template.
    let all = ["map", "select", "reject", "selectattr", "rejectattr"]
        .into_iter()
        .any(has);
    // What `rewrite` puts into templates is not written in them either.
    let named = |name: &str| {
        all || has(name)
            || name == "undefined"
            || !name.starts_with(|c: char| c.is_ascii_alphabetic())
    };

    let mut environment = Environment::empty();
    environment.set_unknown_method_callback(methods::call);
    add(&mut Names::new(&mut environment, &named));
    environment
}

/// Adds all filters, tests and functions.
fn add(names: &mut Names<'_>) {
    globals::add(names);
    is_tests::add(names);
    filters::apply::add(names);
    filters::add(names);
    names.add_function("secret", secret);
    // NetBox's way to reach a token that is kept outside the template.
    names.add_filter("env", secret);
    names.add_filter("tojson", tojson);
    names.add_filter("safe", |state: &State<'_, '_>, value: &Value| {
        output::to_str(state, value).map(|text| json::vouch(text.into_owned()))
    });
    names.add_filter("header_safe", header_safe);
}

/// Whether there is a filter, or else a test, of this name.
pub(crate) fn known(name: &str, filter: bool) -> bool {
    let mut environment = Environment::empty();
    let named = |other: &str| other == name;
    let mut names = Names::new(&mut environment, &named);
    add(&mut names);
    let added = if filter { names.filters } else { names.tests };
    // What `rewrite` puts into templates is none of theirs.
    added && !name.starts_with("__")
}

/// An environment that takes only what templates name.
pub(crate) struct Names<'e> {
    environment: &'e mut Environment<'static>,
    named: &'e dyn Fn(&str) -> bool,
    /// Whether there has been a filter among them.
    filters: bool,
    /// Whether there has been a test.
    tests: bool,
}

impl<'e> Names<'e> {
    fn new(environment: &'e mut Environment<'static>, named: &'e dyn Fn(&str) -> bool) -> Self {
        Self {
            environment,
            named,
            filters: false,
            tests: false,
        }
    }

    pub(crate) fn add_filter<F, Rv, Args>(&mut self, name: &'static str, filter: F)
    where
        F: Function<Rv, Args>,
        Rv: FunctionResult,
        Args: for<'a> FunctionArgs<'a>,
    {
        if (self.named)(name) {
            self.filters = true;
            self.environment.add_filter(name, filter);
        }
    }

    pub(crate) fn add_test<F, Rv, Args>(&mut self, name: &'static str, test: F)
    where
        F: Function<Rv, Args>,
        Rv: FunctionResult,
        Args: for<'a> FunctionArgs<'a>,
    {
        if (self.named)(name) {
            self.tests = true;
            self.environment.add_test(name, test);
        }
    }

    pub(crate) fn add_function<F, Rv, Args>(&mut self, name: &'static str, function: F)
    where
        F: Function<Rv, Args>,
        Rv: FunctionResult,
        Args: for<'a> FunctionArgs<'a>,
    {
        if (self.named)(name) {
            self.environment.add_function(name, function);
        }
    }

    pub(crate) fn add_global(&mut self, name: &'static str, value: Value) {
        if (self.named)(name) {
            self.environment.add_global(name, value);
        }
    }
}

/// The handles that templates have got.
static HANDLES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Whether a secret's handle stands in the text.
pub(crate) fn holds_secret(text: &str) -> bool {
    let handles = HANDLES.lock().unwrap_or_else(PoisonError::into_inner);
    handles.iter().any(|handle| text.contains(handle))
}

/// `secret('name')`: the handle that the host replaces by the secret's value.
fn secret(name: &str) -> Result<String, Error> {
    let handle = hookbox_guest::secret(name);
    if let Some(handle) = handle.clone().filter(|handle| !handle.is_empty()) {
        HANDLES
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(handle);
    }
    handle.ok_or_else(|| {
        wrong(format!(
            "there is no secret `{name}`; create it or correct the name"
        ))
    })
}

/// `tojson(indent=None)` as Jinja2's: sorted keys, ASCII only, safe within HTML.
fn tojson(
    state: &State<'_, '_>,
    value: &Value,
    indent: Option<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => kwargs.get::<Option<Value>>("indent")?,
    };
    kwargs.assert_all_used()?;
    if value.is_undefined() {
        return Err(wrong("Object of type Undefined is not JSON serializable"));
    }
    let indent = indent.filter(|indent| !indent.is_none());
    let indent = match indent {
        None => None,
        Some(indent) => Some(usize::try_from(values::index(&indent)?.clamp(0, 16)).unwrap_or(0)),
    };
    let style = Style::Json(Json {
        sort_keys: true,
        html_safe: true,
        indent,
        strict: false,
    });
    state.consume_fuel(2 * limits::CALL)?;
    let mut writer = Writer::new(style, output::affordable(state));
    writer.value(value)?;
    values::afford(state, writer.cost())?;
    Ok(json::vouch(writer.out))
}

/// NetBox's filter: the text without control characters.
fn header_safe(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    values::read(state, value)?;
    let mut text = output::to_str(state, value)?.into_owned();
    text.retain(|c| !headers::is_unsafe(c));
    Ok(text)
}
