//! `wordwrap`: Python's `textwrap`, as Jinja2 uses it.

use minijinja::{Error, State, Value};

use crate::args::Args;
use crate::limits;
use crate::values::{self, is_space, lines, wrong};

/// `wordwrap(width=79, break_long_words=True, wrapstring=None, break_on_hyphens=True)`.
pub(crate) fn wordwrap(
    state: &mut State<'_, '_>,
    value: &Value,
    args: &Args,
) -> Result<Value, Error> {
    let Some(text) = value.as_str() else {
        let name = values::type_name(value);
        return Err(wrong(format!("only text can be wrapped, not '{name}'")));
    };
    let width = args.int(0, 79)?;
    let wrap = args
        .some(2)
        .map_or(Ok("\n".to_owned()), |_| args.text(state, 2, "\n"))?;
    let (long, hyphens) = (args.flag(1, true), args.flag(3, true));
    let mut out: Vec<String> = Vec::new();
    for line in lines(text, false) {
        state.consume_fuel(limits::CALL + line.len() as u64)?;
        let Some(width) = usize::try_from(width).ok().filter(|&width| width > 0) else {
            return Err(wrong(format!("invalid width {width} (must be > 0)")));
        };
        let chars: Vec<char> = line.chars().collect();
        let pieces = chunks(&chars, hyphens);
        // Each piece may become a line, and each line is of one piece at least or as wide as may be.
        let most = pieces.len().saturating_add(chars.len() / width);
        state.consume_fuel((most as u64).saturating_mul(limits::ITEM))?;
        let filled = fill(pieces, width, long, hyphens);
        values::afford(state, filled.len().saturating_mul(wrap.len()))?;
        out.push(filled.join(&wrap));
    }
    values::afford(state, out.len().saturating_mul(wrap.len()))?;
    // Safe if what joins the lines is, whatever the text was.
    Ok(values::like(&args.value(2), out.join(&wrap)))
}

/// What `textwrap` breaks lines at, which is less than Python calls white space.
fn is_break(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_letter(c: char) -> bool {
    is_word(c) && !c.is_numeric()
}

/// The text in the pieces between which a line may end.
fn chunks(chars: &[char], hyphens: bool) -> Vec<&[char]> {
    let at = |n: Option<usize>| n.and_then(|n| chars.get(n)).copied();
    let mut chunks = Vec::new();
    let mut from = 0;
    while let Some(&first) = chars.get(from) {
        let mut to = from + 1;
        if is_break(first) {
            while at(Some(to)).is_some_and(is_break) {
                to += 1;
            }
        } else {
            // A run of dashes between words stands for itself.
            let dash = |n: usize| {
                let before = at(n.checked_sub(1));
                let before = before.is_some_and(|c| is_word(c) || "!\"'&.,?".contains(c));
                if !hyphens || !before {
                    return None;
                }
                let mut end = n;
                while at(Some(end)) == Some('-') {
                    end += 1;
                }
                (end - n >= 2 && at(Some(end)).is_some_and(is_word)).then_some(end)
            };
            if let Some(end) = dash(from) {
                to = end;
            } else {
                while let Some(next) = at(Some(to)) {
                    let hyphenated = hyphens && at(to.checked_sub(1)) == Some('-') && {
                        let before = |n| at(to.checked_sub(n)).is_some_and(is_letter);
                        let apart = at(to.checked_sub(3)) == Some('-') && before(4);
                        let begun = to.saturating_sub(1) > from;
                        let after = is_letter(next)
                            && (at(Some(to + 1)).is_some_and(is_letter)
                                || (at(Some(to + 1)) == Some('-')
                                    && at(Some(to + 2)).is_some_and(is_letter)));
                        begun && before(2) && (before(3) || apart) && after
                    };
                    if is_break(next) || hyphenated || dash(to).is_some() {
                        break;
                    }
                    to += 1;
                }
            }
        }
        chunks.push(chars.get(from..to).unwrap_or_default());
        from = to;
    }
    chunks
}

/// `TextWrapper._wrap_chunks`.
fn fill(mut rest: Vec<&[char]>, width: usize, break_long: bool, hyphens: bool) -> Vec<String> {
    let blank = |chunk: &&[char]| chunk.iter().all(|&c| is_space(c));
    rest.reverse();
    let mut lines = Vec::new();
    while !rest.is_empty() {
        if !lines.is_empty() && rest.last().is_some_and(blank) {
            rest.pop();
        }
        let (mut current, mut length): (Vec<&[char]>, usize) = (Vec::new(), 0);
        while let Some(chunk) = rest.pop_if(|chunk| length + chunk.len() <= width) {
            length += chunk.len();
            current.push(chunk);
        }
        if let Some(chunk) = rest.last_mut().filter(|chunk| chunk.len() > width) {
            if break_long {
                let left = width - length;
                let mut end = left;
                if hyphens {
                    let room = chunk.get(..left).unwrap_or_default();
                    if let Some(hyphen) = room.iter().rposition(|&c| c == '-')
                        && room.iter().take(hyphen).any(|&c| c != '-')
                    {
                        end = hyphen + 1;
                    }
                }
                let (head, tail) = chunk.split_at(end.min(chunk.len()));
                current.push(head);
                *chunk = tail;
            } else if current.is_empty() {
                current.extend(rest.pop());
            }
        }
        if current.last().is_some_and(blank) {
            current.pop();
        }
        if !current.is_empty() {
            lines.push(current.concat().into_iter().collect());
        }
    }
    lines
}
