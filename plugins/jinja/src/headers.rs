//! Header lines, as NetBox reads them.

/// The headers of a webhook: `Content-Type` first, then one for each line `Name: value` of the rendered
/// text. Lines without a colon are skipped. A later line replaces an earlier one of the same name,
/// whatever its case, and stands in its place.
pub(crate) fn parse(content_type: &str, text: &str) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    if !content_type.is_empty() {
        headers.push(("Content-Type".to_owned(), content_type.to_owned()));
    }
    for line in text.split(is_line_end) {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let header = (name.trim().to_owned(), value.trim().to_owned());
        match headers
            .iter_mut()
            .find(|(known, _)| known.eq_ignore_ascii_case(&header.0))
        {
            Some(known) => *known = header,
            None => headers.push(header),
        }
    }
    headers
}

/// What Python's `str.splitlines()` takes for the end of a line.
pub(crate) fn is_line_end(c: char) -> bool {
    matches!(c, '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What a value in the headers template may not hold: control characters, and line ends that are none.
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control() || is_line_end(c)
}
