//! Conditions on one event, step by step.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{
    Evaluation, Leaf, Logic, Node, Test,
    compare::{any_equal, compare, found_equal},
    fuel::{Fuel, OutOfFuel},
    path::{Found, Stop, walk},
    shorten,
};
use crate::rules::TraceStep;

const SNAPSHOTS: &str = "snapshots";

pub(super) fn evaluate(
    root: &Node,
    context: &Value,
    fuel: &mut Fuel,
    max_steps: usize,
) -> Evaluation {
    let present = |key| context.get(key).filter(|v| !v.is_null());
    let data = present("data");
    let mut evaluator = Evaluator {
        data,
        snapshots: present(SNAPSHOTS)
            .or_else(|| data.and_then(|d| d.get(SNAPSHOTS)).filter(|v| !v.is_null())),
        fuel,
        max_steps,
        trace: Vec::new(),
        path: String::new(),
    };
    let result = evaluator.node(root);
    Evaluation {
        matched: matches!(result, Ok(true)),
        error: result.err(),
        trace: evaluator.trace,
    }
}

struct Evaluator<'e> {
    data: Option<&'e Value>,
    snapshots: Option<&'e Value>,
    fuel: &'e mut Fuel,
    max_steps: usize,
    trace: Vec<TraceStep>,
    path: String,
}

/// The result of one condition, and the value that it looked at.
struct Answer {
    result: Result<bool, String>,
    actual: Option<Value>,
}

/// Where a path leads.
enum Lookup<'a> {
    Found(Found<'a>),
    /// Into a snapshot that is null, as the one before an object was created: everything in it is null, if the
    /// path leads somewhere in the other snapshot or that is null too.
    NullSnapshot,
    /// The event has no data at all.
    NoData,
}

/// Why a test has no answer.
enum Unfit {
    /// The value is of a type that the operator cannot take; this is what it takes.
    Type(&'static str),
    OutOfFuel,
}

impl From<OutOfFuel> for Unfit {
    fn from(_: OutOfFuel) -> Self {
        Self::OutOfFuel
    }
}

impl<'e> Evaluator<'e> {
    /// Recursion is bounded by the depth that parsing allows.
    fn node(&mut self, node: &Node) -> Result<bool, String> {
        self.fuel.condition().map_err(|_| too_dear())?;
        match node {
            Node::Group { logic, members } => self.group(*logic, members),
            Node::Leaf(leaf) => self.leaf(leaf),
        }
    }

    fn group(&mut self, logic: Logic, members: &[Node]) -> Result<bool, String> {
        let step = self.begin(|| {
            let all = if logic == Logic::And { "all" } else { "any" };
            format!("{all} of {}", members.len())
        });
        let here = self.path.len();
        let decisive = logic == Logic::Or;
        let mut result = !decisive;
        for (i, member) in members.iter().enumerate() {
            let dot = if here == 0 { "" } else { "." };
            // Writing to a string cannot fail.
            let _ = write!(self.path, "{dot}{}[{i}]", logic.as_str());
            let answer = self.node(member);
            self.path.truncate(here);
            if answer? == decisive {
                result = decisive;
                break;
            }
        }
        if let Some(step) = step.and_then(|i| self.trace.get_mut(i)) {
            step.result = Some(result);
        }
        Ok(result)
    }

    fn leaf(&mut self, leaf: &Leaf) -> Result<bool, String> {
        let step = self.begin(|| leaf.words.to_string());
        let answer = self.answer(leaf, step.is_some());
        if let Some(step) = step.and_then(|i| self.trace.get_mut(i)) {
            step.actual = answer.actual;
            step.result = answer.result.as_ref().ok().copied();
            step.error = answer.result.as_ref().err().cloned();
        }
        answer.result
    }

