//! JSON read into types, with errors that say where.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads a value; the error begins with the path of what does not fit, from `root` on.
pub(crate) fn read<T: DeserializeOwned>(root: &str, value: &Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        match path.as_str() {
            // what the library calls the root, and a value that it could not look into
            "." | "?" => format!("{root}: {error}"),
            path if path.starts_with('[') => format!("{root}{path}: {error}"),
            path => format!("{root}.{path}: {error}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_path_starts_at_the_root() {
        let of = |value| read::<Vec<u8>>("list", &value).unwrap_err();
        assert!(of(json!(1)).starts_with("list: "));
        assert!(of(json!([1, "x"])).starts_with("list[1]: "));
    }
}
