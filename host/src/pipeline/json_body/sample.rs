//! An event made for one template: a device of NetBox's, with everything beside that the template names.

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::tags::{Token, tags, tokens};

/// Values that a sample has; templates that name more are sampled in part.
const MAX_NODES: usize = 400;
/// Steps of a path.
const MAX_DEPTH: usize = 12;
/// Bytes of a step.
const MAX_STEP: usize = 100;

/// The names at the top of an event under which senders place values.
const ROOTS: [&str; 5] = ["data", "snapshots", "context", "username", "request"];

/// Members that have few values, which templates compare with: they hold no quotes, and are left as they are.
const FIXED: [(&str, &str); 9] = [
    ("value", "active"),
    ("slug", "one"),
    ("url", "/api/dcim/devices/1/"),
    ("display_url", "/dcim/devices/1/"),
    ("color", "9e9e9e"),
    ("created", "2026-03-06T15:11:23.503186Z"),
    ("last_updated", "2026-03-06T15:11:23.503186Z"),
    ("method", "POST"),
    ("path", "/api/dcim/devices/"),
];

/// Samples of harmless texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filling {
    /// Digits, which fit into quotes and in place of a number.
    Plain,
    /// Several parts, for templates that split names.
    Parts,
}

impl Filling {
    pub(super) const ALL: [Self; 2] = [Self::Plain, Self::Parts];
}

/// Characters that make a text hostile: each of them has to be escaped in JSON.
const HOSTILE: &str = "\"\\\n";
/// Beginnings of [`HOSTILE`] in a body that escapes nothing, or quotes alone.
const RAW: [&str; 2] = ["\"\\", "\\\""];
/// Beginnings of [`HOSTILE`] in a body that escapes it as JSON.
const ESCAPED: [&str; 2] = ["\\\"\\\\\\n", "\\u0022"];

/// Digits that occur nowhere else.
pub(super) const fn token(leaf: usize) -> u64 {
    91_730_000 + leaf as u64
}

/// A value of the sample.
#[derive(Debug, Default)]
struct Node {
    members: IndexMap<String, Node>,
    is_list: bool,
}

/// The sample: a tree whose ends are texts.
#[derive(Debug)]
pub(super) struct Sample {
    root: Node,
    nodes: usize,
}

impl Sample {
    /// For this template: the usual members of NetBox's objects, and every path that it writes out, such as `data.a.b`,
    /// `data['a']['b']`, or `tag.name` in a loop over `data.tags`.
    pub(super) fn of(template: &str) -> Self {
        let mut sample = Self {
            root: Node::default(),
            nodes: 0,
        };
        for member in ["name", "display", "description", "comments", "serial"] {
            sample.add(&["data", member], false);
            sample.add(&["snapshots", "postchange", member], false);
        }
        for object in ["site", "tenant", "role", "status"] {
            for member in ["name", "display", "label", "value", "slug"] {
                sample.add(&["data", object, member], false);
            }
        }
        sample.add(&["data", "tags"], true);
        for member in ["name", "display", "slug"] {
            sample.add(&["data", "tags", member], false);
        }
        for path in [&["username"][..], &["request", "user"], &["request", "id"]] {
            sample.add(path, false);
        }
        sample.read(template);
        sample
    }