    /// Adds a step, if there is room for it.
    fn begin(&mut self, condition: impl FnOnce() -> String) -> Option<usize> {
        let index = self.trace.len();
        (index < self.max_steps).then(|| {
            self.trace.push(TraceStep {
                path: self.path.clone(),
                condition: condition(),
                actual: None,
                result: None,
                error: None,
            });
            index
        })
    }

    fn answer(&mut self, leaf: &Leaf, traced: bool) -> Answer {
        let attr = &*leaf.attr;
        let only_error = |error| Answer {
            result: Err(error),
            actual: None,
        };
        if matches!(leaf.test, Test::Changed | Test::Unchanged) {
            return self.compare_snapshots(leaf, traced);
        }
        let (found, is_null_snapshot) = match self.find(attr) {
            Ok(Lookup::Found(found)) => (found, false),
            Ok(Lookup::NullSnapshot) => (Found::Value(&Value::Null), true),
            // As in NetBox: an event without data (a job that recorded none) is no error; it just does not match.
            Ok(Lookup::NoData) => {
                return Answer {
                    result: Ok(false),
                    actual: traced.then_some(Value::Null),
                };
            }
            Err(Stop::OutOfFuel) => return only_error(too_dear()),
            Err(stop) => {
                return only_error(format!(
                    "{:?} is not in the event: {}.",
                    shorten::text(attr, 100),
                    stop.words()
                ));
            }
        };
        let actual = traced.then(|| found.shortened());
        let result = match test(&leaf.test, &found, self.fuel) {
            Ok(result) => Ok(result != leaf.negate),
            Err(Unfit::OutOfFuel) => Err(too_dear()),
            // As in NetBox: the snapshot before a creation is null. Null fits no other operator, and this counts as a
            // result, not as an error.
            Err(Unfit::Type(_)) if is_null_snapshot => Ok(leaf.negate),
            Err(Unfit::Type(needed)) => Err(format!(
                "`{}` needs {needed}, and {:?} is {}.",
                leaf.test.name(),
                shorten::text(attr, 100),
                found.kind(),
            )),
        };
        Answer { result, actual }
    }

    /// The value at the path.
    fn find<'p>(&mut self, attr: &'p str) -> Result<Lookup<'e>, Stop<'e, 'p>> {
        let mut keys = attr.split('.');
        if keys.next() != Some(SNAPSHOTS) {
            return match self.data {
                Some(data) => walk(data, attr.split('.'), false, self.fuel).map(Lookup::Found),
                None => Ok(Lookup::NoData),
            };
        }
        let Some((_, path)) = attr.split_once('.') else {
            let snapshots = self.snapshots.unwrap_or(&Value::Null);
            return Ok(Lookup::Found(Found::Value(snapshots)));
        };
        let snapshots = self.snapshots.ok_or(Stop::Missing {
            key: SNAPSHOTS,
            among: None,
        })?;
        let (which, within) = path.split_once('.').unwrap_or((path, ""));
        if let Some(opposite) = opposite(which)
            && snapshots.get(which).is_some_and(Value::is_null)
        {
            let other = snapshots.get(opposite).filter(|other| !other.is_null());
            if let Some(other) = other.filter(|_| !within.is_empty()) {
                walk(other, within.split('.'), true, self.fuel)?;
            }
            return Ok(Lookup::NullSnapshot);
        }
        walk(snapshots, keys, false, self.fuel).map(Lookup::Found)
    }

    /// `changed` and `unchanged`. A snapshot in which the path leads nowhere has nothing there, which differs
    /// from everything; if that is so in both, the path is wrong or too little is known.
    fn compare_snapshots(&mut self, leaf: &Leaf, traced: bool) -> Answer {
        let mut sides = [None, None];
        let mut stopped = None;
        for (side, which) in sides.iter_mut().zip(["prechange", "postchange"]) {
            let snapshot = self.snapshots.and_then(|s| s.get(which));
            let Some(snapshot) = snapshot.filter(|s| !s.is_null()) else {
                continue;
            };
            match walk(snapshot, leaf.attr.split('.'), true, self.fuel) {
                Ok(found) => *side = Some(found),
                Err(stop) => stopped = Some(stop),
            }
        }
        let [before, after] = &sides;
        let equal = match (before, after) {
            _ if matches!(stopped, Some(Stop::OutOfFuel)) => Err(too_dear()),
            (None, None) => {
                let attr = shorten::text(&leaf.attr, 100);
                let op = leaf.test.name();
                Err(match stopped {
                    None => {
                        format!("The event has no snapshots for `{op}` to compare {attr:?} in.")
                    }
                    Some(stop) => format!(
                        "{attr:?} is in neither snapshot: {}. Snapshots hold raw values: \"status\", not \
                         \"status.value\".",
                        stop.words()
                    ),
                })
            }
            (Some(a), Some(b)) => found_equal(a, b, self.fuel).map_err(|_| too_dear()),
            _ => Ok(false),
        };
        let unchanged = matches!(leaf.test, Test::Unchanged);
        let actual = traced.then(|| {
            let mut shown = Map::new();
            for (side, name) in sides.iter().zip(["prechange", "postchange"]) {
                if let Some(found) = side {
                    shown.insert(name.to_owned(), found.shortened());
                }
            }
            Value::Object(shown)
        });
        Answer {
            result: equal.map(|equal| (equal == unchanged) != leaf.negate),
            actual,
        }
    }
}

