//! Header lines, as NetBox reads them.

use hookbox_guest::{Failure, FailureKind};

use crate::limits;

/// The headers of a webhook: `Content-Type` first, then one for each line `Name: value` of the rendered
/// text. Lines without a colon are skipped. A later line replaces an earlier one of the same name and
/// stands in its place; see [`fold`] for names in another case.
///
/// # Errors
/// If there are too many or one is too large; with the line of the template, if its name is written there.
pub(crate) fn parse(
    content_type: &str,
    template: &str,
    text: &str,
) -> Result<Vec<(String, String)>, Failure> {
    let mut headers: Vec<(String, String)> = Vec::new();
    if !content_type.is_empty() {
        headers.push(("Content-Type".to_owned(), content_type.to_owned()));
    }
    for line in text.split(is_line_end) {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let (name, value) = (name.trim(), value.trim());
        if name.len() + value.len() > limits::HEADER {
            let message = format!("this header is larger than {} bytes", limits::HEADER);
            return Err(too_large(message, template, name));
        }
        let header = (name.to_owned(), value.to_owned());
        let known = headers.iter_mut().find(|(known, _)| known == name);
        if let Some(known) = known {
            *known = header;
        } else if headers.len() < limits::HEADER_COUNT {
            headers.push(header);
        } else {
            let message = format!("there are more than {} headers", limits::HEADER_COUNT);
            return Err(too_large(message, template, name));
        }
    }
    Ok(fold(headers))
}

/// Of names that differ in case alone the last counts. NetBox keeps headers in a dictionary that tells cases
/// apart, in which a name keeps its first place, and only its HTTP library folds them.
fn fold(headers: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut folded: Vec<(String, String)> = Vec::with_capacity(headers.len());
    for header in headers {
        let known = folded
            .iter_mut()
            .find(|(known, _)| known.eq_ignore_ascii_case(&header.0));
        match known {
            Some(known) => *known = header,
            None => folded.push(header),
        }
    }
    folded
}

fn too_large(message: String, template: &str, name: &str) -> Failure {
    let mut failure =
        Failure::new(FailureKind::OutputTooLarge, message).in_field("additional_headers");
    let written = |line: &str| {
        let rest = line.trim_start().strip_prefix(name);
        rest.is_some_and(|rest| rest.trim_start().starts_with(':'))
    };
    let line = template.lines().position(written);
    failure.line = line.and_then(|line| u32::try_from(line + 1).ok());
    failure
}

/// What Python's `str.splitlines()` takes for the end of a line.
pub(crate) fn is_line_end(c: char) -> bool {
    matches!(c, '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What a value in the headers template may not hold: control characters, and line ends that are none.
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control() || is_line_end(c)
}
