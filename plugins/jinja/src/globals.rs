//! Jinja2's global functions.

use std::cmp::Ordering as Ord;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::value::{Enumerator, Object, ObjectRepr, Rest, ValueOrKwargs};
use minijinja::{AutoEscape, Error, ErrorKind, State, Value};

use crate::args::{self, Args};
use crate::filters::html::escaped;
use crate::functions::Names;
use crate::is_tests::contains;
use crate::limits;
use crate::methods::dicts;
use crate::mutable::Pairs;
use crate::output::to_str;
use crate::percent;
use crate::slices::slice;
use crate::values::{self, Number, wrong};

type Many = Rest<ValueOrKwargs>;

/// Adds the functions, and those that [`crate::rewrite`] puts into templates.
pub(crate) fn add(environment: &mut Names<'_>) {
    environment.add_function("range", range);
    environment.add_function("dict", dict);
    environment.add_function("namespace", |state: &mut State<'_, '_>, rest: Many| {
        state.consume_fuel(2 * limits::CALL)?;
        let pairs = dicts::pairs(state, &args::values(rest))?;
        minijinja::functions::namespace(Some(dicts::dict(pairs.into_iter().collect()).into()))
    });
    environment.add_function("cycler", |state: &State<'_, '_>, rest: Many| {
        state.consume_fuel(limits::CALL)?;
        let given = args::values(rest);
        let (items, names) = args::split(&given)?;
        if items.is_empty() || !names.is_empty() {
            return Err(wrong("at least one item has to be provided, and no names"));
        }
        let (items, at) = (items.to_vec(), AtomicUsize::new(0));
        Ok(Value::from_object(Cycler { items, at }))
    });
    environment.add_function("joiner", |state: &State<'_, '_>, rest: Many| {
        state.consume_fuel(2 * limits::CALL)?;
        let sep = Args::bind(&["sep"], &args::values(rest))?.text(state, 0, ", ")?;
        let used = AtomicUsize::new(0);
        Ok::<_, Error>(Value::from_object(Joiner { sep, used }))
    });
    environment.add_function("lipsum", lipsum);
    environment.add_function("__list", |rest: Rest<Value>| values::list(rest.0));
    environment.add_function("__dict", |rest: Rest<Value>| {
        let mut pairs = Pairs::default();
        let mut all = rest.0.into_iter();
        while let (Some(key), Some(item)) = (all.next(), all.next()) {
            values::hashable(&key)?;
            pairs.insert(key, item);
        }
        Ok::<_, Error>(dicts::dict(pairs))
    });
    environment.add_function("__mod", modulo);
    environment.add_function("__add", |state: &State<'_, '_>, all: Rest<Value>| {
        let mut all = all.0.into_iter();
        let first = all.next().unwrap_or_default();
        all.try_fold(first, |sum, more| values::add(state, &sum, &more))
    });
    environment.add_function("__concat", concat);
    environment.add_function("__slice", slice);
    environment.add_global("__self", Value::from_object(Itself));
    environment.add_function("__in", contains);
    environment.add_function(
        "__not_in",
        |state: &State<'_, '_>, item: &Value, all: &Value| {
            contains(state, item, all).map(|found| !found)
        },
    );
    for (name, holds) in [
        ("__lt", Ord::is_lt as fn(Ord) -> bool),
        ("__le", Ord::is_le),
        ("__gt", Ord::is_gt),
        ("__ge", Ord::is_ge),
    ] {
        environment.add_function(name, move |state: &State<'_, '_>, a: &Value, b: &Value| {
            values::compare(state, a, b).map(holds)
        });
    }
    environment.add_function("__macro", |inner: Value, varargs: bool, kwargs: bool| {
        Value::from_object(Macro {
            inner,
            varargs,
            kwargs,
        })
    });
}

/// `range(…)`: at most 100 000 items, as in Jinja2's sandbox.
#[derive(Debug)]
pub(crate) struct Range {
    start: i64,
    stop: i64,
    step: i64,
    length: usize,
}

fn range(state: &State<'_, '_>, rest: Many) -> Result<Value, Error> {
    state.consume_fuel(limits::CALL)?;
    let given = args::values(rest);
    let args = Args::bind_places(&["start!", "stop", "step"], &given)?;
    let first = args.int(0, 0)?;
    let (start, stop) = match args.get(1) {
        Some(stop) => (first, values::index(stop)?),
        None => (0, first),
    };
    let step = args.int(2, 1)?;
    if step == 0 {
        return Err(wrong("range() arg 3 must not be zero"));
    }
    let range = Range::new(start, stop, step);
    if range.length > 100_000 {
        return Err(wrong(
            "Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000).",
        ));
    }
    Ok(Value::from_object(range))
}

