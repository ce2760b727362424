//! Filters that apply other filters and tests, and hand arguments on to them.

use minijinja::value::{Rest, ValueOrKwargs};
use minijinja::{Error, ErrorKind, State, Value};

use crate::args::{self, Args};
use crate::functions::Names;
use crate::limits;
use crate::values::{self, Path, items, wrong};

type Many = Rest<ValueOrKwargs>;

/// Adds the filters that hand arguments on.
pub(crate) fn add(environment: &mut Names<'_>) {
    environment.add_filter("map", |s: &mut State<'_, '_>, v: Value, r: Many| {
        map(s, &v, r)
    });
    environment.add_filter("select", |s: &mut State<'_, '_>, v: Value, r: Many| {
        choose(s, &v, r, false, true)
    });
    environment.add_filter("reject", |s: &mut State<'_, '_>, v: Value, r: Many| {
        choose(s, &v, r, false, false)
    });
    environment.add_filter("selectattr", |s: &mut State<'_, '_>, v: Value, r: Many| {
        choose(s, &v, r, true, true)
    });
    environment.add_filter("rejectattr", |s: &mut State<'_, '_>, v: Value, r: Many| {
        choose(s, &v, r, true, false)
    });
    environment.add_filter("format", |s: &mut State<'_, '_>, v: Value, r: Many| {
        super::strings::format(s, &v, &args::values(r))
    });
}

/// `map(filter, *args)`, or `map(attribute=…, default=…)`.
fn map(state: &mut State<'_, '_>, value: &Value, rest: Many) -> Result<Value, Error> {
    state.consume_fuel(2 * limits::CALL)?;
    let given = args::values(rest);
    let (places, names) = args::split(&given)?;
    let all = if value.is_true() {
        items(state, value)?
    } else {
        Vec::new()
    };
    let mut out = Vec::with_capacity(all.len());
    if let (true, Some(_)) = (
        places.is_empty(),
        names.iter().find(|(n, _)| n == "attribute"),
    ) {
        let args = Args::bind(&["attribute", "default"], &given)?;
        let path = Path::new(args.get(0));
        for item in all {
            out.push(path.of(state, &item, args.some(1))?);
        }
        return Ok(values::list(out));
    }
    let Some((name, _)) = places.split_first() else {
        return Err(wrong("map requires a filter argument"));
    };
    let name = name
        .as_str()
        .ok_or_else(|| wrong("the filter's name has to be a text"))?;
    let mut call: Vec<Value> = given.clone();
    for item in all {
        if let Some(first) = call.first_mut() {
            *first = item;
        }
        state.consume_fuel(2)?;
        out.push(state.apply_filter(name, &call).map_err(at_runtime)?);
    }
    Ok(values::list(out))
}

/// A name that is only known when the template runs is no fault of its syntax.
fn at_runtime(error: Error) -> Error {
    match error.kind() {
        ErrorKind::UnknownFilter | ErrorKind::UnknownTest => wrong(error.to_string()),
        _ => error,
    }
}

/// `select`, `reject` and, by an attribute, `selectattr` and `rejectattr`.
fn choose(
    state: &mut State<'_, '_>,
    value: &Value,
    rest: Many,
    by_attribute: bool,
    wanted: bool,
) -> Result<Value, Error> {
    state.consume_fuel(limits::CALL)?;
    let given = args::values(rest);
    let (path, given) = match given.split_first() {
        Some((path, given)) if by_attribute && !path.is_kwargs() => (Path::new(Some(path)), given),
        _ if by_attribute => return Err(wrong("Missing parameter for attribute name")),
        _ => (Path::default(), given.as_slice()),
    };
    let all = if value.is_true() {
        items(state, value)?
    } else {
        Vec::new()
    };
    let mut out = Vec::new();
    let mut call = given.to_vec();
    for item in all {
        let tested = path.of(state, &item, None)?;
        let holds = match given.first().map(|name| (name, name.as_str())) {
            None => tested.is_true(),
            Some((_, Some(name))) => {
                state.consume_fuel(limits::CALL)?;
                if let Some(first) = call.first_mut() {
                    *first = tested;
                }
                state.perform_test(name, &call).map_err(at_runtime)?
            }
            Some(_) => return Err(wrong("the test's name has to be a text")),
        };
        if holds == wanted {
            out.push(item);
        }
    }
    Ok(values::list(out))
}
