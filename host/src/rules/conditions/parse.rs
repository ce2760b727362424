//! From untrusted JSON to [`Conditions`], or to a list of what is wrong with it.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{
    ConditionLimits, Conditions, Leaf, Logic, Node, Test, compare::Order, path::kind,
    pattern::Pattern, shorten,
};
use crate::model::FieldErrors;

/// However high the limit is set, groups are evaluated by recursion.
const MAX_DEPTH: usize = 100;
/// Lists and objects inside each other in a `value`.
const MAX_VALUE_DEPTH: usize = 32;
/// Errors that are collected before the rest is left unread.
const MAX_ERRORS: usize = 20;
const OPERATORS: [&str; 10] = [
    "eq",
    "gt",
    "gte",
    "lt",
    "lte",
    "in",
    "contains",
    "regex",
    "changed",
    "unchanged",
];
const KEYS: [&str; 4] = ["attr", "value", "op", "negate"];
const HELP: &str = "A condition is {\"attr\": …, \"op\": …, \"value\": …}, a group is {\"and\": […]} or {\"or\": […]}";

pub(super) fn parse(
    json: &Value,
    limits: ConditionLimits,
    pattern_bytes: usize,
) -> Result<Option<Conditions>, FieldErrors> {
    // NetBox asks Python whether there are any.
    if !truthy(json) {
        return Ok(None);
    }
    let depth = limits.depth.min(MAX_DEPTH);
    check_size(json, limits.bytes, depth)?;
    let mut parser = Parser {
        depth,
        count: limits.count,
        nodes: 0,
        pattern_bytes,
        errors: FieldErrors::default(),
        path: "conditions".to_owned(),
    };
    let root = parser.node(json, 0);
    let used = pattern_bytes - parser.pattern_bytes;
    match root {
        Some(root) if parser.errors.0.is_empty() => Ok(Some(Conditions {
            root,
            pattern_bytes: used,
        })),
        _ => Err(parser.errors),
    }
}

/// Walks the whole with a stack of its own before anything recursive touches it, and stops at the first limit.
fn check_size(json: &Value, max_bytes: usize, depth: usize) -> Result<(), FieldErrors> {
    // Each group is an object and a list; around a value are its condition and that condition's group.
    let max_depth = 2 * depth + 1 + MAX_VALUE_DEPTH;
    let mut bytes = 0_usize;
    let mut pending = vec![(json, 1_usize)];
    while let Some((value, depth)) = pending.pop() {
        if depth > max_depth {
            return Err(FieldErrors::one(
                "conditions",
                format!("They are nested more than {max_depth} deep; flatten them."),
            ));
        }
        bytes = bytes.saturating_add(match value {
            Value::Null => 5,
            Value::Bool(_) => 6,
            Value::Number(n) => n.to_string().len() + 1,
            Value::String(s) => s.len() + 3,
            Value::Array(_) | Value::Object(_) => 3,
        });
        if let Value::Object(map) = value {
            bytes = map
                .keys()
                .fold(bytes, |sum, k| sum.saturating_add(k.len() + 3));
        }
        if bytes > max_bytes {
            return Err(FieldErrors::one(
                "conditions",
                format!(
                    "They are longer than {max_bytes} bytes as JSON; split them over several rules."
                ),
            ));
        }
        match value {
            Value::Array(items) => pending.extend(items.iter().map(|v| (v, depth + 1))),
            Value::Object(map) => pending.extend(map.values().map(|v| (v, depth + 1))),
            _ => {}
        }
    }
    Ok(())
}

struct Parser {
    depth: usize,
    count: usize,
    nodes: usize,
    /// Bytes that compiled patterns may still use.
    pattern_bytes: usize,
    errors: FieldErrors,
    path: String,
}

impl Parser {
    fn error<T>(&mut self, key: &str, message: impl Into<String>) -> Option<T> {
        let field = if key.is_empty() {
            self.path.clone()
        } else {
            format!("{}.{key}", self.path)
        };
        self.errors.add(field, message);
        None
    }

    /// A group or a condition; nothing if an error was added. Depth counts the groups around it.
    fn node(&mut self, json: &Value, depth: usize) -> Option<Node> {
        self.nodes += 1;
        if self.nodes == self.count.saturating_add(1) {
            let message = format!(
                "There are more than {} conditions and groups; split them over several rules.",
                self.count
            );
            self.errors.add("conditions", message);
        }
        if self.nodes > self.count {
            return None;
        }
        let Value::Object(map) = json else {
            return self.error("", format!("This is {}. {HELP}.", kind(json)));
        };
        let mut keys = map.iter();
        let (Some((key, members)), None) = (keys.next(), keys.next()) else {
            return self.leaf(map).map(Node::Leaf);
        };
        let logic = match key.as_str() {
            "and" => Logic::And,
            "or" => Logic::Or,
            other if other.eq_ignore_ascii_case("and") || other.eq_ignore_ascii_case("or") => {
                return self.error(
                    "",
                    format!("Write {:?} in lower case.", shorten::text(other, 3)),
                );
            }
            _ => return self.leaf(map).map(Node::Leaf),
        };
        let Value::Array(members) = members else {
            let message = format!(
                "This is {}; it must be a list of conditions.",
                kind(members)
            );
            return self.error(logic.as_str(), message);
        };
        if depth >= self.depth {
            let message = format!(
                "Groups are nested more than {} deep; flatten them.",
                self.depth
            );
            return self.error("", message);
        }
        self.group(logic, members, depth)
    }

