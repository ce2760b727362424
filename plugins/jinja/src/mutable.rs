//! Lists and dicts that change in place, as Python's do.
//!
//! minijinja's own never change, and its parser makes constants of literals. What templates make with
//! filters and methods are therefore these; literals are, where a template calls a method that changes
//! something (see [`crate::rewrite`]); and arrays and objects of the event turn into them at the first
//! change (see [`crate::document::Lazy`]).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error, State, Value};

use crate::methods;

/// A Python list.
#[derive(Debug, Default)]
pub(crate) struct List(Mutex<Vec<Value>>);

impl List {
    pub(crate) fn new(items: Vec<Value>) -> Self {
        Self(Mutex::new(items))
    }

    /// Its items. Never held while code of a template or another value's runs.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.lock().get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.lock().len())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.lock().len())
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        given: &[Value],
    ) -> Result<Value, Error> {
        methods::lists::changing(state, self, method, given)
    }
}

/// A Python dict: pairs in the order in which their keys came.
#[derive(Debug, Default)]
pub(crate) struct Dict(Mutex<Pairs>);

/// The pairs of a dict.
#[derive(Debug, Default)]
pub(crate) struct Pairs(indexmap::IndexMap<Value, Value>);

impl Pairs {
    pub(crate) fn get(&self, key: &Value) -> Option<&Value> {
        self.0.get(key)
    }

    pub(crate) fn insert(&mut self, key: Value, value: Value) {
        self.0.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &Value) -> Option<Value> {
        self.0.shift_remove(key)
    }

    pub(crate) fn pop(&mut self) -> Option<(Value, Value)> {
        self.0.pop()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Value, &Value)> {
        self.0.iter()
    }
}

impl FromIterator<(Value, Value)> for Pairs {
    fn from_iter<T: IntoIterator<Item = (Value, Value)>>(pairs: T) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl Dict {
    pub(crate) fn new(pairs: Pairs) -> Self {
        Self(Mutex::new(pairs))
    }

    /// Its pairs. Never held while code of a template or another value's runs.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Pairs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Object for Dict {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.lock().get(key).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.lock().iter().map(|(key, _)| key.clone()).collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.lock().len())
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        given: &[Value],
    ) -> Result<Value, Error> {
        methods::dicts::changing(state, self, method, given)
    }
}
