//! The headers of a request: those of the guest, checked, and those that hookbox adds.

use http::{HeaderMap, HeaderName, HeaderValue, header, uri::Authority};

use super::{RequestContext, invalid, sign, too_large};
use crate::sandbox::RenderError;

const FIELD: &str = "additional_headers";

/// Headers that say how the message is framed or what the connection is for (RFC 9110 section 7.6.1, RFC
/// 9112 section 6): the client's business alone, or the receiver could be made to read two requests.
const REFUSED: [&str; 8] = [
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "keep-alive",
    "expect",
    "http2-settings",
];

/// A header whose name holds one of these carries a credential.
const CREDENTIALS: [&str; 10] = [
    "authorization",
    "cookie",
    "api-key",
    "apikey",
    "api_key",
    "token",
    "secret",
    "password",
    "credential",
    "access-key",
];

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const HOOK_SIGNATURE: HeaderName = HeaderName::from_static("x-hook-signature");

/// The headers in order, each name once.
pub(super) struct Headers(Vec<Header>);

struct Header {
    name: HeaderName,
    /// The name as its author wrote it.
    spelling: String,
    value: HeaderValue,
    shown: String,
}

impl Headers {
    /// The guest's headers. As in NetBox, the webhook's content type comes first, a later header takes an
    /// earlier one's place whatever their case, and a `Content-Length` is not heeded.
    pub(super) fn from_guest(
        guest: &[(String, String)],
        ctx: &RequestContext<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, RenderError> {
        let limit = ctx.limits.headers;
        if guest.len() > limit {
            return Err(too_large(format!("there are more than {limit} headers")).in_field(FIELD));
        }
        let mut headers = Self(Vec::with_capacity(guest.len() + 8));
        if !ctx.webhook.http_content_type.is_empty() {
            let name = "Content-Type";
            let content_type = from_guest(name, &ctx.webhook.http_content_type, ctx)
                .map_err(|e| e.in_field("http_content_type"))?;
            headers.set(content_type);
        }
        for (name, value) in guest {
            let header = from_guest(name, value, ctx).map_err(|e| e.in_field(FIELD))?;
            if header.name == header::CONTENT_LENGTH {
                warnings.push(
                    "the Content-Length header was dropped: the body's true length is sent"
                        .to_owned(),
                );
            } else {
                headers.set(header);
            }
        }
        Ok(headers)
    }

    /// The credentials that stood in the URL. They override a header, as in NetBox.
    pub(super) fn set_credentials(&mut self, basic: &str) -> Result<(), RenderError> {
        let mut value = HeaderValue::from_str(basic)
            .map_err(|_| invalid("the URL's user name or password cannot be sent"))?;
        value.set_sensitive(true);
        self.set(Header {
            name: header::AUTHORIZATION,
            spelling: "Authorization".to_owned(),
            value,
            shown: "[redacted]".to_owned(),
        });
        Ok(())
    }

    /// Adds what hookbox always sends, and the signatures if the webhook has a secret. The body is the
    /// one that is sent.
    pub(super) fn complete(
        &mut self,
        ctx: &RequestContext<'_>,
        body: &[u8],
    ) -> Result<(), RenderError> {
        self.set_default("User-Agent", header::USER_AGENT, ctx.user_agent)?;
        self.set_default("Accept", header::ACCEPT, "*/*")?;
        self.set_default("Accept-Encoding", header::ACCEPT_ENCODING, "identity")?;

        let (id, timestamp) = (ctx.delivery.as_str(), ctx.now.as_secs().to_string());
        self.set_own("webhook-id", WEBHOOK_ID, id)?;
        self.set_own("webhook-timestamp", WEBHOOK_TIMESTAMP, &timestamp)?;
        if !ctx.webhook.secret.is_empty() {
            let secret = ctx.webhook.secret.expose();
            let standard = sign::standard_signature(secret, id, &timestamp, body);
            self.set_own("webhook-signature", WEBHOOK_SIGNATURE, &standard)?;
            let hook = sign::hook_signature(secret, body);
            self.set_own("X-Hook-Signature", HOOK_SIGNATURE, &hook)?;
        }
        Ok(())
    }

    /// Whether the content type, as it is shown, is JSON or based on it (RFC 6839).
    pub(super) fn content_type_is_json(&self) -> bool {
        let content_type = self.0.iter().find(|h| h.name == header::CONTENT_TYPE);
        content_type.is_some_and(|h| {
            let media_type = h.shown.split(';').next().unwrap_or_default().trim();
            let media_type = media_type.to_ascii_lowercase();
            media_type == "application/json" || media_type.ends_with("+json")
        })
    }

    pub(super) fn shown(&self) -> Vec<(String, String)> {
        self.0
            .iter()
            .map(|h| (h.spelling.clone(), h.shown.clone()))
            .collect()
    }

    pub(super) fn to_map(&self) -> HeaderMap {
        self.0
            .iter()
            .map(|h| (h.name.clone(), h.value.clone()))
            .collect()
    }

    /// The headers that are sent, with names as their author spelled them.
    pub(super) fn into_sent(self) -> Vec<(String, HeaderValue)> {
        let sent = |header: Header| (header.spelling, header.value);
        self.0.into_iter().map(sent).collect()
    }

    fn set(&mut self, header: Header) {
        match self.0.iter_mut().find(|h| h.name == header.name) {
            Some(earlier) => *earlier = header,
            None => self.0.push(header),
        }
    }

    fn set_default(
        &mut self,
        spelling: &str,
        name: HeaderName,
        value: &str,
    ) -> Result<(), RenderError> {
        if self.0.iter().any(|h| h.name == name) {
            return Ok(());
        }
        self.set_own(spelling, name, value)
    }

    fn set_own(&mut self, spelling: &str, name: HeaderName, text: &str) -> Result<(), RenderError> {
        let value = HeaderValue::from_str(text)
            .map_err(|_| invalid(format!("hookbox's own header {spelling} cannot be sent")))?;
        self.set(Header {
            name,
            spelling: spelling.to_owned(),
            value,
            shown: text.to_owned(),
        });
        Ok(())
    }
}

/// One header of the guest, with its secrets in it. The errors name the header and never quote its value.
fn from_guest(name: &str, value: &str, ctx: &RequestContext<'_>) -> Result<Header, RenderError> {
    // A name may be as long as the limit: what is quoted is cut.
    let quoted: String = name.chars().take(64).collect();
    let limit = ctx.limits.header_bytes;
    let over = || {
        too_large(format!(
            "the header {quoted:?} is over its limit of {limit} bytes"
        ))
    };
    if name.len().saturating_add(value.len()) > limit {
        return Err(over());
    }
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
        invalid(format!(
            "{quoted:?} is not a valid header name: use letters, digits and - without spaces"
        ))
    })?;
    if REFUSED.contains(&parsed.as_str()) || parsed.as_str().starts_with("proxy-") {
        return Err(invalid(format!(
            "the header {quoted:?} cannot be set: it belongs to the connection, which hookbox manages"
        )));
    }
    let value = value.trim_matches([' ', '\t']);
    let substituted = ctx
        .secrets
        .substitute_text(value, limit - name.len())
        .map_err(|_| over())?;
    let (sent, shown) = match &substituted {
        None => (value, value),
        Some((sent, shown)) => (sent.trim_matches([' ', '\t', '\r', '\n']), shown.as_str()),
    };
    // One sentence for all that can be wrong with a secret, as more would tell of its value.
    let refused = |why: String| {
        invalid(match &substituted {
            None => why,
            Some(_) => format!(
                "the value of the header {quoted:?}, with its secrets put in, is not valid: headers can carry neither \
                 control characters nor characters beyond U+00FF (Latin-1), and a Host header only a host"
            ),
        })
    };
    let mut bytes = Vec::with_capacity(sent.len());
    for c in sent.chars() {
        let byte = u8::try_from(c).map_err(|_| {
            refused(format!(
                "the value of the header {quoted:?} holds a character that HTTP headers cannot carry: only those up \
                 to U+00FF (Latin-1) can be sent; encode it, for example with the urlencode filter"
            ))
        })?;
        bytes.push(byte);
    }
    let mut value = HeaderValue::from_bytes(&bytes).map_err(|_| {
        refused(format!(
            "the value of the header {quoted:?} holds a line break or another control character"
        ))
    })?;
    if parsed == header::HOST && !is_host(sent) {
        return Err(refused(
            "the value of the Host header is not a host name with an optional port".to_owned(),
        ));
    }
    let is_credential = is_credential(parsed.as_str());
    value.set_sensitive(is_credential || substituted.is_some());
    Ok(Header {
        name: parsed,
        spelling: name.to_owned(),
        value,
        shown: if is_credential { "[redacted]" } else { shown }.to_owned(),
    })
}

/// Whether the value of a header of this name (in lower case) is not to be shown.
pub(crate) fn is_credential(name: &str) -> bool {
    CREDENTIALS.iter().any(|word| name.contains(word))
}

fn is_host(text: &str) -> bool {
    !text.contains('@')
        && text
            .parse::<Authority>()
            .is_ok_and(|authority| !authority.host().is_empty())
}
