//! Stage 5: a rendered request becomes a valid one, with its secrets put in and its signatures made.
//!
//! The output of a guest is text by a stranger. [`OutboundRequest::build`] puts secret values where their
//! handles stand, checks the result against HTTP's grammar and the limits, completes the headers and signs
//! the bytes that are sent. Nothing else constructs an [`OutboundRequest`].
//!
//! Each part is kept twice: as it is sent, and as it may be shown, with `[secret:NAME]` where a secret
//! stands. Errors, warnings and sizes are those of what may be shown, so a secret's value leaves this module only
//! in the request itself. [`Redactor`] hides it in what comes back.

mod headers;
mod plain;
mod redact;
mod secrets;
pub(crate) mod sign;
mod url;

use std::fmt;

use ::url::Url;

pub use redact::Redactor;
pub use secrets::SecretValues;

use crate::{
    config::SandboxConfig,
    model::{DeliveryId, HttpMethod, Timestamp, WebhookSpec},
    record::{Body, RequestRecord},
    sandbox::{ErrorKind, RenderError, Rendered},
};
use headers::Headers;
pub(crate) use headers::is_credential;

/// The context in which a request is built.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext<'a> {
    /// For its content type and signing secret.
    pub webhook: &'a WebhookSpec,
    /// Sent as `webhook-id`.
    pub delivery: &'a DeliveryId,
    /// Sent as `webhook-timestamp`, in seconds.
    pub now: Timestamp,
    /// The values of the handles that the guest was given.
    pub secrets: &'a SecretValues,
    /// `url_bytes`, `headers`, `header_bytes` and `body_bytes` hold for what is sent, secrets included.
    pub limits: &'a SandboxConfig,
    /// Sent unless the guest set a `User-Agent`.
    pub user_agent: &'a str,
}

/// A valid request with its secrets in it and its signatures on it. Not yet allowed to be sent:
/// [`crate::guard`] looks at where it goes.
pub struct OutboundRequest {
    method: HttpMethod,
    url: Url,
    shown_url: String,
    shown_host: String,
    headers: Headers,
    body: Vec<u8>,
    shown_body: Option<Vec<u8>>,
    warnings: Vec<String>,
    redactor: Redactor,
}

/// Bytes of all secrets that one request places, each counted once.
const PLACED_BYTES: usize = 64 << 10;

impl OutboundRequest {
    /// Validates what the guest returned, puts secrets in, adds signatures and standard headers.
    ///
    /// Deterministic and without I/O, so a dry run is this and [`OutboundRequest::record`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] or [`ErrorKind::OutputTooLarge`], with the webhook field at fault.
    pub fn build(rendered: Rendered, ctx: &RequestContext<'_>) -> Result<Self, RenderError> {
        let method = HttpMethod::from_name(rendered.method()).ok_or_else(|| {
            RenderError::new(
                ErrorKind::InvalidRequest,
                "the method must be one of GET, POST, PUT, PATCH and DELETE, in upper case",
            )
            .in_field("http_method")
        })?;
        let target = url::target(rendered.url(), ctx)?;
        let redactor = redactor(&rendered, &target, ctx.secrets)?;

        let mut warnings = Vec::new();
        let mut headers = Headers::from_guest(rendered.headers(), ctx, &mut warnings)?;
        warnings.extend(json_warning(&headers, rendered.body(), ctx.secrets));
        let (body, shown_body) = body(rendered.into_body(), ctx)?;
        if let Some(credentials) = &target.basic {
            headers.set_credentials(credentials)?;
        }
        headers.complete(ctx, &body)?;
        Ok(Self {
            method,
            url: target.url,
            shown_url: target.shown,
            shown_host: target.shown_host,
            headers,
            body,
            shown_body,
            warnings,
            redactor,
        })
    }

    /// The request in the form that may be stored and shown: `[secret:NAME]` in the place of each secret, and
    /// `[redacted]` in the place of other credentials in headers. Signatures are shown in full, so that a receiver can
    /// be debugged: they are valid for this body alone.
    #[must_use]
    pub fn record(&self) -> RequestRecord {
        self.record_within(usize::MAX, usize::MAX)
    }

    /// [`OutboundRequest::record`], cut to the first `body_bytes` of the body and to the headers that fit into
    /// [`RequestRecord::MAX_HEADERS`] bytes. If not all headers fit, the last ones are kept.
    #[must_use]
    pub fn record_up_to(&self, body_bytes: usize) -> RequestRecord {
        self.record_within(body_bytes, RequestRecord::MAX_HEADERS)
    }

    fn record_within(&self, body_bytes: usize, header_bytes: usize) -> RequestRecord {
        let body = self.shown_body.as_deref().unwrap_or(&self.body);
        let kept = body.get(..body_bytes).unwrap_or(body);
        let shown = self.headers.shown();
        let all = shown.len();
        let mut room = header_bytes;
        // From the last to the first: the headers that hookbox has set are small and come last.
        let fitting = shown.into_iter().rev().filter(|(name, value)| {
            let left = room.checked_sub(name.len().saturating_add(value.len()));
            room = left.unwrap_or(room);
            left.is_some()
        });
        let mut headers: Vec<_> = fitting.collect();
        headers.reverse();
        RequestRecord {
            method: self.method.as_str().to_owned(),
            url: self.shown_url.clone(),
            headers_left_out: all.saturating_sub(headers.len()),
            headers,
            body: Body::new_cut(kept),
            truncated: kept.len() < body.len(),
            body_bytes: body.len() as u64,
        }
    }

