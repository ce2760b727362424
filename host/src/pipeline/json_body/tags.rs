//! A template's tags and their tokens, as far as its text alone tells them. What is not well formed is read as far
//! as it goes.

/// The code within `{{ … }}` and `{% … %}`, outside comments and `raw` blocks.
pub(crate) fn tags(template: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        let tag = rest.get(at + 1..).unwrap_or_default();
        let (end, length) = match tag.bytes().next() {
            Some(b'{') => (close(tag, "}}"), 2),
            Some(b'%') => (close(tag, "%}"), 2),
            Some(b'#') => (tag.find("#}"), 2),
            _ => {
                rest = tag;
                continue;
            }
        };
        let Some(end) = end else { break };
        let code = tag.get(1..end).unwrap_or_default();
        let code = code.trim_matches(['-', '+']).trim();
        rest = tag.get(end + length..).unwrap_or_default();
        match tag.bytes().next() {
            Some(b'#') => {}
            Some(b'%') if code == "raw" => {
                let end = rest.find("endraw").unwrap_or(rest.len());
                rest = rest.get(end..).unwrap_or_default();
            }
            _ => found.push(code),
        }
    }
    found
}

/// Where a tag ends, past the strings in it.
fn close(tag: &str, end: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in tag.char_indices().skip(1) {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            None if tag.get(at..).is_some_and(|rest| rest.starts_with(end)) => return Some(at),
            _ => {}
        }
    }
    None
}

/// A part of a tag.
#[derive(Debug, PartialEq)]
pub(crate) enum Token<'a> {
    /// A name or a number.
    Word(&'a str),
    /// A string literal without its quotes, its escapes as they are written.
    Text(&'a str),
    /// Anything else but white space.
    Mark(char),
}

/// The words, texts and marks of a tag.
pub(crate) fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(c) = rest.chars().next() {
        let length = if c.is_alphanumeric() || c == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            let end = end.unwrap_or(rest.len());
            found.push(Token::Word(rest.get(..end).unwrap_or_default()));
            end
        } else if c == '\'' || c == '"' {
            let inner = rest.get(1..).unwrap_or_default();
            let mut escaped = false;
            let end = inner.find(|d: char| {
                let ends = d == c && !escaped;
                escaped = d == '\\' && !escaped;
                ends
            });
            let end = end.unwrap_or(inner.len());
            found.push(Token::Text(inner.get(..end).unwrap_or_default()));
            end + 2
        } else {
            if !c.is_whitespace() {
                found.push(Token::Mark(c));
            }
            c.len_utf8()
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    found
}