    fn group(&mut self, logic: Logic, members: &[Value], depth: usize) -> Option<Node> {
        let here = self.path.len();
        let mut nodes = Vec::with_capacity(members.len().min(self.count));
        for (i, member) in members.iter().enumerate() {
            if self.errors.0.len() >= MAX_ERRORS || self.nodes > self.count {
                break;
            }
            // Writing to a string cannot fail.
            let _ = write!(self.path, ".{}[{i}]", logic.as_str());
            let node = self.node(member, depth + 1);
            self.path.truncate(here);
            nodes.extend(node);
        }
        Some(Node::Group {
            logic,
            members: nodes,
        })
    }

    fn leaf(&mut self, map: &Map<String, Value>) -> Option<Leaf> {
        let before = self.errors.0.len();
        for key in map.keys().filter(|k| !KEYS.contains(&k.as_str())).take(3) {
            self.error::<()>(
                "",
                format!(
                    "There is an unknown key {:?}. {HELP}.",
                    shorten::text(key, 50)
                ),
            );
        }
        let attr = match map.get("attr") {
            Some(Value::String(attr)) => Some(attr),
            Some(other) => self.error(
                "attr",
                format!(
                    "This is {}; it must be text, such as \"status.value\".",
                    kind(other)
                ),
            ),
            None => self.error("attr", format!("This is missing. {HELP}.")),
        };
        let op = match map.get("op") {
            None => Some("eq"),
            Some(Value::String(op)) => {
                OPERATORS.into_iter().find(|known| known == op).or_else(|| {
                    let near = OPERATORS
                        .into_iter()
                        .find(|known| known.eq_ignore_ascii_case(op));
                    let hint = near
                        .map(|n| format!(" Did you mean {n:?}?"))
                        .unwrap_or_default();
                    let op = shorten::text(op, 30);
                    self.error(
                        "op",
                        format!(
                            "{op:?} is not an operator. They are {}.{hint}",
                            OPERATORS.join(", ")
                        ),
                    )
                })
            }
            Some(other) => self.error(
                "op",
                format!(
                    "This is {}; it must be one of {}.",
                    kind(other),
                    OPERATORS.join(", ")
                ),
            ),
        };
        let negate = map.get("negate").is_some_and(truthy);
        let (attr, op) = (attr?, op?);
        let test = self.test(attr, op, map.get("value"))?;
        if self.errors.0.len() > before {
            return None;
        }
        let words = words(attr, op, map.get("value"), negate);
        Some(Leaf {
            attr: attr.as_str().into(),
            test,
            negate,
            words: words.into(),
        })
    }

    /// The operator with its value; which values an operator takes is NetBox's table.
    fn test(&mut self, attr: &str, op: &str, value: Option<&Value>) -> Option<Test> {
        if matches!(op, "changed" | "unchanged") {
            if value.is_some() {
                return self.error(
                    "value",
                    format!("{op:?} compares the snapshots and takes no value; leave it out."),
                );
            }
            if attr.starts_with("snapshots.") {
                return self.error(
                    "attr",
                    format!("{op:?} looks into both snapshots by itself; write the bare attribute, such as \"status\"."),
                );
            }
            return Some(if op == "changed" {
                Test::Changed
            } else {
                Test::Unchanged
            });
        }
        let Some(value) = value else {
            return self.error(
                "value",
                format!("This is missing; {op:?} needs something to compare with."),
            );
        };
        let order = match op {
            "gt" => Some(Order::Gt),
            "gte" => Some(Order::Gte),
            "lt" => Some(Order::Lt),
            "lte" => Some(Order::Lte),
            _ => None,
        };
        match (op, value, order) {
            (_, Value::Object(_), _) => {
                self.error("value", "This is an object; conditions compare with text, numbers, booleans, lists or null.")
            }
            ("eq", _, _) => Some(Test::Equals(value.clone())),
            ("contains", Value::Null, _) => self.error("value", "This is null; `contains` needs text, a number, a boolean or a list."),
            ("contains", _, _) => Some(Test::Contains(value.clone())),
            ("in", Value::Array(items), _) => Some(Test::IsIn(items.clone())),
            ("in", _, _) => self.error("value", format!("This is {}; `in` needs a list.", kind(value))),
            (_, Value::Number(_), Some(order)) => Some(Test::Compares(order, value.clone())),
            (_, _, Some(_)) => self.error("value", format!("This is {}; {op:?} needs a number.", kind(value))),
            (_, Value::String(python), None) => self.pattern(python),
            (_, _, None) => self.error("value", format!("This is {}; `regex` needs text.", kind(value))),
        }
    }

    fn pattern(&mut self, python: &str) -> Option<Test> {
        match Pattern::compile(python, self.pattern_bytes) {
            Ok(pattern) if pattern.bytes() <= self.pattern_bytes => {
                self.pattern_bytes -= pattern.bytes();
                Some(Test::Matches(pattern))
            }
            Ok(_) => self.error(
                "value",
                "The patterns are too large together; use fewer, or simpler ones.",
            ),
            Err(message) => self.error("value", message),
        }
    }
}

/// As Python's `bool()`.
pub(crate) fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(s) => !s.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

fn words(attr: &str, op: &str, value: Option<&Value>, negate: bool) -> String {
    let not = if negate { "not " } else { "" };
    let attr = shorten::text(attr, 100);
    match value {
        Some(value) => format!("{not}{attr} {op} {}", shorten::json(value)),
        None => format!("{not}{attr} {op}"),
    }
}
