//! JMESPath's grammar (<https://jmespath.org/specification.html>), parsed by the strength of its operators as
//! the reference implementation does it.

use minijinja::{Error, Value};

use crate::document::{Document, string_end};
use crate::json::is_json;
use crate::py::wrong;

/// The most parts of an expression. It also bounds how deeply they nest.
const PARTS: usize = 128;

/// An expression, or a part of one.
#[derive(Debug)]
pub(super) enum Node {
    /// `@`
    Current,
    Field(String),
    Index(i64),
    Slice([Option<i64>; 3]),
    Literal(Value),
    /// `a.b` and `a | b`: the second of what the first finds.
    Then(Box<Node>, Box<Node>),
    /// `a[*].b`: the second of each item of the list that the first finds.
    Each(Box<Node>, Box<Node>),
    /// `a.*.b`: the same with a dict's values.
    EachValue(Box<Node>, Box<Node>),
    /// `a[?c].b`: the same with those items for which the third holds.
    Those(Box<Node>, Box<Node>, Box<Node>),
    /// `a[]`
    Flatten(Box<Node>),
    Or(Box<Node>, Box<Node>),
    And(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Compare(Compare, Box<Node>, Box<Node>),
    List(Vec<Node>),
    Dict(Vec<(String, Node)>),
    Call(String, Vec<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Compare {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Quoted(String),
    Number(i64),
    Literal(Value),
    Compare(Compare),
    /// All else, as it is written.
    Mark(&'static str),
    End,
}

/// The marks, longer ones before those that they begin with.
const MARKS: [&str; 17] = [
    "||", "&&", "[?", "[]", ".", "*", "]", ",", ":", "@", "(", ")", "{", "}", "[", "|", "!",
];

const COMPARISONS: [(&str, Compare); 6] = [
    ("==", Compare::Eq),
    ("!=", Compare::Ne),
    ("<=", Compare::Le),
    (">=", Compare::Ge),
    ("<", Compare::Lt),
    (">", Compare::Gt),
];

impl Token {
    /// How strongly it binds what stands before it. From 10 on, it goes on with a projection's items.
    fn power(&self) -> u8 {
        match self {
            Self::Compare(_) => 5,
            Self::Mark(mark) => match *mark {
                "|" => 1,
                "||" => 2,
                "&&" => 3,
                "[]" => 9,
                "*" => 20,
                "[?" => 21,
                "." => 40,
                "{" => 50,
                "[" => 55,
                "(" => 60,
                _ => 0,
            },
            _ => 0,
        }
    }
}

fn odd(rest: &str) -> Error {
    if rest.is_empty() {
        return wrong("`json_query` expects more after the end of the expression");
    }
    let near: String = rest.chars().take(40).collect();
    wrong(format!("`json_query` does not understand `{near}`"))
}

/// The first token, and what follows on it.
fn token(text: &str) -> Result<(Token, &str), Error> {
    let cut = |at: usize| (text.get(..at).unwrap_or(text), text.get(at..).unwrap_or(""));
    let Some(first) = text.chars().next() else {
        return Ok((Token::End, text));
    };
    match first {
        'a'..='z' | 'A'..='Z' | '_' => {
            let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
            let (name, rest) = cut(text.find(ends).unwrap_or(text.len()));
            Ok((Token::Name(name.to_owned()), rest))
        }
        '-' | '0'..='9' => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let length = digits.find(|c: char| !c.is_ascii_digit());
            let length = length.unwrap_or(digits.len());
            let (number, rest) = cut(text.len() - digits.len() + length);
            let number = number.parse().map_err(|_| odd(text))?;
            Ok((Token::Number(number), rest))
        }
        '"' => {
            let end = string_end(text.as_bytes(), 1).ok_or_else(|| odd(text))?;
            let (quoted, rest) = cut(end);
            let name = json(quoted)?;
            let name = name.as_str().ok_or_else(|| odd(text))?;
            Ok((Token::Quoted(name.to_owned()), rest))
        }
        '\'' | '`' => {
            let end = closing(text, first).ok_or_else(|| odd(text))?;
            let (_, rest) = cut(end + 1);
            let inner = text.get(1..end).unwrap_or_default();
            let value = match first {
                '\'' => Value::from(inner.replace("\\'", "'")),
                _ => json(&inner.replace("\\`", "`"))?,
            };
            Ok((Token::Literal(value), rest))
        }
        _ => {
            for (mark, compare) in COMPARISONS {
                if let Some(rest) = text.strip_prefix(mark) {
                    return Ok((Token::Compare(compare), rest));
                }
            }
            let found = MARKS
                .into_iter()
                .find_map(|mark| text.strip_prefix(mark).map(|rest| (mark, rest)));
            match found {
                Some((mark, rest)) => Ok((Token::Mark(mark), rest)),
                None => Err(odd(text)),
            }
        }
    }
}

/// Where the quote is closed that the text begins with. A backslash takes the next character along.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    let mut inner = text.char_indices().skip(1);
    inner.find_map(|(at, c)| {
        let end = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        end.then_some(at)
    })
}

fn json(text: &str) -> Result<Value, Error> {
    // What a document holds is read, and would be found to be no JSON, only when it is asked for.
    let document = is_json(text).then(|| Document::new(text)?.value());
    document.and_then(Result::ok).ok_or_else(|| {
        let near: String = text.chars().take(40).collect();
        wrong(format!("`json_query`: {near} is no valid JSON"))
    })
}

/// Reads an expression.
///
/// # Errors
/// If it is none, or has more than [`PARTS`] parts.
pub(super) fn parse(text: &str) -> Result<Node, Error> {
    let mut parser = Parser {
        token: Token::End,
        at: text,
        rest: text,
        parts: 0,
    };
    parser.advance()?;
    let node = parser.expression(0)?;
    if parser.token != Token::End {
        return Err(odd(parser.at));
    }
    Ok(node)
}

struct Parser<'t> {
    token: Token,
    /// The text from the token on.
    at: &'t str,
    /// The text after it.
    rest: &'t str,
    parts: usize,
}

impl Parser<'_> {
    /// The token, after which comes the next.
    fn advance(&mut self) -> Result<Token, Error> {
        self.at = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        let (next, rest) = token(self.at)?;
        self.rest = rest;
        Ok(std::mem::replace(&mut self.token, next))
    }

