//! Text that a guest wrote, made fit to be shown: one line, no control characters, of bounded length.

/// Stands where text was cut.
const ELLIPSIS: char = '…';

/// The text as one line of at most `max` bytes: line breaks and tabs become spaces; terminal escape
/// sequences, other control characters and the characters that reorder or hide text are dropped.
///
/// A cut is marked with `…`, which counts, unless `max` has no room for it. Cost: linear in the
/// part that is kept and what is dropped before it.
pub(super) fn clean_line(text: &str, max: usize) -> String {
    let mut line = String::with_capacity(text.len().min(max));
    let visible = Visible {
        chars: text.chars(),
    };
    for c in visible {
        if line.len() + c.len_utf8() > max {
            cut(&mut line, max);
            break;
        }
        line.push(c);
    }
    line
}

/// Makes room for the mark and sets it.
fn cut(line: &mut String, max: usize) {
    while line.len() + ELLIPSIS.len_utf8() > max {
        if line.pop().is_none() {
            return;
        }
    }
    line.push(ELLIPSIS);
}

/// The characters of a text that may be shown.
struct Visible<'a> {
    chars: std::str::Chars<'a>,
}

impl Iterator for Visible<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        loop {
            match self.chars.next()? {
                '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' | '\u{85}' => return Some(' '),
                '\u{1b}' => self.skip_escape(),
                // the C1 forms of CSI and of the string sequences (DCS, SOS, OSC, PM, APC)
                '\u{9b}' => self.skip_control_sequence(),
                '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => self.skip_string(),
                c if c.is_control() || is_format(c) => {}
                c => return Some(c),
            }
        }
    }
}

impl Visible<'_> {
    /// After ESC: see ECMA-48, 5.3 to 5.6.
    fn skip_escape(&mut self) {
        match self.chars.clone().next() {
            Some('[') => {
                self.chars.next();
                self.skip_control_sequence();
            }
            Some(']' | 'P' | 'X' | '^' | '_') => {
                self.chars.next();
                self.skip_string();
            }
            Some(' '..='~') => {
                self.chars.next();
            }
            _ => {}
        }
    }

    /// Parameters and intermediates, up to the final byte. Anything else ends it and is not eaten.
    fn skip_control_sequence(&mut self) {
        while let Some(c) = self.chars.clone().next() {
            if !(' '..='~').contains(&c) {
                return;
            }
            self.chars.next();
            if ('@'..='~').contains(&c) {
                return;
            }
        }
    }

    /// Up to BEL or the string terminator, or to the end of the line: an unended one hides no more.
    fn skip_string(&mut self) {
        while let Some(c) = self.chars.clone().next() {
            if c == '\n' || c == '\u{1b}' {
                return;
            }
            self.chars.next();
            if c == '\u{7}' || c == '\u{9c}' {
                return;
            }
        }
    }
}

/// Whether the character reorders or hides text: bidirectional controls, zero-width characters and tags.
fn is_format(c: char) -> bool {
    matches!(
        c,
        '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_are_dropped_and_words_stay() {
        for (given, want) in [
            ("plain", "plain"),
            ("\u{1b}[31mred\u{1b}[0m text", "red text"),
            ("a\u{1b}]0;title\u{7}b", "ab"),
            ("a\u{1b}]8;;http://x\u{1b}\\link", "alink"),
            ("\u{9b}2Jgone", "gone"),
            ("two\nlines\tand a tab", "two lines and a tab"),
            ("\u{202e}desrever", "desrever"),
            ("nul\0bell\u{7}", "nulbell"),
            ("grüße 🪝", "grüße 🪝"),
        ] {
            assert_eq!(clean_line(given, 100), want, "{given:?}");
        }
    }

    #[test]
    fn what_is_cut_is_marked() {
        assert_eq!(clean_line("abcdefgh", 8), "abcdefgh");
        assert_eq!(clean_line("abcdefghi", 8), "abcde…");
        assert_eq!(clean_line("abc", 2), "");
    }

    proptest! {
        #[test]
        fn the_line_is_short_and_has_no_control_characters(text in ".{0,200}|[\\x00-\\x7f\u{80}-\u{9f}]{0,200}", max in 0usize..100) {
            let line = clean_line(&text, max);
            prop_assert!(line.len() <= max);
            prop_assert!(!line.chars().any(|c| c.is_control() || is_format(c)));
        }

        #[test]
        fn cleaning_twice_changes_nothing(text in "[ -~\u{1b}\u{9b}\n]{0,100}") {
            let once = clean_line(&text, 1000);
            prop_assert_eq!(clean_line(&once, 1000), once);
        }
    }
}
