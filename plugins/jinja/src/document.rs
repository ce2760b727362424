//! The event's JSON text as values of the engine, made only as far as a template looks into it: templates
//! use a few fields of events that have hundreds. What is written out whole never becomes values at all.

use std::sync::{Arc, OnceLock};

use hookbox_guest::Failure;
use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State, Value};

use crate::json_reader::Parser;
use crate::methods::dicts;
use crate::scan::{Class, run};
use crate::values;

/// How deep arrays and objects may nest. The host lets 64 through; the stack stands several times this.
const MAX_DEPTH: usize = 128;

/// Objects of more members than this get an index.
const FEW: usize = 32;

/// A JSON text, and where its arrays and objects end.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) text: String,
    /// In the order in which they begin.
    pub(crate) containers: Vec<Container>,
}

/// An array or object.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Container {
    /// The byte after it.
    pub(crate) end: usize,
    /// The number of the first container that begins after it.
    pub(crate) next: usize,
}

impl Document {
    /// Finds the ends of all containers in one pass, so that nothing is looked at twice however deep it
    /// lies. Whether the rest is JSON shows when it is read.
    ///
    /// # Errors
    /// A plugin error that says where a bracket or quote is missing or nests too deeply.
    pub(crate) fn new(text: &str) -> Result<Arc<Self>, Failure> {
        let bytes = text.as_bytes();
        let mut containers: Vec<Container> = Vec::new();
        let mut open: Vec<(usize, u8)> = Vec::new();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            match byte {
                b'"' => at = string_end(bytes, at).ok_or_else(|| broken("a sudden end", at))?,
                b'{' | b'[' => {
                    if open.len() == MAX_DEPTH {
                        return Err(broken("nested too deeply", at));
                    }
                    open.push((containers.len(), if byte == b'{' { b'}' } else { b']' }));
                    containers.push(Container::default());
                }
                b'}' | b']' => {
                    let next = containers.len();
                    match open.pop() {
                        Some((number, close)) if close == byte => {
                            if let Some(container) = containers.get_mut(number) {
                                *container = Container { end: at, next };
                            }
                        }
                        _ => return Err(broken("an odd bracket", at)),
                    }
                }
                _ => {}
            }
        }
        if !open.is_empty() {
            return Err(broken("a sudden end", at));
        }
        Ok(Arc::new(Self {
            text: text.to_owned(),
            containers,
        }))
    }

    /// The value of the whole text.
    ///
    /// # Errors
    /// A plugin error if it is no JSON.
    pub(crate) fn value(self: &Arc<Self>) -> Result<Value, Failure> {
        let mut parser = Parser::new(self, 0, 0);
        let value = parser.value()?;
        parser.end()?;
        Ok(value)
    }
}

/// The byte after the closing quote of the string whose opening one was just passed.
pub(crate) fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += run(bytes.get(at..)?, Class::of(b"\"\\"));
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            _ => at += 2,
        }
    }
}

pub(crate) fn broken(what: &str, at: usize) -> Failure {
    Failure::plugin_error(format!("the event is no valid JSON: {what} at byte {at}"))
}

/// An array or object of a document. What turns out to be no JSON, which a host never sends, is empty.
#[derive(Debug)]
pub(crate) struct Lazy {
    document: Arc<Document>,
    /// Where it begins.
    at: usize,
    number: usize,
    repr: ObjectRepr,
    items: OnceLock<Items>,
    /// What it became when a template changed it.
    changed: OnceLock<Value>,
}

#[derive(Debug)]
enum Items {
    List(Value),
    Members(Members),
}

impl Lazy {
    pub(crate) fn new(document: Arc<Document>, at: usize, number: usize, repr: ObjectRepr) -> Self {
        Self {
            document,
            at,
            number,
            repr,
            items: OnceLock::new(),
            changed: OnceLock::new(),
        }
    }

