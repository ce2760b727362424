//! NetBox's REST API, as far as an import needs it: lists, page by page.
//!
//! Any server may answer, so pages, bytes and time are bounded, and the token goes to the origin that
//! the user named and nowhere else: redirects are not followed, and neither is a `next` of another origin.

use std::{collections::HashSet, time::Duration};

use reqwest::{
    Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, HeaderValue, RETRY_AFTER},
};
use serde_json::Value;
use url::Url;

use super::source::{MAX_OBJECTS, Objects};
use crate::{
    cli::{
        error::{CliError, CliResult, root_cause},
        terminal::{one_line, shortened},
    },
    model::{Secret, json},
};

/// Bytes of all pages of one list, as much as a file may have.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Objects asked for in one page. NetBox gives up to 1000 unless told otherwise.
const PAGE: usize = 200;
/// Pages of one list.
const MAX_PAGES: usize = 1000;
/// Times that a page is asked for when NetBox says to come back.
const TRIES: u32 = 3;
/// Longest wait that NetBox can ask for, in seconds.
const LONGEST_WAIT: u64 = 10;

/// A NetBox.
#[derive(Debug)]
pub(super) struct NetBox {
    http: reqwest::Client,
    base: Url,
    authorization: Option<HeaderValue>,
}

impl NetBox {
    /// A client for the NetBox at this URL, with the base path if it has one.
    pub(super) fn new(base: Url, token: Option<&Secret>, timeout: Duration) -> CliResult<Self> {
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(CliError::usage(format!(
                "NetBox's URL must begin with http:// or https://, not {}",
                one_line(base.as_str())
            )));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(CliError::usage(
                "NetBox's URL must not hold a user name or password: give the token in NETBOX_TOKEN",
            ));
        }
        let authorization = token.map(authorization).transpose()?;
        let http = reqwest::Client::builder()
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("hookbox/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| {
                CliError::failed(format!("cannot set up the HTTP client: {}", root_cause(&e)))
            })?;
        Ok(Self {
            http,
            base,
            authorization,
        })
    }

    /// All webhooks and event rules that the token may see. If it may see only one of the two, the other is
    /// named in [`Objects::missing`].
    pub(super) async fn objects(&self) -> CliResult<Objects> {
        let mut objects = Objects::default();
        let mut refused = Vec::new();
        for (path, word) in [("webhooks", "webhooks"), ("event-rules", "event rules")] {
            match self.list(path).await {
                Ok(items) if path == "webhooks" => objects.webhooks = items,
                Ok(items) => objects.rules = items,
                Err(Failure::Forbidden(why)) => {
                    refused.push(format!("the {word} cannot be read: {why}"));
                }
                Err(Failure::Other(error)) => return Err(error),
            }
        }
        if refused.len() == 2 {
            return Err(CliError::failed(refused.join("; ")));
        }
        objects.missing = refused;
        Ok(objects)
    }

    async fn list(&self, path: &str) -> Result<Vec<Value>, Failure> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments
                .pop_if_empty()
                .extend(["api", "extras", path])
                .push("");
        }
        url.set_fragment(None);
        url.set_query(Some(&format!("limit={PAGE}&offset=0")));
        let mut seen = HashSet::new();
        let mut items = Vec::new();
        let mut budget = MAX_BYTES;
        loop {
            let shown = one_line(url.path());
            if seen.len() >= MAX_PAGES || !seen.insert(url.to_string()) {
                return Err(fail(format!(
                    "NetBox's pages at {shown} do not end: page {} leads back to an earlier one, or there are \
                     more than {MAX_PAGES}",
                    seen.len()
                )));
            }
            let mut page = self.page(&url, &mut budget).await?;
            let Some(Value::Array(results)) = page.get_mut("results").map(Value::take) else {
                return Err(fail(format!(
                    "what answers at {shown} is not NetBox's API: it has no results; give the URL under which \
                     NetBox's own pages are"
                )));
            };
            items.extend(results);
            if items.len() > MAX_OBJECTS {
                return Err(fail(format!(
                    "there are more than {MAX_OBJECTS} objects at {shown}"
                )));
            }
            let Some(next) = page.get("next").and_then(Value::as_str) else {
                return Ok(items);
            };
            url = self.next(&url, next)?;
        }
    }

    /// The next page, if it is of the same origin: the token must not go elsewhere.
    fn next(&self, url: &Url, next: &str) -> Result<Url, Failure> {
        let next = url
            .join(next)
            .map_err(|_| fail("NetBox names a next page that is no URL"))?;
        if next.origin() == self.base.origin() {
            return Ok(next);
        }
        Err(fail(format!(
            "NetBox's next page is at {}, and not at {}: the token is not sent there. If that is the same \
             NetBox, its proxy does not pass on Host and X-Forwarded-Proto; give that URL instead",
            one_line(&next.origin().ascii_serialization()),
            one_line(&self.base.origin().ascii_serialization())
        )))
    }

    async fn page(&self, url: &Url, budget: &mut usize) -> Result<Value, Failure> {
        let mut tries = 1;
        loop {
            let mut request = self
                .http
                .get(url.clone())
                .header(ACCEPT, "application/json");
            if let Some(authorization) = &self.authorization {
                request = request.header(AUTHORIZATION, authorization.clone());
            }
            let response = request.send().await.map_err(|e| self.unreachable(&e))?;
            let status = response.status();
            let is_passing = matches!(status.as_u16(), 429 | 502..=504);
            if !is_passing || tries >= TRIES {
                return self.read(response, budget).await;
            }
            let wait = response.headers().get(RETRY_AFTER);
            let wait = wait
                .and_then(|v| v.to_str().ok()?.parse().ok())
                .unwrap_or(1);
            tokio::time::sleep(Duration::from_secs(wait.min(LONGEST_WAIT))).await;
            tries += 1;
        }
    }

    async fn read(&self, mut response: Response, budget: &mut usize) -> Result<Value, Failure> {
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(&e))? {
            *budget = budget
                .checked_sub(chunk.len())
                .ok_or_else(|| fail(format!("NetBox's pages have more than {MAX_BYTES} bytes")))?;
            bytes.extend_from_slice(&chunk);
        }
        let answer = json::parse(&bytes, json::MAX_DEPTH);
        if status.is_success() {
            return answer.map_err(|e| {
                fail(format!(
                    "what answers at {} is not NetBox's API: it is not JSON ({e})",
                    one_line(response.url().path())
                ))
            });
        }
        let detail = answer.ok().and_then(|json| {
            let detail = json.get("detail").and_then(Value::as_str)?;
            Some(shortened(detail, 300))
        });
        let said = detail.map_or(String::new(), |detail| format!(": {detail}"));
        Err(match status {
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED if self.authorization.is_none() => {
                fail(format!(
                    "NetBox wants a token{said}; set NETBOX_TOKEN to one whose user may view webhooks and event \
                     rules"
                ))
            }
            StatusCode::UNAUTHORIZED => fail(format!("NetBox does not accept the token{said}")),
            StatusCode::FORBIDDEN => Failure::Forbidden(format!(
                "NetBox answered 403{said}; the token's user needs the permissions extras.view_webhook and \
                 extras.view_eventrule"
            )),
            StatusCode::NOT_FOUND => fail(format!(
                "there is no {} at {}: give the URL under which NetBox's own pages are; event rules came with \
                 NetBox 3.7",
                one_line(response.url().path()),
                one_line(&self.base.origin().ascii_serialization())
            )),
            status if status.is_redirection() => fail(format!(
                "NetBox answered {} and redirects are not followed, as the token would go along; give the URL \
                 that it leads to",
                status.as_u16()
            )),
            status => fail(format!("NetBox answered {}{said}", status.as_u16())),
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let base = one_line(&self.base.origin().ascii_serialization());
        fail(if error.is_timeout() {
            format!("NetBox at {base} did not answer in time; see --timeout")
        } else {
            format!(
                "cannot read from NetBox at {base}: {}",
                one_line(&root_cause(error))
            )
        })
    }
}

