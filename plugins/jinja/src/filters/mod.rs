//! Jinja2's filters, with Jinja2's arguments, by place and by name; and those that its users miss.
//!
//! minijinja has most of them, but with arguments, defaults and errors of its own: what Jinja2's own
//! documentation describes is made here, on minijinja's extension points alone.

use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Rest, ValueOrKwargs};
use minijinja::{Error, State, Value};

use crate::args::{self, Args};
use crate::functions::Names;
use crate::{limits, values};

pub(crate) mod apply;
pub(crate) mod extra;
pub(crate) mod html;
pub(crate) mod net;
pub(crate) mod numbers;
mod order;
mod pattern;
pub(crate) mod regex;
pub(crate) mod sequences;
pub(crate) mod strings;
mod strptime;
pub(crate) mod time;
pub(crate) mod wrap;

/// A filter: what it is called, its parameters after the value, and what it does.
pub(crate) struct Filter {
    pub(crate) names: &'static [&'static str],
    pub(crate) parameters: &'static [&'static str],
    pub(crate) apply: Apply,
}

/// What a filter makes of a value.
pub(crate) type Apply = fn(&mut State<'_, '_>, &Value, &Args) -> Result<Value, Error>;

/// The filters, and whether they read a text that they are called on from end to end. Of the others, those
/// that do take their own price for it.
const TABLES: [(&[Filter], bool); 5] = [
    (strings::FILTERS, true),
    (html::FILTERS, true),
    (numbers::FILTERS, true),
    (sequences::FILTERS, false),
    (extra::FILTERS, false),
];

/// Adds the filters.
pub(crate) fn add(names: &mut Names<'_>) {
    for (filters, reads) in TABLES {
        for filter in filters {
            for name in filter.names {
                names.add_filter(name, call(filter, reads));
            }
        }
    }
}

fn call(
    filter: &'static Filter,
    reads: bool,
) -> impl Fn(&mut State<'_, '_>, Value, Rest<ValueOrKwargs>) -> Result<Value, Error> + Send + Sync {
    move |state: &mut State<'_, '_>, value: Value, rest: Rest<ValueOrKwargs>| {
        state.consume_fuel(limits::CALL)?;
        if reads {
            values::read(state, &value)?;
        }
        let arguments = Args::bind(filter.parameters, &args::values(rest))?;
        (filter.apply)(state, &value, &arguments)
    }
}

/// What `groupby` yields: a tuple whose parts have names, too.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) grouper: Value,
    pub(crate) list: Value,
}

impl Object for Group {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match (key.as_str(), key.as_i64()) {
            (Some("grouper"), _) | (_, Some(0)) => Some(self.grouper.clone()),
            (Some("list"), _) | (_, Some(1)) => Some(self.list.clone()),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(2)
    }
}
