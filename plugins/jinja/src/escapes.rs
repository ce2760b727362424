//! Escapes in text literals.

/// The text between a literal's quotes, if Python can read its escapes and minijinja cannot.
pub(crate) fn unescape(text: &str) -> Option<String> {
    let (mut out, mut foreign) = (String::with_capacity(text.len()), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next()? {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            c @ ('\\' | '\'' | '"') => out.push(c),
            'x' => out.push(hex(&mut chars, 2)?),
            'u' => out.push(hex(&mut chars, 4)?),
            'N' => return None,
            other => {
                foreign = true;
                match other {
                    'a' => out.push('\u{7}'),
                    'v' => out.push('\u{b}'),
                    'U' => out.push(hex(&mut chars, 8)?),
                    '\n' => {}
                    '0'..='7' => {
                        let mut code = other.to_digit(8)?;
                        for _ in 0..2 {
                            if let Some(digit) = chars.next_if(|c| c.is_digit(8)) {
                                code = code * 8 + digit.to_digit(8)?;
                            }
                        }
                        out.push(char::from_u32(code)?);
                    }
                    other => {
                        out.push('\\');
                        out.push(other);
                    }
                }
            }
        }
    }
    foreign.then_some(out)
}

/// The character of so many hexadecimal digits.
fn hex(chars: &mut impl Iterator<Item = char>, digits: usize) -> Option<char> {
    let text: String = chars.take(digits).collect();
    let code = u32::from_str_radix(&text, 16)
        .ok()
        .filter(|_| text.len() == digits)?;
    char::from_u32(code)
}
