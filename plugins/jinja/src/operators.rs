//! Operators that become functions: how far their operands reach, found by tokens.

use crate::rewrite::Pieces;
use crate::tokens::Kind;

/// The names of tags that an expression may follow at once.
const TAGS: [&str; 7] = ["set", "elif", "for", "with", "call", "include", "do"];

/// Words that no value ends with.
const WORDS: [&str; 18] = [
    "in",
    "and",
    "or",
    "not",
    "if",
    "else",
    "elif",
    "is",
    "for",
    "set",
    "with",
    "call",
    "filter",
    "recursive",
    "include",
    "import",
    "macro",
    "do",
];

const COMPARISONS: [&str; 6] = ["<", ">", "<=", ">=", "==", "!="];

/// What binds less than a comparison, or ends an expression. Tests, after `is`, bind most of all, as filters do.
const LESS: [&str; 9] = ["and", "or", "not", "in", "if", "else", ",", "=", ":"];

/// Which way to look from an operator.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Left,
    Right,
}

impl Pieces<'_> {
    /// Whether the token is what follows a point: a name there is no word of the language.
    pub(crate) fn is_member(&self, at: usize) -> bool {
        at.checked_sub(1).is_some_and(|before| self.is(before, "."))
    }

    /// Whether a value ends with this token, so that what follows is an operator or a subscript.
    pub(crate) fn ends_value(&self, at: usize) -> bool {
        match self.tokens.get(at).map(|token| token.kind) {
            Some(Kind::Name) => self.is_member(at) || !self.any(at, &WORDS),
            Some(Kind::Number | Kind::Text) => true,
            Some(Kind::Operator) => self.any(at, &[")", "]", "}"]),
            None => false,
        }
    }

    pub(crate) fn ends_before(&self, at: usize) -> bool {
        at.checked_sub(1)
            .is_some_and(|before| self.ends_value(before))
    }

    /// The last token in a direction before an open bracket ends, or one outside of brackets stops, what
    /// began there; the token itself if that is the next.
    fn reach(&self, at: usize, direction: Direction, stop: impl Fn(usize) -> bool) -> usize {
        let (opening, closing) = (["(", "[", "{"], [")", "]", "}"]);
        let (inward, outward) = match direction {
            Direction::Left => (closing, opening),
            Direction::Right => (opening, closing),
        };
        let (mut reached, mut depth) = (at, 0_usize);
        loop {
            let next = match direction {
                Direction::Left => reached.checked_sub(1),
                Direction::Right => Some(reached + 1).filter(|&next| next < self.tokens.len()),
            };
            let Some(next) = next else { break };
            if self.any(next, &inward) {
                depth += 1;
            } else if self.any(next, &outward) {
                let Some(less) = depth.checked_sub(1) else {
                    break;
                };
                depth = less;
            } else if depth == 0 && stop(next) {
                break;
            }
            reached = next;
        }
        reached
    }

    /// Puts a function in the place of an operator, around the operands; not if one is missing.
    fn put(&mut self, function: &str, first: usize, at: usize, last: usize) {
        if first == at || last == at {
            return;
        }
        if let Some(piece) = self.before.get_mut(first) {
            piece.insert_str(0, &format!("{function}(("));
        }
        self.replace(at, "),(");
        if let Some(piece) = self.after.get_mut(last) {
            piece.push_str("))");
        }
    }

    /// Whether the token is the name of the tag, after which the expression begins.
    fn is_tag(&self, at: usize) -> bool {
        at == 0 && self.any(0, &TAGS)
    }

    /// `a < b` and its like, which fail where Python knows no order. Chains of them stay as they are.
    pub(crate) fn comparisons(&mut self) {
        const FUNCTIONS: [(&str, &str); 4] =
            [("<", "__lt"), (">", "__gt"), ("<=", "__le"), (">=", "__ge")];
        for at in 0..self.tokens.len() {
            let function = FUNCTIONS.iter().find(|(operator, _)| self.is(at, operator));
            let Some((_, function)) = function.filter(|_| self.ends_before(at)) else {
                continue;
            };
            let chained = |at| !self.is_member(at) && self.any(at, &COMPARISONS);
            let first = self.reach(at, Direction::Left, |at| self.binds_less(at));
            let last = self.reach(at, Direction::Right, |at| self.binds_less(at));
            if first.checked_sub(1).is_some_and(chained) || chained(last + 1) {
                continue;
            }
            self.put(function, first, at, last);
        }
    }

    /// `a in b` and `a not in b`, which fail where Python cannot look, and are paid for by what they look
    /// through. Chains of them and of comparisons stay as they are.
    pub(crate) fn memberships(&mut self) {
        let mut of_loop = self.is(0, "for");
        for at in 0..self.tokens.len() {
            if !self.is(at, "in") || self.is_member(at) || std::mem::take(&mut of_loop) {
                continue;
            }
            // What is written as one word with a number before it was not foreseen in the environment.
            if !self.begins_word(at) {
                continue;
            }
            let negated = at.checked_sub(1).filter(|&before| self.is(before, "not"));
            let operator = negated.unwrap_or(at);
            if !self.ends_before(operator) {
                continue;
            }
            let chained = |at| {
                !self.is_member(at)
                    && !self.names_test(at)
                    && (self.any(at, &COMPARISONS)
                        || self.is(at, "in")
                        || (self.is(at, "not") && self.is(at + 1, "in")))
            };
            let ends = |at| self.binds_less(at);
            let first = self.reach(operator, Direction::Left, ends);
            let last = self.reach(at, Direction::Right, ends);
            if first == operator || first.checked_sub(1).is_some_and(chained) || chained(last + 1) {
                continue;
            }
            if let Some(not) = negated {
                self.replace(not, "");
                self.put("__not_in", first, at, last);
            } else {
                self.put("__in", first, at, last);
            }
        }
    }

    /// `a % b`, `a + b` or `a ~ b`. The left operand begins after the last operator that binds less, the right
    /// one ends before the next that binds as much or less. If that is the same one, and `many`, its operands go to
    /// the same function: nested calls would go deeper than the engine's parser.
    pub(crate) fn operator(&mut self, operator: &str, function: &str, many: bool) {
        // Sums bind least, then `~`, then products; signs before a value are no sums.
        let (outside, ending): (&[&str], &[&str]) = match operator {
            "+" => (&[], &["+", "-"]),
            "~" => (&["+", "-"], &["+", "-", "~"]),
            _ => (&["+", "-", "~"], &["+", "-", "~", "*", "/", "//", "%"]),
        };
        // Operators that belong to a call which began before.
        let mut taken = vec![false; self.tokens.len()];
        for at in 0..self.tokens.len() {
            let is_taken = taken.get(at).copied().unwrap_or(true);
            if is_taken || !self.is(at, operator) || !self.ends_before(at) {
                continue;
            }
            let ends = |at: usize, with: &[&str]| {
                self.binds_less(at) || (self.any(at, with) && self.ends_before(at))
            };
            let first = self.reach(at, Direction::Left, |at| ends(at, outside));
            let reach = |at| self.reach(at, Direction::Right, |at| ends(at, ending));
            let (mut operators, mut last) = (vec![at], reach(at));
            while many && last > at && self.is(last + 1, operator) {
                operators.push(last + 1);
                last = reach(last + 1);
            }
            if first == at || operators.last() == Some(&last) {
                continue;
            }
            self.put(function, first, at, last);
            for further in operators.into_iter().skip(1) {
                self.replace(further, "),(");
                if let Some(taken) = taken.get_mut(further) {
                    *taken = true;
                }
            }
        }
    }

    /// Whether the token is what follows `is`: the name of a test, or the `not` before it.
    fn names_test(&self, at: usize) -> bool {
        let follows_is = |at: usize| {
            at.checked_sub(1)
                .is_some_and(|before| self.is(before, "is") && !self.is_member(before))
        };
        let negated = |at: usize| {
            at.checked_sub(1)
                .is_some_and(|before| self.is(before, "not") && follows_is(before))
        };
        follows_is(at) || negated(at)
    }

    /// Whether the token ends what a sum or product could stand in.
    fn binds_less(&self, at: usize) -> bool {
        !self.is_member(at)
            && !self.names_test(at)
            && (self.is_tag(at)
                || self.any(at, &COMPARISONS)
                || self.any(at, &LESS)
                || self.is(at, "recursive"))
    }
}