    /// Adds the paths that a template names.
    fn read(&mut self, template: &str) {
        // The names that `for` and `set` give to a path.
        let mut names: IndexMap<&str, Vec<&str>> = IndexMap::new();
        for code in tags(template) {
            let tokens = tokens(code);
            let defined = match tokens.as_slice() {
                [Token::Word("for"), Token::Word(name), Token::Word("in"), ..] => {
                    Some((*name, 3, true))
                }
                [Token::Word("set"), Token::Word(name), Token::Mark('='), ..] => {
                    Some((*name, 3, false))
                }
                _ => None,
            };
            let mut at = 0;
            while at < tokens.len() {
                let is_part = at.checked_sub(1).and_then(|i| tokens.get(i));
                let is_part = matches!(is_part, Some(Token::Mark('.' | '|')));
                let (Some(Token::Word(word)), false) = (tokens.get(at), is_part) else {
                    at += 1;
                    continue;
                };
                let mut path = match names.get(word) {
                    Some(path) => path.clone(),
                    None if ROOTS.contains(word) => vec![*word],
                    None => {
                        at += 1;
                        continue;
                    }
                };
                let begin = at;
                at += 1;
                let mut is_list = false;
                while let Some((step, length)) = step(tokens.get(at..).unwrap_or_default()) {
                    match step {
                        Some(step) => path.push(step),
                        None => is_list = true,
                    }
                    at += length;
                }
                if let Some((name, value_at, is_loop)) = defined
                    && begin == value_at
                {
                    is_list |= is_loop;
                    names.insert(name, path.clone());
                }
                self.add(&path, is_list);
            }
        }
    }

    fn add(&mut self, path: &[&str], is_list: bool) {
        if path.len() > MAX_DEPTH || path.iter().any(|step| step.len() > MAX_STEP) {
            return;
        }
        let mut node = &mut self.root;
        for step in path {
            if !node.members.contains_key(*step) {
                if self.nodes == MAX_NODES {
                    return;
                }
                self.nodes += 1;
            }
            node = node.members.entry((*step).to_owned()).or_default();
        }
        node.is_list |= is_list;
    }

    /// An event of this kind. Each text is the token of its leaf; a hostile one holds what JSON has to escape.
    pub(super) fn event(
        &self,
        event: &str,
        filling: Filling,
        is_hostile: &dyn Fn(usize) -> bool,
    ) -> Value {
        let mut leaf = 0;
        let mut text = || {
            let digits = token(leaf);
            let end = if is_hostile(leaf) { HOSTILE } else { "" };
            leaf += 1;
            let part = format!("{digits}{end}");
            match filling {
                Filling::Plain => part,
                Filling::Parts => format!("{part}-{part}-{part}.{part}/{part}:{part} {part}"),
            }
        };
        let mut context = json!({
            "event": event,
            "timestamp": "2026-03-06T15:11:23.503186+00:00",
            "object_type": "dcim.device",
            "model": "device",
        });
        if let (Value::Object(context), Value::Object(members)) =
            (&mut context, value(&self.root, "", &mut text))
        {
            context.extend(members);
            if let Some(Value::Object(data)) = context.get_mut("data") {
                data.insert("id".to_owned(), 1.into());
            }
            if let Some(Value::Object(snapshots)) = context.get_mut("snapshots") {
                let of =
                    |other: &str, snapshots: &Map<String, Value>| snapshots.get(other).cloned();
                let after = of("postchange", snapshots).unwrap_or_default();
                let before = of("prechange", snapshots).unwrap_or_else(|| after.clone());
                let is = |kind: &str, value: Value| if event == kind { Value::Null } else { value };
                snapshots.insert("prechange".to_owned(), is("created", before));
                snapshots.insert("postchange".to_owned(), is("deleted", after));
            }
        }
        context
    }

    /// The paths of the hostile values that stand in a body as they are.
    pub(super) fn paths_raw_in(&self, body: &str) -> Vec<String> {
        let mut leaf = 0;
        let mut found = Vec::new();
        visit(&self.root, &mut Vec::new(), &mut |path| {
            let digits = token(leaf).to_string();
            leaf += 1;
            let is_raw = body
                .match_indices(&digits)
                .filter_map(|(at, _)| body.get(at + digits.len()..))
                .any(|rest| {
                    RAW.iter().any(|raw| rest.starts_with(raw))
                        && !ESCAPED.iter().any(|escaped| rest.starts_with(escaped))
                });
            if is_raw {
                found.push(path.join("."));
            }
        });
        found
    }
}