    fn is(&self, mark: &str) -> bool {
        matches!(self.token, Token::Mark(found) if found == mark)
    }

    /// Goes past the mark if it is there.
    fn skip(&mut self, mark: &str) -> Result<bool, Error> {
        let there = self.is(mark);
        if there {
            self.advance()?;
        }
        Ok(there)
    }

    fn expect(&mut self, mark: &str) -> Result<(), Error> {
        let there = self.skip(mark)?;
        there.then_some(()).ok_or_else(|| odd(self.at))
    }

    /// One more part, which may nest.
    fn count(&mut self) -> Result<(), Error> {
        self.parts += 1;
        if self.parts > PARTS {
            return Err(wrong(format!(
                "the expression of `json_query` has more than {PARTS} parts"
            )));
        }
        Ok(())
    }

    /// An expression up to an operator that does not bind as strongly.
    fn expression(&mut self, power: u8) -> Result<Node, Error> {
        let mut node = self.first()?;
        while power < self.token.power() {
            self.count()?;
            node = self.next(node)?;
        }
        Ok(node)
    }

    fn boxed(&mut self, power: u8) -> Result<Box<Node>, Error> {
        self.expression(power).map(Box::new)
    }

    /// What begins an expression.
    fn first(&mut self) -> Result<Node, Error> {
        self.count()?;
        let at = self.at;
        let mark = match self.advance()? {
            Token::Literal(value) => return Ok(Node::Literal(value)),
            Token::Quoted(_) if self.is("(") => return Err(odd(at)),
            Token::Name(name) | Token::Quoted(name) => return Ok(Node::Field(name)),
            Token::Mark(mark) => mark,
            _ => return Err(odd(at)),
        };
        match mark {
            "@" => Ok(Node::Current),
            "!" => Ok(Node::Not(self.boxed(45)?)),
            "(" => {
                let node = self.expression(0)?;
                self.expect(")")?;
                Ok(node)
            }
            "{" => self.dict(),
            "*" => {
                let each = if self.is("]") {
                    Node::Current
                } else {
                    self.items(20)?
                };
                Ok(Node::EachValue(Box::new(Node::Current), Box::new(each)))
            }
            "[" if !matches!(self.token, Token::Number(_)) && !self.any(&[":", "*"]) => self.list(),
            "[" if self.is("*") && !self.rest.trim_start().starts_with(']') => self.list(),
            "[" | "[]" | "[?" => self.brackets(Node::Current, mark),
            _ => Err(odd(at)),
        }
    }

    fn any(&self, marks: &[&str]) -> bool {
        marks.iter().any(|mark| self.is(mark))
    }

