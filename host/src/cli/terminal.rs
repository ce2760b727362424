//! Output to a terminal, and input from files.
//!
//! Much of what hookbox prints was written by strangers. A terminal obeys control characters, so none
//! reaches it: they are shown as escapes. And people believe lines that look like hookbox's own: text that may have
//! several lines is printed with something before each that no line of hookbox's has.

use std::{
    fmt::{self, Write as _},
    fs::File,
    io::{self, IsTerminal, Read, Write},
    path::Path,
};

use serde_json::Value;

use super::error::{CliError, CliResult};

/// Text by others, safe to print: control characters except line feed and tab, the characters that
/// turn the direction of writing round, and those that some terminals take for line breaks, are shown as escapes such
/// as `\u{1b}`.
pub(crate) struct Clean<'a>(pub(crate) &'a str);

impl fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\n' | '\t' => f.write_char(c)?,
                c if is_unsafe(c) => write!(f, "{}", c.escape_default())?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// As [`Clean`], and line breaks are escaped too: it stays on its line.
pub(crate) fn one_line(text: &str) -> String {
    Clean(text)
        .to_string()
        .replace('\n', "\\n")
        .replace('\t', "\\t")
}

/// Lines by others, each after something that tells it from hookbox's own, and the last ended.
pub(crate) fn marked_lines(text: &str, mark: &str) -> String {
    let mut out = String::with_capacity(text.len() + mark.len() + 1);
    for line in Clean(text).to_string().lines() {
        out.extend([mark, line, "\n"]);
    }
    out
}

/// [`one_line`], cut to `max` characters with an ellipsis.
pub(crate) fn shortened(text: &str, max: usize) -> String {
    let line = one_line(text);
    if line.chars().count() <= max {
        return line;
    }
    let mut short: String = line.chars().take(max.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// JSON by others, over several lines and safe to print: in its texts, what [`Clean`] would escape is escaped
/// as JSON does.
pub(crate) struct Json<'a>(pub(crate) &'a Value);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        clean_json(f, &format!("{:#}", self.0))
    }
}

/// [`Json`] on one line.
pub(crate) struct JsonLine<'a>(pub(crate) &'a Value);

impl fmt::Display for JsonLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        clean_json(f, &self.0.to_string())
    }
}

fn clean_json(f: &mut fmt::Formatter<'_>, json: &str) -> fmt::Result {
    for c in json.chars() {
        // Unsafe characters can stand only within texts, but for the line breaks of the layout.
        if c == '\n' || !is_unsafe(c) {
            f.write_char(c)?;
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            write!(f, "\\u{unit:04x}")?;
        }
    }
    Ok(())
}

/// Whether a terminal would do something else with it than show it in its place.
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            // what turns the direction of writing round
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // separators of lines and paragraphs, annotations, and tags, which are not seen at all
            | '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// Colours, if stdout is a terminal and `NO_COLOR` is not set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    pub(crate) fn for_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Self {
            on: io::stdout().is_terminal() && !refused,
        }
    }

    /// None, for what is not shown or compared first.
    pub(crate) const fn off() -> Self {
        Self { on: false }
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }
}

/// Writes rows as columns that line up. The cells must be clean.
pub(crate) fn write_table(
    out: &mut impl Write,
    header: &[&str],
    rows: &[Vec<String>],
) -> io::Result<()> {
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .chain(header.get(column).map(|h| h.len()))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (cell, width) in cells.zip(&widths) {
            let _ = write!(text, "{cell:<width$}  ");
        }
        writeln!(out, "{}", text.trim_end())
    };
    line(&mut header.iter().copied())?;
    for row in rows {
        line(&mut row.iter().map(String::as_str))?;
    }
    Ok(())
}

/// Reads a file, or stdin for `-`, of at most `max` bytes.
///
/// # Errors
/// One line that names the file.
pub(crate) fn read_input(path: &Path, max: u64) -> CliResult<Vec<u8>> {
    let name = path.display();
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        io::stdin()
            .lock()
            .take(max.saturating_add(1))
            .read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(max.saturating_add(1)).read_to_end(&mut bytes))
    };
    read.map_err(|e| CliError::failed(format!("cannot read {name}: {e}")))?;
    if bytes.len() as u64 > max {
        return Err(CliError::failed(format!(
            "{name} is larger than {max} bytes"
        )));
    }
    Ok(bytes)
}

/// [`read_input`], as JSON.
///
/// # Errors
/// One line that names the file and, for malformed JSON, the line and column.
pub(crate) fn read_json(path: &Path, max: u64) -> CliResult<Value> {
    let bytes = read_input(path, max)?;
    serde_json::from_slice(&bytes)
        .map_err(|e| CliError::failed(format!("{} is not valid JSON: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        assert_eq!(
            Clean("a\u{1b}[2Jb\r\nc\u{9b}d\u{202e}e\tf").to_string(),
            "a\\u{1b}[2Jb\\r\nc\\u{9b}d\\u{202e}e\tf"
        );
        assert_eq!(
            Clean("a\u{61c}b\u{2028}c\u{7f}d\u{e0041}").to_string(),
            "a\\u{61c}b\\u{2028}c\\u{7f}d\\u{e0041}"
        );
        assert_eq!(
            marked_lines("a\n\nb\u{85}c", "| "),
            "| a\n| \n| b\\u{85}c\n"
        );
        assert_eq!(marked_lines("a\n", "| "), "| a\n");
        assert_eq!(one_line("a\nb"), "a\\nb");
        assert_eq!(shortened("äöüß", 3), "äö…");
    }

    #[test]
    fn json_is_the_same_and_holds_nothing_that_a_terminal_would_obey() {
        let value =
            serde_json::json!({"a\u{9b}": ["\u{1b}[2J\u{7f}", "\u{202e}ä\n\t\\\u{e0041}"], "b": 1});
        let line = JsonLine(&value).to_string();
        assert!(!line.chars().any(is_unsafe), "{line:?}");
        let shown = Json(&value).to_string();
        assert!(
            !shown.chars().any(|c| c != '\n' && is_unsafe(c)),
            "{shown:?}"
        );
        for json in [line, shown] {
            assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value);
        }
    }
}
