//! The events of a file, cut into requests that a server takes.

use std::ops::Range;

use serde_json::{Value, value::RawValue};

/// The limits of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Events.
    pub(super) events: usize,
    /// Bytes.
    pub(super) bytes: usize,
}

/// The events of a file, in its order.
#[derive(Debug)]
pub(super) struct Events<'a> {
    whole: &'a [u8],
    /// What the bytes are. The server decides by the content type, and a file has none.
    content_type: &'static str,
    /// The text of each, if the file can be cut.
    items: Vec<&'a [u8]>,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One event, or what only the server can say anything about.
    One,
    Array,
    Lines,
}

impl<'a> Events<'a> {
    pub(super) fn of(whole: &'a [u8]) -> Self {
        if let Ok(items) = serde_json::from_slice::<Vec<&RawValue>>(whole) {
            let is_cloud = items.first().is_some_and(|item| is_cloud_event(item.get()));
            return Self {
                whole,
                content_type: if is_cloud {
                    "application/cloudevents-batch+json"
                } else {
                    "application/json"
                },
                items: items.iter().map(|item| item.get().as_bytes()).collect(),
                form: Form::Array,
            };
        }
        let lines = || {
            whole
                .split(|&b| b == b'\n')
                .filter(|line| !line.trim_ascii().is_empty())
        };
        let is_json = |bytes: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
        // A second value after a complete first one: more lines follow.
        if !is_json(whole) && lines().next().is_some_and(is_json) {
            return Self {
                whole,
                content_type: "application/x-ndjson",
                items: lines().collect(),
                form: Form::Lines,
            };
        }
        let is_cloud = std::str::from_utf8(whole).is_ok_and(is_cloud_event);
        Self {
            whole,
            content_type: if is_cloud {
                "application/cloudevents+json"
            } else {
                "application/json"
            },
            items: vec![whole],
            form: Form::One,
        }
    }

    pub(super) fn content_type(&self) -> &'static str {
        self.content_type
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// The events from `first` on that fit into one request: at least one, if there is one.
    pub(super) fn fitting(&self, first: usize, room: Room) -> Range<usize> {
        let (mut bytes, mut end) = (2_usize, first);
        for item in self.items.iter().skip(first).take(room.events.max(1)) {
            bytes = bytes.saturating_add(item.len()).saturating_add(1);
            if end > first && bytes > room.bytes {
                break;
            }
            end += 1;
        }
        first..end
    }

    /// The body of a request with these events. With all of them it is the file as it is.
    pub(super) fn body(&self, range: Range<usize>) -> Vec<u8> {
        let items = self.items.get(range).unwrap_or_default();
        if items.len() == self.items.len() {
            return self.whole.to_vec();
        }
        match self.form {
            Form::One => self.whole.to_vec(),
            Form::Lines => items.join(&b'\n'),
            Form::Array => [&b"["[..], &items.join(&b','), b"]"].concat(),
        }
    }
}

fn is_cloud_event(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|value| value.get("specversion").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_follows_from_the_content() {
        for (text, expected) in [
            (r#"{"event": "created"}"#, "application/json"),
            (r#"[{"event": "created"}]"#, "application/json"),
            ("[]", "application/json"),
            ("", "application/json"),
            ("{\n  \"event\": ", "application/json"),
            ("\n{\"a\": 1}\n{\"a\": 2}\n", "application/x-ndjson"),
            (r#"{"specversion": "1.0"}"#, "application/cloudevents+json"),
            (
                r#"[{"specversion": "1.0"}]"#,
                "application/cloudevents-batch+json",
            ),
        ] {
            let events = Events::of(text.as_bytes());
            assert_eq!(events.content_type(), expected, "{text}");
        }
    }

    /// All requests that the file is cut into.
    fn requests(file: &str, room: Room) -> Vec<String> {
        let events = Events::of(file.as_bytes());
        let (mut bodies, mut first) = (Vec::new(), 0);
        while first < events.len() {
            let range = events.fitting(first, room);
            assert!(!range.is_empty());
            first = range.end;
            bodies.push(String::from_utf8(events.body(range)).unwrap());
        }
        bodies
    }

    const fn room(events: usize, bytes: usize) -> Room {
        Room { events, bytes }
    }

    #[test]
    fn a_file_is_cut_between_events_in_its_order() {
        let array = " [ 1 , {\"a\": [2]},\n\"3\", 4] ";
        for (room, expected) in [
            (room(4, 1000), vec![array]),
            (room(3, 1000), vec!["[1,{\"a\": [2]},\"3\"]", "[4]"]),
            (
                room(1, 1000),
                vec!["[1]", "[{\"a\": [2]}]", "[\"3\"]", "[4]"],
            ),
            (room(9, 16), vec!["[1,{\"a\": [2]}]", "[\"3\",4]"]),
            // One that is too large by itself is the server's to refuse.
            (room(9, 1), vec!["[1]", "[{\"a\": [2]}]", "[\"3\"]", "[4]"]),
        ] {
            assert_eq!(requests(array, room), expected, "{room:?}");
        }
        let lines = "{\"a\":1}\n\n{\"a\":2}\r\n{\"a\":3}";
        assert_eq!(requests(lines, room(3, 1000)), [lines]);
        let cut = requests(lines, room(2, 1000));
        assert_eq!(cut, ["{\"a\":1}\n{\"a\":2}\r", "{\"a\":3}"]);
        // Bytes that are no list of events are sent as they are.
        for one in ["{\"a\": 1}", "[1, 2", "nonsense"] {
            assert_eq!(requests(one, room(1, 1)), [one]);
        }
    }
}