    /// What goes on with an expression.
    fn next(&mut self, left: Node) -> Result<Node, Error> {
        let at = self.at;
        let token = self.advance()?;
        let power = token.power();
        let mark = match token {
            Token::Mark(mark) => mark,
            Token::Compare(compare) => {
                return Ok(Node::Compare(compare, Box::new(left), self.boxed(power)?));
            }
            _ => return Err(odd(at)),
        };
        match (mark, left) {
            (".", left) if self.skip("*")? => {
                let each = Box::new(self.items(power)?);
                Ok(Node::EachValue(Box::new(left), each))
            }
            (".", left) => Ok(Node::Then(Box::new(left), Box::new(self.member(power)?))),
            ("|", left) => Ok(Node::Then(Box::new(left), self.boxed(power)?)),
            ("||", left) => Ok(Node::Or(Box::new(left), self.boxed(power)?)),
            ("&&", left) => Ok(Node::And(Box::new(left), self.boxed(power)?)),
            ("(", Node::Field(name)) => {
                let mut arguments = Vec::new();
                while !self.is(")") {
                    arguments.push(self.expression(0)?);
                    if !self.skip(",")? && !self.is(")") {
                        return Err(odd(self.at));
                    }
                }
                self.advance()?;
                Ok(Node::Call(name, arguments))
            }
            ("[" | "[]" | "[?", left) => self.brackets(left, mark),
            _ => Err(odd(at)),
        }
    }

    /// An index, slice, projection or filter of what stands before the bracket.
    fn brackets(&mut self, left: Node, mark: &str) -> Result<Node, Error> {
        let left = Box::new(left);
        if mark == "[]" {
            return Ok(Node::Each(
                Box::new(Node::Flatten(left)),
                Box::new(self.items(9)?),
            ));
        }
        if mark == "[?" {
            let condition = self.boxed(0)?;
            self.expect("]")?;
            let each = if self.is("[]") {
                Node::Current
            } else {
                self.items(21)?
            };
            return Ok(Node::Those(left, Box::new(each), condition));
        }
        if self.skip("*")? {
            self.expect("]")?;
            return Ok(Node::Each(left, Box::new(self.items(20)?)));
        }
        let (mut parts, mut place, mut colons) = ([None; 3], 0, 0);
        while !self.is("]") {
            let at = self.at;
            match (self.advance()?, parts.get_mut(place)) {
                (Token::Mark(":"), _) if colons < 2 => {
                    colons += 1;
                    place = colons;
                }
                (Token::Number(number), Some(part @ None)) => *part = Some(number),
                _ => return Err(odd(at)),
            }
        }
        let at = self.at;
        self.advance()?;
        match (parts, colons) {
            ([Some(index), ..], 0) => Ok(Node::Then(left, Box::new(Node::Index(index)))),
            (_, 0) => Err(odd(at)),
            _ => {
                let slice = Node::Then(left, Box::new(Node::Slice(parts)));
                Ok(Node::Each(Box::new(slice), Box::new(self.items(20)?)))
            }
        }
    }

    /// What is asked of each item of a projection.
    fn items(&mut self, power: u8) -> Result<Node, Error> {
        if self.token.power() < 10 {
            Ok(Node::Current)
        } else if self.any(&["[", "[?"]) {
            self.expression(power)
        } else {
            self.expect(".")?;
            self.member(power)
        }
    }

    /// What may follow on a dot.
    fn member(&mut self, power: u8) -> Result<Node, Error> {
        if matches!(self.token, Token::Name(_) | Token::Quoted(_)) || self.is("*") {
            self.expression(power)
        } else if self.skip("[")? {
            self.list()
        } else if self.skip("{")? {
            self.dict()
        } else {
            Err(odd(self.at))
        }
    }

    /// `[a, b]` after its bracket.
    fn list(&mut self) -> Result<Node, Error> {
        self.count()?;
        let mut items = vec![self.expression(0)?];
        while self.skip(",")? {
            items.push(self.expression(0)?);
        }
        self.expect("]")?;
        Ok(Node::List(items))
    }

    /// `{a: b}` after its bracket.
    fn dict(&mut self) -> Result<Node, Error> {
        self.count()?;
        let mut items = Vec::new();
        loop {
            let at = self.at;
            let (Token::Name(name) | Token::Quoted(name)) = self.advance()? else {
                return Err(odd(at));
            };
            self.expect(":")?;
            items.push((name, self.expression(0)?));
            if !self.skip(",")? {
                break;
            }
        }
        self.expect("}")?;
        Ok(Node::Dict(items))
    }
}
