//! Arguments as Python binds them: by place, by name, or left out.

use minijinja::value::{Kwargs, Rest, ValueOrKwargs};
use minijinja::{Error, ErrorKind, State, Value};

use crate::output;
use crate::values::{self, wrong};

/// The arguments of a call, in the order of its parameters.
#[derive(Debug, Default)]
pub(crate) struct Args(Vec<Option<Value>>);

impl Args {
    /// Binds arguments to parameters. A name that ends in `!` has to be given; one that begins with `*` is
    /// only taken by name.
    ///
    /// # Errors
    /// As in Python: too many, an unknown name, one given twice, or one missing.
    pub(crate) fn bind(parameters: &[&str], given: &[Value]) -> Result<Self, Error> {
        let (places, names) = split(given)?;
        let named = |place: usize| parameters.get(place).is_some_and(|p| p.starts_with('*'));
        if places.len() > parameters.len() || places.len().checked_sub(1).is_some_and(named) {
            let most = parameters
                .iter()
                .take_while(|p| !p.starts_with('*'))
                .count();
            return Err(Error::new(
                ErrorKind::TooManyArguments,
                format!("{} arguments were given, {most} are taken", places.len()),
            ));
        }
        let mut bound: Vec<Option<Value>> = places.iter().cloned().map(Some).collect();
        bound.resize(parameters.len(), None);
        for (name, value) in names {
            let at = parameters
                .iter()
                .position(|parameter| parameter.trim_matches(['!', '*']) == name);
            match at.and_then(|at| bound.get_mut(at)) {
                Some(slot @ None) => *slot = Some(value),
                Some(Some(_)) => {
                    return Err(wrong(format!("the argument `{name}` was given twice")));
                }
                None => return Err(wrong(format!("there is no argument `{name}`"))),
            }
        }
        for (parameter, value) in parameters.iter().zip(&bound) {
            if let (Some(name), None) = (parameter.strip_suffix('!'), value) {
                return Err(Error::new(
                    ErrorKind::MissingArgument,
                    format!("the argument `{name}` is missing"),
                ));
            }
        }
        Ok(Self(bound))
    }

    /// Binds arguments to parameters that have no names in Python.
    ///
    /// # Errors
    /// As [`Self::bind`], and if there is one by name.
    pub(crate) fn bind_places(parameters: &[&str], given: &[Value]) -> Result<Self, Error> {
        match given.last() {
            Some(last) if last.is_kwargs() => Err(wrong("it takes no arguments by name")),
            _ => Self::bind(parameters, given),
        }
    }

    /// The argument, if it was given.
    pub(crate) fn get(&self, at: usize) -> Option<&Value> {
        self.0.get(at).and_then(Option::as_ref)
    }

    /// The argument, or undefined.
    pub(crate) fn value(&self, at: usize) -> Value {
        self.get(at).cloned().unwrap_or_default()
    }

    /// The argument, if it was given and is not `None`.
    pub(crate) fn some(&self, at: usize) -> Option<&Value> {
        self.get(at).filter(|value| !value.is_none())
    }

    /// Whether the argument is true in Python's sense.
    pub(crate) fn flag(&self, at: usize, default: bool) -> bool {
        self.get(at).map_or(default, Value::is_true)
    }

    /// An integer argument.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn int(&self, at: usize, default: i64) -> Result<i64, Error> {
        self.get(at).map_or(Ok(default), values::index)
    }

    /// `str(argument)`.
    ///
    /// # Errors
    /// If the text costs too much.
    pub(crate) fn text(
        &self,
        state: &State<'_, '_>,
        at: usize,
        default: &str,
    ) -> Result<String, Error> {
        match self.get(at) {
            Some(value) => output::to_str(state, value).map(String::from),
            None => Ok(default.to_owned()),
        }
    }
}

/// Arguments by name.
pub(crate) type Named = Vec<(String, Value)>;

/// Arguments by place and those by name.
///
/// # Errors
/// If a name is no text.
pub(crate) fn split(given: &[Value]) -> Result<(&[Value], Named), Error> {
    match given.split_last() {
        Some((last, places)) if last.is_kwargs() => {
            let kwargs = Kwargs::try_from(last.clone())?;
            let mut names = Vec::new();
            for name in kwargs.args() {
                names.push((name.to_owned(), kwargs.peek(name)?));
            }
            Ok((places, names))
        }
        _ => Ok((given, Vec::new())),
    }
}

/// The plain values of what a function of any arguments was given; named ones are the last.
pub(crate) fn values(rest: Rest<ValueOrKwargs>) -> Vec<Value> {
    rest.0.into_iter().map(ValueOrKwargs::into_value).collect()
}
