//! The request that a transformer makes.

use serde::Serialize;

use crate::Failure;

/// The request to send. The host adds `host`, `user-agent`, `content-length` and the signatures, and refuses
/// what is no valid HTTP request or over its limits (by default a URL of 8 KiB, 100 headers of 8 KiB each
/// and a body of 1 MiB).
///
/// ```
/// use hookbox_guest::{Failure, Request};
///
/// # fn f() -> Result<(), Failure> {
/// # hookbox_guest::testing::set_secret("token", "handle");
/// let request = Request::post("https://example.com/items")
///     .bearer(&hookbox_guest::required_secret("token")?)
///     .header("X-Source", "hookbox")
///     .json(&serde_json::json!({ "name": "a" }))?;
/// assert_eq!(request.header_value("content-type"), Some("application/json"));
/// assert_eq!(request.body, br#"{"name":"a"}"#);
/// # Ok(()) }
/// # f().unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// GET, POST, PUT, PATCH or DELETE.
    pub method: String,
    /// An absolute http or https URL.
    pub url: String,
    /// Names and values; of several of one name, in whatever case, the last is sent.
    pub headers: Vec<(String, String)>,
    /// Sent as it is.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A POST request without headers and body.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// Adds a header; of several of one name the last is sent.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds `Authorization: Bearer …` (RFC 6750, section 2.1) with this token, which should be a secret's handle.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to this value as JSON and adds `Content-Type: application/json`.
    ///
    /// # Errors
    /// If the value cannot be JSON, such as a map whose keys are no strings. What `json!` makes always can.
    pub fn json(self, value: &(impl Serialize + ?Sized)) -> Result<Self, Failure> {
        let body = serde_json::to_vec(value)?;
        Ok(self.header("Content-Type", "application/json").body(body))
    }

    /// The value that is sent for this header, in whatever case it is named.
    #[must_use]
    pub fn header_value(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter().rev();
        headers
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_headers_of_one_name_the_last_is_sent() {
        let request = Request::post("https://x.example")
            .json(&[1, 2])
            .unwrap()
            .header("content-type", "application/vnd.x+json");
        assert_eq!(request.body, b"[1,2]");
        assert_eq!(
            request.header_value("Content-Type"),
            Some("application/vnd.x+json")
        );
        assert_eq!(request.header_value("Accept"), None);
    }

    #[test]
    fn what_cannot_be_json_is_a_failure() {
        let map = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert!(Request::post("https://x.example").json(&map).is_err());
    }
}