/// One step of a path: a member, or an item of a list. Methods are none.
fn step<'t>(rest: &[Token<'t>]) -> Option<(Option<&'t str>, usize)> {
    match rest {
        [Token::Mark('.'), Token::Word(_), Token::Mark('('), ..] => None,
        [Token::Mark('.'), Token::Word(word), ..] => Some((Some(word), 2)),
        [Token::Mark('['), Token::Text(text), Token::Mark(']'), ..] => Some((Some(text), 3)),
        [Token::Mark('['), Token::Word(number), Token::Mark(']'), ..]
            if number.bytes().all(|b| b.is_ascii_digit()) =>
        {
            Some((None, 3))
        }
        _ => None,
    }
}

fn fixed(name: &str) -> Option<&'static str> {
    FIXED
        .iter()
        .find(|(fixed, _)| *fixed == name)
        .map(|(_, value)| *value)
}

/// The node's value; the recursion is as deep as the paths.
fn value(node: &Node, name: &str, text: &mut dyn FnMut() -> String) -> Value {
    let item = if !node.members.is_empty() {
        let members = node.members.iter();
        let members: Map<String, Value> = members
            .map(|(name, member)| (name.clone(), value(member, name, text)))
            .collect();
        Value::Object(members)
    } else if let Some(fixed) = fixed(name) {
        fixed.into()
    } else if name == "id" {
        1.into()
    } else {
        text().into()
    };
    match node.is_list {
        true => Value::Array(vec![item]),
        false => item,
    }
}

/// Calls `leaf` for each text, in the order of [`value`].
fn visit<'n>(node: &'n Node, path: &mut Vec<&'n str>, leaf: &mut dyn FnMut(&[&'n str])) {
    if node.members.is_empty() {
        let name = path.last().copied().unwrap_or_default();
        if fixed(name).is_none() && name != "id" {
            leaf(path);
        }
        return;
    }
    for (name, member) in &node.members {
        path.push(name);
        visit(member, path, leaf);
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn data(template: &str) -> Value {
        Sample::of(template).event("created", Filling::Plain, &|_| false)["data"].take()
    }

    fn is_text(value: &Value) -> bool {
        value.as_str().is_some_and(|text| text.starts_with("9173"))
    }

    #[test]
    fn every_path_that_a_template_writes_out_is_in_its_sample() {
        let data = data(
            "{{ data.a.b }}{{ data['c']['d']|upper }}{% for x in data.e.f %}{{ x.g }}{{ x }}{% endfor %}\
             {% set h = data.i %}{{ h.j }}{{ data.k.split('-')[0] }}{{ data.l[0].m }}{{ data.status.value }}",
        );
        for value in [
            &data["a"]["b"],
            &data["c"]["d"],
            &data["e"]["f"][0]["g"],
            &data["i"]["j"],
            &data["k"],
            &data["name"],
            &data["tags"][0]["name"],
        ] {
            assert!(is_text(value), "{value} {data:#}");
        }
        assert_eq!(data["status"]["value"], "active");
        assert_eq!(data["id"], 1);
    }

    #[test]
    fn what_stands_raw_is_told_by_its_path() {
        let sample = Sample::of("{{ data.a }}{{ data.b }}");
        let event = sample.event("updated", Filling::Plain, &|_| true);
        let (a, b) = (event["data"]["a"].as_str().unwrap(), &event["data"]["b"]);
        assert_eq!(
            sample.paths_raw_in(&format!("{{\"x\": \"{a}\", \"y\": {b}}}")),
            ["data.a"]
        );
        // Half of an escape is none.
        let half = a.replace('"', "\\\"");
        assert_eq!(sample.paths_raw_in(&half), ["data.a"]);
    }

    proptest! {
        #[test]
        fn a_sample_is_made_for_any_template(template in r#"(\{\{|\}\}|\{%|%\}|data|tag|for|in|set|=|\.|\[|\]|'a'|0| |x){0,40}"#) {
            Sample::of(&template).event("deleted", Filling::Parts, &|_| true);
        }
    }
}