    /// The redactor for the receiver's answer. It hides the secrets that this request carries.
    #[must_use]
    pub fn redactor(&self) -> Redactor {
        self.redactor.clone()
    }

    /// Whether scheme, host or port hold a secret. Then a look-up of the host would tell the secret to name servers,
    /// and nothing about the destination may be shown.
    #[must_use]
    pub fn destination_is_secret(&self) -> bool {
        self.redactor.hides_destination()
    }

    /// Parts of the request that are sent but are probably mistakes, one sentence each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> HttpMethod {
        self.method
    }

    /// The URL. May hold secrets: not for logs or records.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The host as it may be shown.
    #[must_use]
    pub fn shown_host(&self) -> &str {
        &self.shown_host
    }

    /// The body as it is sent. May hold secrets.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The headers as they are sent, without those that HTTP itself computes (`Host` unless the guest set
    /// it, `Content-Length`). May hold secrets; those values are marked as sensitive.
    #[must_use]
    pub fn headers(&self) -> http::HeaderMap {
        self.headers.to_map()
    }

    /// Method, URL, headers as they are spelled, body.
    pub(crate) fn into_parts(self) -> (HttpMethod, Url, Vec<(String, http::HeaderValue)>, Vec<u8>) {
        (self.method, self.url, self.headers.into_sent(), self.body)
    }
}

impl fmt::Debug for OutboundRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundRequest")
            .field("method", &self.method)
            .field("url", &self.shown_url)
            .field(
                "body_bytes",
                &self.shown_body.as_ref().unwrap_or(&self.body).len(),
            )
            .finish_non_exhaustive()
    }
}

/// Builds the redactor: it knows every secret that this request carries and hides it in what the receiver answers.
///
/// # Errors
/// If the request places more than [`PLACED_BYTES`] of secrets: each is searched for in several spellings.
fn redactor(
    rendered: &Rendered,
    target: &url::Target,
    secrets: &SecretValues,
) -> Result<Redactor, RenderError> {
    let headers = rendered.headers().iter().map(|(_, value)| value.as_bytes());
    let texts = [rendered.url().as_bytes(), rendered.body()]
        .into_iter()
        .chain(headers);
    let basic = target.basic.as_deref();
    let basic = basic.and_then(|value| value.strip_prefix("Basic "));
    let host = target.url.host_str().filter(|_| target.is_secret);
    let placed = secrets.placed(texts);
    let bytes: usize = placed.values().map(|value| value.len()).sum();
    if bytes > PLACED_BYTES && !secrets.are_stand_ins() {
        return Err(invalid(format!(
            "the request places secrets of more than {PLACED_BYTES} bytes together; place fewer or shorter ones"
        )));
    }
    let values = placed.into_iter();
    let values = values
        .chain(basic.map(|value| ("credentials", value)))
        .chain(host.map(|value| ("host", value)));
    Ok(Redactor::new(values, target.is_secret))
}

/// The body as sent and, if it differs, as shown.
fn body(
    body: Vec<u8>,
    ctx: &RequestContext<'_>,
) -> Result<(Vec<u8>, Option<Vec<u8>>), RenderError> {
    let limit = ctx.limits.body_bytes;
    let too_large = || {
        too_large(format!("the body is over its limit of {limit} bytes")).in_field("body_template")
    };
    if body.len() > limit {
        return Err(too_large());
    }
    match ctx.secrets.substitute(&body, limit) {
        Ok(None) => Ok((body, None)),
        Ok(Some(text)) => Ok((text.value, Some(text.shown))),
        Err(secrets::OverLimit) => Err(too_large()),
    }
}

/// The warning about a body that is declared as JSON and is not valid JSON. It is sent as it is, since NetBox does so.
/// The body is parsed with the handles in it: the result for the body with the secrets would tell something about them.
fn json_warning(headers: &Headers, rendered: &[u8], secrets: &SecretValues) -> Option<String> {
    if rendered.is_empty() || !headers.content_type_is_json() {
        return None;
    }
    let error = serde_json::from_slice::<serde::de::IgnoredAny>(rendered).err()?;
    // The parser's own limit of depth says nothing about the body's validity.
    if error.to_string().starts_with("recursion limit") {
        return None;
    }
    let warning = "the content type says JSON but the body is not valid JSON";
    Some(if secrets.stand_in(rendered) {
        format!("{warning}; a secret in it may need the tojson filter's quotes around its handle")
    } else {
        format!("{warning}: {error}")
    })
}

fn invalid(message: impl Into<String>) -> RenderError {
    RenderError::new(ErrorKind::InvalidRequest, message)
}

fn too_large(message: impl Into<String>) -> RenderError {
    RenderError::new(ErrorKind::OutputTooLarge, message)
}

#[cfg(test)]
mod tests;