enum Failure {
    /// The token may not read this; it may be allowed other things.
    Forbidden(String),
    Other(CliError),
}

fn fail(message: impl Into<String>) -> Failure {
    Failure::Other(CliError::failed(message.into()))
}

/// The header of a token: those of NetBox 4.5's second kind say so themselves.
fn authorization(token: &Secret) -> CliResult<HeaderValue> {
    let token = token.expose().trim();
    let scheme = if token.starts_with("nbt_") {
        "Bearer"
    } else {
        "Token"
    };
    let is_word = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    let value = HeaderValue::from_str(&format!("{scheme} {token}")).ok();
    let Some(mut value) = value.filter(|_| is_word) else {
        return Err(CliError::usage(
            "the token is empty or holds characters that no token of NetBox has",
        ));
    };
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_tokens_are_sent_in_their_own_way() {
        let header = |token: &str| {
            authorization(&Secret::new(token)).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(header("0123abcd\n").unwrap(), "Token 0123abcd");
        assert_eq!(header("nbt_AbC.dEf").unwrap(), "Bearer nbt_AbC.dEf");
        for bad in ["", " ", "a b", "a\r\nX: y", "ü"] {
            let error = header(bad).expect_err(bad).to_string();
            assert!(error.starts_with("the token is empty"), "{error}");
        }
        let value = authorization(&Secret::new("0123abcd")).unwrap();
        assert!(!format!("{value:?}").contains("0123"));
    }
}