fn opposite(which: &str) -> Option<&'static str> {
    match which {
        "prechange" => Some("postchange"),
        "postchange" => Some("prechange"),
        _ => None,
    }
}

fn too_dear() -> String {
    "The conditions take too much work on this event; compare shorter lists or use simpler patterns."
        .to_owned()
}

/// Applies an operator, `negate` aside.
fn test(test: &Test, found: &Found<'_>, fuel: &mut Fuel) -> Result<bool, Unfit> {
    Ok(match test {
        Test::Equals(reference) => found_equal(found, &Found::Value(reference), fuel)?,
        Test::Compares(order, reference) => {
            fuel.step(0)?;
            let Found::Value(value) = found else {
                return Err(Unfit::Type("a number"));
            };
            order.holds(compare(value, reference).ok_or(Unfit::Type("a number"))?)
        }
        Test::IsIn(list) => any_equal(list.iter(), found, fuel)?,
        Test::Contains(reference) => contains(found, reference, fuel)?,
        Test::Matches(pattern) => match found {
            Found::Value(Value::String(text)) => pattern.is_match(text, fuel)?,
            _ => return Err(Unfit::Type("text")),
        },
        // Answered from the snapshots, before a value is looked up.
        Test::Changed | Test::Unchanged => return Err(Unfit::Type("snapshots")),
    })
}

/// Python's `reference in found`: a part of a text, an element of a list, a key of an object.
fn contains(found: &Found<'_>, reference: &Value, fuel: &mut Fuel) -> Result<bool, Unfit> {
    Ok(match (found, reference) {
        (Found::List(items), _) => {
            any_equal(items.iter().copied(), &Found::Value(reference), fuel)?
        }
        (Found::Value(Value::Array(items)), _) => {
            any_equal(items.iter(), &Found::Value(reference), fuel)?
        }
        (Found::Value(Value::String(text)), Value::String(part)) => {
            fuel.step(text.len() + part.len())?;
            text.contains(part.as_str())
        }
        // A list cannot be a key, not even a wrong one.
        (Found::Value(Value::String(_)), _) | (Found::Value(Value::Object(_)), Value::Array(_)) => {
            return Err(Unfit::Type("a list, or text as its value,"));
        }
        (Found::Value(Value::Object(map)), Value::String(key)) => {
            fuel.step(key.len())?;
            map.contains_key(key)
        }
        (Found::Value(Value::Object(_)), _) => false,
        (Found::Value(_), _) => return Err(Unfit::Type("text, a list or an object")),
    })
}