impl Range {
    fn new(start: i64, stop: i64, step: i64) -> Self {
        let (from, to, by) = (i128::from(start), i128::from(stop), i128::from(step));
        let length = match by {
            1.. => (to - from + by - 1).max(0) / by,
            _ => (from - to - by - 1).max(0).checked_div(-by).unwrap_or(0),
        };
        Self {
            start,
            stop,
            step,
            length: usize::try_from(length).unwrap_or(usize::MAX),
        }
    }

    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Each `step`th of its numbers between two places in it, as Python's `range(…)[start:stop:step]`.
    pub(crate) fn part(&self, start: i128, stop: i128, step: i128) -> Self {
        let at = |place: i128| {
            let number =
                i128::from(self.start).saturating_add(place.saturating_mul(self.step.into()));
            i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
        };
        Self::new(
            at(start),
            at(stop),
            i64::try_from(step.saturating_mul(self.step.into())).unwrap_or(i64::MAX),
        )
    }
}

impl Object for Range {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let at = key.as_i64()?;
        let at = if at < 0 {
            at.checked_add(i64::try_from(self.length).ok()?)?
        } else {
            at
        };
        let inside = usize::try_from(at).is_ok_and(|at| at < self.length);
        let number = i128::from(self.start) + i128::from(at) * i128::from(self.step);
        inside.then(|| Value::from(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let (start, step) = (self.start, self.step);
        let numbers = (0..self.length).map(move |n| {
            Value::from(
                i64::try_from(n)
                    .unwrap_or(0)
                    .wrapping_mul(step)
                    .wrapping_add(start),
            )
        });
        Enumerator::Iter(Box::new(numbers))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.length)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            1 => write!(f, "range({}, {})", self.start, self.stop),
            step => write!(f, "range({}, {}, {step})", self.start, self.stop),
        }
    }
}

fn dict(state: &State<'_, '_>, rest: Many) -> Result<Value, Error> {
    let pairs = dicts::pairs(state, &args::values(rest))?;
    Ok(dicts::dict(pairs.into_iter().collect()))
}

/// `cycler(…)`.
#[derive(Debug)]
struct Cycler {
    items: Vec<Value>,
    at: AtomicUsize,
}

impl Cycler {
    fn current(&self) -> Value {
        let at = self.at.load(Ordering::Relaxed);
        self.items.get(at).cloned().unwrap_or_default()
    }
}

impl Object for Cycler {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "current" => Some(self.current()),
            "items" => Some(values::tuple(self.items.clone())),
            "pos" => Some(Value::from(self.at.load(Ordering::Relaxed))),
            _ => None,
        }
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        given: &[Value],
    ) -> Result<Value, Error> {
        Args::bind(&[], given)?;
        match method {
            "next" => {
                let current = self.current();
                let next = self.at.load(Ordering::Relaxed) + 1;
                self.at.store(
                    next.checked_rem(self.items.len()).unwrap_or(0),
                    Ordering::Relaxed,
                );
                Ok(current)
            }
            "reset" => {
                self.at.store(0, Ordering::Relaxed);
                Ok(Value::from(()))
            }
            _ => Err(ErrorKind::UnknownMethod.into()),
        }
    }
}

/// `self` without one of its blocks.
#[derive(Debug)]
struct Itself;

impl Object for Itself {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

/// `joiner(sep)`.
#[derive(Debug)]
struct Joiner {
    sep: String,
    used: AtomicUsize,
}

impl Object for Joiner {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, given: &[Value]) -> Result<Value, Error> {
        Args::bind(&[], given)?;
        Ok(match self.used.swap(1, Ordering::Relaxed) {
            0 => Value::from(""),
            _ => Value::from(self.sep.as_str()),
        })
    }
}

