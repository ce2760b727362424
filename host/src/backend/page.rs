//! Pages of lists, and cursors: where a page ended, as opaque text that callers hand back.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::BackendError;

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// What is on it.
    pub results: Vec<T>,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
}

/// Entries on one page at most, whatever is asked for.
pub(crate) const MAX_PAGE: usize = 1000;

/// Longest cursor that is looked at; names are far shorter.
const MAX_CURSOR: usize = 4096;

/// Where a page ended. A cursor grants nothing: it is a position, and only within the caller's tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// After this name.
    Name(String),
    /// After the delivery of this time and number.
    Delivery(i64, i64),
}

impl Cursor {
    pub(crate) fn encode(&self) -> String {
        let text = match self {
            Self::Name(name) => format!("n{name}"),
            Self::Delivery(created, seq) => format!("d{created}.{seq}"),
        };
        URL_SAFE_NO_PAD.encode(text)
    }

    fn decode(text: &str) -> Option<Self> {
        if text.len() > MAX_CURSOR {
            return None;
        }
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        if let Some(name) = text.strip_prefix('n') {
            return Some(Self::Name(name.to_owned()));
        }
        let (created, seq) = text.strip_prefix('d')?.split_once('.')?;
        Some(Self::Delivery(created.parse().ok()?, seq.parse().ok()?))
    }

    /// The name to go on after; the empty name comes before all others.
    pub(crate) fn parse_name(cursor: Option<&str>) -> Result<String, BackendError> {
        match cursor.map(Self::decode) {
            None => Ok(String::new()),
            Some(Some(Self::Name(name))) => Ok(name),
            Some(_) => Err(BackendError::BadCursor),
        }
    }

    /// The delivery to go on after; without a cursor, one that comes before all others, newest first.
    pub(crate) fn parse_delivery(cursor: Option<&str>) -> Result<(i64, i64), BackendError> {
        match cursor.map(Self::decode) {
            None => Ok((i64::MAX, i64::MAX)),
            Some(Some(Self::Delivery(created, seq))) => Ok((created, seq)),
            Some(_) => Err(BackendError::BadCursor),
        }
    }
}

/// How many rows to ask for: one more than the page holds shows whether there is another page.
pub(crate) fn rows_for(limit: usize) -> i64 {
    limit.clamp(1, MAX_PAGE) as i64 + 1
}

/// A page of the rows that were asked for with [`rows_for`].
pub(crate) fn page<T>(
    mut rows: Vec<T>,
    limit: usize,
    position: impl FnOnce(&T) -> Cursor,
) -> Page<T> {
    let limit = limit.clamp(1, MAX_PAGE);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let last = if more { rows.last() } else { None };
    Page {
        next: last.map(|row| position(row).encode()),
        results: rows,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_leads_back_to_where_its_page_ended(name in ".*", created: i64, seq: i64) {
            let cursor = Cursor::Name(name.clone()).encode();
            prop_assert_eq!(Cursor::parse_name(Some(&cursor)), Ok(name));
            prop_assert_eq!(Cursor::parse_delivery(Some(&cursor)), Err(BackendError::BadCursor));
            let cursor = Cursor::Delivery(created, seq).encode();
            prop_assert_eq!(Cursor::parse_delivery(Some(&cursor)), Ok((created, seq)));
            prop_assert_eq!(Cursor::parse_name(Some(&cursor)), Err(BackendError::BadCursor));
        }

        #[test]
        fn any_other_text_is_refused_without_a_panic(text in ".*") {
            let _ = Cursor::decode(&text);
        }
    }
}
