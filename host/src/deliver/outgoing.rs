//! A request as it is sent.

use http::HeaderValue;
use hyper::body::Bytes;
use url::{Position, Url};

use super::error::SendError;
use crate::{model::HttpMethod, request::OutboundRequest};

/// A request that the guard has let pass.
pub(super) struct Outgoing {
    pub(super) method: HttpMethod,
    pub(super) url: Url,
    /// Names as their author spelled them, which is how HTTP/1.1 sends them.
    pub(super) headers: Vec<(String, HeaderValue)>,
    pub(super) body: Bytes,
}

impl Outgoing {
    /// # Errors
    /// When the URL would not be one word on the wire. URLs of a request never are otherwise; that is the end of
    /// their way.
    pub(super) fn new(request: OutboundRequest) -> Result<Self, SendError> {
        let (method, url, headers, body) = request.into_parts();
        if !url.as_str().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SendError::Internal(
                "its HTTP client did not accept the URL",
            ));
        }
        Ok(Self {
            method,
            url,
            headers,
            body: body.into(),
        })
    }

    /// The target in the first line of the request.
    pub(super) fn target(&self) -> &str {
        &self.url[Position::BeforePath..Position::AfterQuery]
    }

    /// The host, with its port if that is not the scheme's own.
    pub(super) fn authority(&self) -> &str {
        &self.url[Position::BeforeHost..Position::AfterPort]
    }

    /// Whether the headers have a `Host`, for which HTTP/2 has no place.
    pub(super) fn names_host(&self) -> bool {
        let mut names = self.headers.iter().map(|(name, _)| name);
        names.any(|name| name.eq_ignore_ascii_case("host"))
    }

    /// The length to announce. An empty body of a method that usually has one is announced too: some receivers answer
    /// 411 otherwise (RFC 9110 section 8.6).
    pub(super) fn content_length(&self) -> Option<usize> {
        let length = self.body.len();
        (length > 0 || self.method != HttpMethod::Get).then_some(length)
    }
}