/// `lipsum(n=5, html=True, min=20, max=100)`: filler text, always the same one, for nothing here is
/// random.
fn lipsum(state: &State<'_, '_>, rest: Many) -> Result<Value, Error> {
    const WORDS: [&str; 19] = [
        "lorem",
        "ipsum",
        "dolor",
        "sit",
        "amet",
        "consectetur",
        "adipiscing",
        "elit",
        "sed",
        "do",
        "eiusmod",
        "tempor",
        "incididunt",
        "ut",
        "labore",
        "et",
        "dolore",
        "magna",
        "aliqua",
    ];
    let args = Args::bind(&["n", "html", "min", "max"], &args::values(rest))?;
    let (count, html) = (args.int(0, 5)?, args.flag(1, true));
    let (least, most) = (args.int(2, 20)?, args.int(3, 100)?);
    if least >= most {
        return Err(wrong("empty range for the number of words"));
    }
    let mut paragraphs = Vec::new();
    for _ in 0..count.max(0) {
        state.consume_fuel(limits::CALL)?;
        let mut text = String::new();
        for n in 0..usize::try_from(least).unwrap_or(0) {
            state.consume_fuel(1)?;
            let word = WORDS.get(n % WORDS.len()).copied().unwrap_or_default();
            if n > 0 {
                text.push(' ');
            }
            text.push_str(&if n == 0 {
                crate::methods::letters::capitalize(word)
            } else {
                word.to_owned()
            });
        }
        text.push('.');
        paragraphs.push(if html { format!("<p>{text}</p>") } else { text });
    }
    Ok(match html {
        true => Value::from_safe_string(paragraphs.join("\n")),
        false => Value::from(paragraphs.join("\n\n")),
    })
}

/// `a ~ b ~ …`.
fn concat(state: &State<'_, '_>, all: Rest<Value>) -> Result<Value, Error> {
    let all = all.0;
    let html = !matches!(state.auto_escape(), AutoEscape::None);
    let safe = html && all.iter().any(Value::is_safe);
    let mut text = String::new();
    for value in &all {
        if safe {
            text.push_str(&escaped(state, value)?);
        } else {
            text.push_str(&to_str(state, value)?);
        }
    }
    Ok(if safe {
        Value::from_safe_string(text)
    } else {
        Value::from(text)
    })
}

/// `a % b`, of numbers and of texts.
fn modulo(state: &State<'_, '_>, a: &Value, b: &Value) -> Result<Value, Error> {
    if let Some(text) = a.as_str() {
        return Ok(values::like(
            a,
            percent::format(state, text, b, a.is_safe())?,
        ));
    }
    match (Number::of(a), Number::of(b)) {
        (Some(Number::Int(a)), Some(Number::Int(b))) => {
            let rest = a
                .checked_rem(b)
                .ok_or_else(|| wrong("integer modulo by zero"))?;
            let rest = if rest != 0 && (rest < 0) != (b < 0) {
                rest + b
            } else {
                rest
            };
            Ok(Value::from(rest))
        }
        (Some(a), Some(b)) => {
            let (a, b) = (a.float(), b.float());
            if b == 0.0 {
                return Err(wrong("float modulo"));
            }
            let rest = a % b;
            Ok(Value::from(match rest {
                0.0 => 0.0_f64.copysign(b),
                rest if (rest < 0.0) != (b < 0.0) => rest + b,
                rest => rest,
            }))
        }
        _ => {
            let (left, right) = (values::type_name(a), values::type_name(b));
            Err(wrong(format!(
                "unsupported operand type(s) for %: '{left}' and '{right}'"
            )))
        }
    }
}

/// A macro that takes any arguments: `varargs` and `kwargs` are its last two parameters.
#[derive(Debug)]
pub(crate) struct Macro {
    inner: Value,
    varargs: bool,
    kwargs: bool,
}

impl Macro {
    /// The parameters that its author wrote.
    fn parameters(&self) -> Vec<Value> {
        let all = self.inner.get_attr("arguments").unwrap_or_default();
        let mut all: Vec<Value> = all.try_iter().into_iter().flatten().collect();
        all.truncate(all.len().saturating_sub(2));
        all
    }
}

impl Object for Macro {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "arguments" => Some(values::tuple(self.parameters())),
            "catch_varargs" => Some(Value::from(self.varargs)),
            "catch_kwargs" => Some(Value::from(self.kwargs)),
            name => self.inner.get_attr(name).ok(),
        }
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, given: &[Value]) -> Result<Value, Error> {
        let (places, names) = args::split(given)?;
        let parameters = self.parameters();
        let (taken, more) = places.split_at(parameters.len().min(places.len()));
        if !more.is_empty() && !self.varargs {
            return Err(ErrorKind::TooManyArguments.into());
        }
        let (mut known, mut unknown) = (Vec::new(), Pairs::default());
        for (name, value) in names {
            let key = Value::from(name.as_str());
            if name == "caller" || parameters.contains(&key) {
                known.push((name, value));
            } else if self.kwargs {
                unknown.insert(key, value);
            } else {
                return Err(wrong(format!("the macro takes no argument `{name}`")));
            }
        }
        known.push(("varargs".to_owned(), values::tuple(more.to_vec())));
        known.push(("kwargs".to_owned(), dicts::dict(unknown)));
        let mut call = taken.to_vec();
        call.push(
            known
                .into_iter()
                .collect::<minijinja::value::Kwargs>()
                .into(),
        );
        self.inner.call(state, &call)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}