    /// Whether its text is no longer what it is.
    pub(crate) fn changed(&self) -> bool {
        self.changed.get().is_some()
    }

    /// The list or dict that it becomes for good.
    fn change(self: &Arc<Self>) -> &Value {
        self.changed.get_or_init(|| match self.items() {
            Items::List(list) => values::list(list.try_iter().into_iter().flatten().collect()),
            Items::Members(members) => dicts::dict(members.pairs.iter().cloned().collect()),
        })
    }

    /// The bytes of its text.
    pub(crate) fn size(&self) -> usize {
        let container = self.document.containers.get(self.number);
        container.map_or(0, |container| container.end.saturating_sub(self.at))
    }

    /// A reader of its text.
    pub(crate) fn parser(&self) -> Parser<'_> {
        Parser::new(&self.document, self.at, self.number)
    }

    fn items(&self) -> &Items {
        self.items.get_or_init(|| {
            let mut parser = self.parser();
            if self.repr == ObjectRepr::Map {
                Items::Members(Members::new(parser.object().unwrap_or_default()))
            } else {
                Items::List(Value::from(parser.array().unwrap_or_default()))
            }
        })
    }
}

impl Object for Lazy {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        self.repr
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        if let Some(changed) = self.changed.get() {
            return changed.as_object()?.get_value(key);
        }
        match self.items() {
            Items::List(list) => list.as_object()?.get_value(key),
            Items::Members(members) => members.get(key.as_str()?),
        }
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if let Some(changed) = self.changed.get() {
            return changed.as_object()?.get_value_by_str(key);
        }
        match self.items() {
            Items::List(_) => None,
            Items::Members(members) => members.get(key),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        if let Some(changed) = self.changed.get().and_then(Value::as_object) {
            return changed.enumerate();
        }
        match self.items() {
            Items::List(list) => list
                .as_object()
                .map_or(Enumerator::Empty, DynObject::enumerate),
            Items::Members(members) => {
                Enumerator::RevKeyValueIter(Box::new(members.pairs.clone().into_iter()))
            }
        }
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        if let Some(changed) = self.changed.get() {
            return changed.len();
        }
        match self.items() {
            Items::List(list) => list.as_object()?.enumerator_len(),
            Items::Members(members) => Some(members.pairs.len()),
        }
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        given: &[Value],
    ) -> Result<Value, Error> {
        const CHANGING: [&str; 11] = [
            "append",
            "extend",
            "insert",
            "pop",
            "remove",
            "sort",
            "reverse",
            "clear",
            "update",
            "setdefault",
            "popitem",
        ];
        if !CHANGING.contains(&method) {
            return Err(ErrorKind::UnknownMethod.into());
        }
        state.consume_fuel(self.size() as u64 / 64)?;
        self.change().call_method(state, method, given)
    }
}

/// The members of an object, in order.
#[derive(Debug)]
struct Members {
    pairs: Vec<(Value, Value)>,
    /// Their numbers by key, where there are many.
    index: Vec<usize>,
}

impl Members {
    fn new(pairs: Vec<(Value, Value)>) -> Self {
        let mut index = Vec::new();
        if pairs.len() > FEW {
            index.extend(0..pairs.len());
            index.sort_by_key(|&n| pairs.get(n).and_then(|m| m.0.as_str()));
        }
        Self { pairs, index }
    }

    /// Of members of the same name the last counts, as in Python.
    fn get(&self, key: &str) -> Option<Value> {
        let name = |n: usize| self.pairs.get(n).and_then(|m| m.0.as_str());
        let number = if self.index.is_empty() {
            (0..self.pairs.len())
                .rev()
                .find(|&n| name(n) == Some(key))?
        } else {
            let after = self.index.partition_point(|&n| name(n) <= Some(key));
            *self.index.get(after.checked_sub(1)?)?
        };
        let (found, value) = self.pairs.get(number)?;
        (found.as_str() == Some(key)).then(|| value.clone())
    }
}
