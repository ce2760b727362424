//! What fits into a `client_payload`.

use hookbox_guest::clip;
use serde_json::{Map, Value};

/// Top-level properties.
pub(crate) const MAX_PROPERTIES: usize = 10;
/// Bytes of its JSON text: below 64 KB, whichever are meant, with room for what stands around it and for the list
/// of what was left out.
const MAX_BYTES: usize = 64_000 - 4_000;
/// Names in that list, and characters of each.
const LISTED: (usize, usize) = (10, 50);
/// Where properties go that are too many.
const MORE: &str = "more";
/// The names of those that were left out or shortened.
const TRUNCATED: &str = "truncated";
/// What is kept of an object that is too large: what it takes to ask for the rest.
const BRIEF: [&str; 6] = ["id", "url", "display_url", "display", "name", "slug"];

/// Leaves out what is too large and folds what is too many. The second value names what was left out.
///
/// The snapshots go first, since they mostly repeat the data; then whatever is largest, until the rest fits. Of an
/// object its id, URLs and names stay.
pub(crate) fn within_limits(
    mut properties: Map<String, Value>,
) -> (Map<String, Value>, Vec<String>) {
    let mut sizes: Vec<(String, usize)> = properties
        .iter()
        .map(|(name, value)| (name.clone(), value.to_string().len()))
        .collect();
    // smallest first, as they are taken from the end
    sizes.sort_by_key(|(name, bytes)| (name == "snapshots", *bytes));
    // a byte of a name becomes six at most, where it has to be escaped
    let named = |name: &str, bytes: usize| name.len().saturating_mul(6).saturating_add(bytes);
    let mut total = sizes
        .iter()
        .map(|(name, bytes)| named(name, *bytes))
        .fold(2, usize::saturating_add);
    let mut cut = Vec::new();
    while total > MAX_BYTES {
        let Some((name, bytes)) = sizes.pop() else {
            break;
        };
        total = total.saturating_sub(named(&name, bytes));
        let brief = properties.get(&name).and_then(brief);
        // a name that is itself too long leaves nothing
        match brief.filter(|_| name.len() <= LISTED.1) {
            Some(brief) => {
                total = total.saturating_add(named(&name, brief.to_string().len()));
                properties.insert(name.clone(), brief);
            }
            None => drop(properties.shift_remove(&name)),
        }
        if cut.len() < LISTED.0 {
            cut.push(clip(&name, LISTED.1).into_owned());
        }
    }
    let most = MAX_PROPERTIES - usize::from(!cut.is_empty());
    let mut properties = fold(properties, most);
    if !cut.is_empty() {
        properties.insert(TRUNCATED.to_owned(), cut.clone().into());
    }
    (properties, cut)
}

/// The short form of an object that has one.
fn brief(value: &Value) -> Option<Value> {
    let object = value.as_object()?;
    let short =
        |value: &&Value| value.is_number() || value.as_str().is_some_and(|s| s.len() <= 500);
    let kept: Map<_, _> = BRIEF
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), object.get(*key).filter(short)?.clone())))
        .collect();
    (!kept.is_empty()).then(|| kept.into())
}

/// Puts all properties from the `most`-th on into one.
fn fold(properties: Map<String, Value>, most: usize) -> Map<String, Value> {
    if properties.len() <= most {
        return properties;
    }
    let mut kept = Map::new();
    let mut more = Map::new();
    for (name, value) in properties {
        let fits = kept.len().saturating_add(1) < most && name != MORE && name != TRUNCATED;
        let to = if fits { &mut kept } else { &mut more };
        to.insert(name, value);
    }
    kept.insert(MORE.to_owned(), more.into());
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn limited(value: Value) -> (Map<String, Value>, Vec<String>) {
        let Value::Object(properties) = value else {
            panic!("an object");
        };
        let (properties, cut) = within_limits(properties);
        assert!(properties.len() <= MAX_PROPERTIES);
        assert!(Value::from(properties.clone()).to_string().len() < 64_000);
        (properties, cut)
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        let event = json!({"event": "created", "data": {"id": 1}, "snapshots": null});
        assert_eq!(limited(event.clone()).0, *event.as_object().unwrap());
    }

    #[test]
    fn properties_that_are_too_many_are_folded_into_one() {
        let many: Map<_, _> = (0..12).map(|n| (format!("k{n:02}"), json!(n))).collect();
        let (properties, cut) = limited(many.into());
        assert_eq!(properties.len(), 10);
        assert_eq!(properties["more"], json!({"k09": 9, "k10": 10, "k11": 11}));
        assert!(cut.is_empty());
    }

    #[test]
    fn ten_are_not_too_many() {
        let ten: Map<_, _> = (0..10).map(|n| (format!("k{n}"), json!(n))).collect();
        assert_eq!(limited(ten.clone().into()).0, ten);
    }

    #[test]
    fn a_property_that_is_called_like_the_fold_is_not_lost() {
        let mut many: Map<_, _> = (0..12).map(|n| (format!("k{n:02}"), json!(n))).collect();
        many.insert("more".to_owned(), json!("mine"));
        assert_eq!(limited(many.into()).0["more"]["more"], json!("mine"));
    }

    #[test]
    fn snapshots_are_left_out_before_the_data() {
        let large = "x".repeat(40_000);
        let (properties, cut) = limited(json!({
            "data": {"id": 1, "text": large.clone() + "x"}, "snapshots": {"postchange": {"text": large}},
        }));
        assert_eq!(cut, ["snapshots"]);
        assert_eq!(properties["data"]["id"], 1);
        assert_eq!(properties["truncated"], json!(["snapshots"]));
    }

    #[test]
    fn of_data_that_is_too_large_a_short_form_stays() {
        let large = "x".repeat(70_000);
        let data = json!({"id": 1, "url": "/api/x/1/", "display": large, "text": large});
        let (properties, cut) = limited(json!({"event": "created", "data": data}));
        assert_eq!(properties["data"], json!({"id": 1, "url": "/api/x/1/"}));
        assert_eq!(properties["event"], "created");
        assert_eq!(cut, ["data"]);
    }

    #[test]
    fn no_event_is_too_large() {
        let names: Map<_, _> = (0..200)
            .map(|n| (format!("{n}{}", "\u{1}".repeat(1000)), json!(n)))
            .collect();
        limited(names.into());
        limited(json!({"a": "x".repeat(900_000), "b": ["y".repeat(100_000)]}));
    }
}
