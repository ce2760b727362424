//! Jinja2's tests, where minijinja's differ from them.

use minijinja::value::{ObjectRepr, Rest, ValueKind, ValueOrKwargs};
use minijinja::{Error, ErrorKind, State, Value};

use crate::args::{self, Args};
use crate::functions::{Names, known};
use crate::limits;
use crate::methods::dicts::View;
use crate::methods::letters;
use crate::output::to_str;
use crate::percent;
use crate::values::{self, Number, wrong};

type Many = Rest<ValueOrKwargs>;

/// Adds the tests.
pub(crate) fn add(environment: &mut Names<'_>) {
    // minijinja's own, where they are Jinja2's.
    macro_rules! own {
        ($($name:literal => $test:ident),*) => {
            $(environment.add_test($name, minijinja::tests::$test);)*
        };
    }
    own!(
        "defined" => is_defined, "undefined" => is_undefined, "none" => is_none,
        "escaped" => is_safe, "boolean" => is_boolean, "number" => is_number,
        "integer" => is_integer, "float" => is_float, "string" => is_string,
        "mapping" => is_mapping, "eq" => is_eq, "equalto" => is_eq,
        "==" => is_eq, "ne" => is_ne, "!=" => is_ne, "true" => is_true, "false" => is_false
    );
    environment.add_test("sameas", |a: &Value, b: &Value| {
        !a.is_undefined() && minijinja::tests::is_sameas(a, b)
    });
    environment.add_test("callable", |value: &Value| is_callable(value));
    environment.add_test("iterable", |value: &Value| {
        !matches!(
            value.kind(),
            ValueKind::None | ValueKind::Bool | ValueKind::Number
        ) && (value.is_undefined() || value.try_iter().is_ok())
    });
    environment.add_test("sequence", |value: &Value| match value.kind() {
        ValueKind::String | ValueKind::Seq | ValueKind::Map | ValueKind::Undefined => true,
        // Sums and products of lists, and ranges.
        ValueKind::Iterable => value.downcast_object_ref::<View>().is_none(),
        _ => false,
    });
    for (name, method) in [("lower", "islower"), ("upper", "isupper")] {
        environment.add_test(name, move |state: &State<'_, '_>, value: &Value| {
            let text = to_str(state, value)?;
            Ok::<_, Error>(letters::is(method, &text) == Some(true))
        });
    }
    environment.add_test("even", |state: &State<'_, '_>, value: &Value| {
        remainder(state, value, 2).map(|rest| rest == 0.0)
    });
    environment.add_test("odd", |state: &State<'_, '_>, value: &Value| {
        remainder(state, value, 2).map(|rest| rest == 1.0)
    });
    environment.add_test(
        "divisibleby",
        |state: &State<'_, '_>, value: Value, rest: Many| {
            let args = Args::bind(&["num!"], &args::values(rest))?;
            match (Number::of(&value), Number::of(&args.value(0))) {
                (Some(Number::Int(number)), Some(Number::Int(by))) => {
                    let rest = number.checked_rem(by);
                    rest.map(|rest| rest == 0)
                        .ok_or_else(|| wrong("modulo by zero"))
                }
                (Some(number), Some(by)) if by.float() != 0.0 => {
                    Ok(number.float() % by.float() == 0.0)
                }
                (Some(_), Some(_)) => Err(wrong("modulo by zero")),
                _ => remainder(state, &value, 1).map(|_| false),
            }
        },
    );
    environment.add_test("filter", |state: &State<'_, '_>, value: &Value| {
        named(state, value, true)
    });
    environment.add_test("test", |state: &State<'_, '_>, value: &Value| {
        named(state, value, false)
    });
    for names in [
        ["lt", "lessthan", "<"],
        ["le", "<=", "le"],
        ["gt", "greaterthan", ">"],
        ["ge", ">=", "ge"],
    ] {
        for name in names {
            let [kind, ..] = names;
            environment.add_test(name, move |state: &State<'_, '_>, a: &Value, b: &Value| {
                let order = values::compare(state, a, b)?;
                Ok::<_, Error>(match kind {
                    "lt" => order.is_lt(),
                    "le" => order.is_le(),
                    "gt" => order.is_gt(),
                    _ => order.is_ge(),
                })
            });
        }
    }
    environment.add_test("in", |state: &State<'_, '_>, item: &Value, all: &Value| {
        contains(state, item, all)
    });
}

/// Macros, functions and what `joiner` gives; in Jinja2 what is undefined can be called, to fail.
fn is_callable(value: &Value) -> bool {
    let plain = |value: &Value| {
        value
            .as_object()
            .is_some_and(|o| o.repr() == ObjectRepr::Plain)
    };
    value.is_undefined()
        || plain(value)
        || value
            .downcast_object_ref::<crate::globals::Macro>()
            .is_some()
        || (value.kind() == ValueKind::Map && value.to_string().starts_with("<macro "))
}

fn unsupported(value: &Value, operator: &str) -> Error {
    if value.is_undefined() {
        return ErrorKind::UndefinedError.into();
    }
    let name = values::type_name(value);
    wrong(format!(
        "unsupported operand type(s) for {operator}: '{name}' and 'int'"
    ))
}

/// `value % by`.
fn remainder(state: &State<'_, '_>, value: &Value, by: i128) -> Result<f64, Error> {
    if let Some(text) = value.as_str() {
        // A text's `%` lays it out; what that gives is no number.
        return percent::format(state, text, &Value::from(by), value.is_safe()).map(|_| f64::NAN);
    }
    match Number::of(value) {
        Some(Number::Int(number)) => Ok(number.rem_euclid(by) as f64),
        Some(Number::Float(number)) => Ok(number.rem_euclid(by as f64)),
        None => Err(unsupported(value, "%")),
    }
}

/// `item in all`.
pub(crate) fn contains(state: &State<'_, '_>, item: &Value, all: &Value) -> Result<bool, Error> {
    if let Some(text) = all.as_str() {
        state.consume_fuel(text.len() as u64 / 64)?;
        return match item.as_str() {
            Some(item) => Ok(text.contains(item)),
            None => Err(wrong("'in <string>' requires string as left operand")),
        };
    }
    Ok(values::items(state, all)?.contains(item))
}

/// Whether a filter, or else a test, has this name.
fn named(state: &State<'_, '_>, value: &Value, filter: bool) -> Result<bool, Error> {
    values::hashable(value)?;
    state.consume_fuel(2 * limits::CALL)?;
    Ok(value.as_str().is_some_and(|name| known(name, filter)))
}
