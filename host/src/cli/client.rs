//! The API client of the commands that talk to a server.

use std::{collections::HashSet, time::Duration};

use clap::Args;
use reqwest::{Method, Response, StatusCode, header};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use url::Url;

use super::{
    error::{CliError, CliResult, root_cause},
    terminal::one_line,
};
use crate::{
    api::{List, ProblemBody},
    model::Secret,
};

/// Longest answer that is read.
const MAX_ANSWER: usize = 256 * 1024 * 1024;
/// Results asked for in one page.
pub(super) const PAGE: usize = 500;

/// Which server to talk to. The key comes from the environment alone: a command line can be seen by
/// every user of the machine, and stays in the shell's history.
#[derive(Debug, Args)]
pub(super) struct Server {
    /// The server. The API key is read from the variable HOOKBOX_KEY
    #[arg(
        long = "url",
        env = "HOOKBOX_URL",
        default_value = "http://127.0.0.1:8844",
        global = true
    )]
    url: Url,
}

impl Server {
    /// The client for this server with the key in the environment.
    pub(super) fn client(&self) -> CliResult<Client> {
        let key = std::env::var("HOOKBOX_KEY")
            .ok()
            .filter(|k| !k.trim().is_empty());
        // It would be no header's value, and the HTTP client could not say why.
        if let Some(key) = &key
            && !key.trim().bytes().all(|b| b.is_ascii_graphic())
        {
            return Err(CliError::usage(
                "HOOKBOX_KEY holds a space, a line break or another character that no API key has: copy the key again",
            ));
        }
        Client::new(self.url.clone(), key.map(|k| Secret::new(k.trim())))
    }
}

/// A connection to one server's API.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<Secret>,
    patience: Duration,
}

/// How long an answer is waited for, body included.
const PATIENCE: Duration = Duration::from_secs(60);

/// The body of a request.
#[derive(Debug)]
pub(super) enum Payload<'a> {
    Nothing,
    Json(&'a Value),
    /// A content type and bytes.
    Bytes(&'a str, Vec<u8>),
    /// A content type, a number of bytes, and what they come from.
    Stream(&'a str, usize, reqwest::Body),
}

/// A request that the server refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) problem: ProblemBody,
    /// All of it in one line.
    pub(super) text: String,
}

impl From<Refusal> for CliError {
    fn from(refusal: Refusal) -> Self {
        Self::Failed(refusal.text)
    }
}

impl Client {
    pub(super) fn new(base: Url, key: Option<Secret>) -> CliResult<Self> {
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(CliError::usage(format!(
                "the server's URL must begin with http:// or https://, as http://127.0.0.1:8844 does, not {}",
                one_line(base.as_str())
            )));
        }
        let mut base = base;
        // The API's own path is added to each call.
        if base.path().trim_end_matches('/').ends_with("/v1")
            && let Ok(mut segments) = base.path_segments_mut()
        {
            segments.pop_if_empty().pop();
        }
        let mut builder = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            // A redirect would carry the key to another place.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("hookbox/", env!("CARGO_PKG_VERSION")));
        let is_local = match base.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        if is_local {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|e| {
            CliError::failed(format!("cannot set up the HTTP client: {}", root_cause(&e)))
        })?;
        Ok(Self {
            http,
            base,
            key,
            patience: PATIENCE,
        })
    }

    /// The same, which waits for so long.
    pub(super) fn patient(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// GET of bytes, at most `max` of them.
    pub(super) async fn get_bytes(&self, path: &[&str], max: usize) -> CliResult<Vec<u8>> {
        let response = self
            .send(Method::GET, path, &[], Payload::Nothing, &[])
            .await?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await?.into());
        }
        self.read(response, max).await
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> CliResult<T> {
        self.call(Method::GET, path, &[], Payload::Nothing).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        payload: Payload<'_>,
    ) -> CliResult<T> {
        self.call(Method::POST, path, &[], payload).await
    }

    pub(super) async fn delete(&self, path: &[&str]) -> CliResult {
        let deleted = self.call(Method::DELETE, path, &[], Payload::Nothing).await;
        deleted.map(|_: IgnoredAny| ())
    }

    /// One call of the API. `path` is given in segments after `/v1`, each of which may hold any text. A `Value` has the
    /// answer as it came; types of the API leave out fields that this program does not know.
    ///
    /// # Errors
    /// One line with the server's reason, or that it cannot be reached.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        payload: Payload<'_>,
    ) -> CliResult<T> {
        let (_, _, answer) = self.call_for_place(method, path, query, payload).await?;
        Ok(answer)
    }

    /// As [`Client::call`], with the status and the path of the object in the answer, if it says one.
    pub(super) async fn call_for_place<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        payload: Payload<'_>,
    ) -> CliResult<(StatusCode, String, T)> {
        let response = self.send(method, path, query, payload, &[]).await?;
        let status = response.status();
        let place = |name| response.headers().get(name)?.to_str().ok();
        let place = place(header::LOCATION).or_else(|| place(header::CONTENT_LOCATION));
        let place = place.unwrap_or_default().to_owned();
        let answer = self.answer(response).await?;
        Ok((status, place, answer?))
    }

    /// GET of an object that may not be there: nothing instead of an error then.
    pub(super) async fn find<T: DeserializeOwned>(&self, path: &[&str]) -> CliResult<Option<T>> {
        match self.try_get(path).await? {
            Ok(found) => Ok(Some(found)),
            Err(refusal) if refusal.status == StatusCode::NOT_FOUND => Ok(None),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// GET for a caller that may know what to do about a refusal.
    pub(super) async fn try_get<T: DeserializeOwned>(
        &self,
        path: &[&str],
    ) -> CliResult<Result<T, Refusal>> {
        let payload = Payload::Nothing;
        let response = self.send(Method::GET, path, &[], payload, &[]).await?;
        self.answer(response).await
    }

    /// Posts with further headers, for a caller that may know what to do about a refusal.
    pub(super) async fn try_post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        payload: Payload<'_>,
        headers: &[(&str, &str)],
    ) -> CliResult<Result<T, Refusal>> {
        let response = self.send(Method::POST, path, &[], payload, headers).await?;
        self.answer(response).await
    }

    /// All results of a list, page by page, up to `max`.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        max: usize,
    ) -> CliResult<Vec<T>> {
        let mut results = Vec::new();
        let mut cursor: Option<String> = None;
        let mut seen = HashSet::new();
        loop {
            let limit = (max - results.len()).min(PAGE).to_string();
            let mut query = query.to_vec();
            query.push(("limit", &limit));
            if let Some(cursor) = &cursor {
                query.push(("cursor", cursor));
            }
            let page = self.call(Method::GET, path, &query, Payload::Nothing);
            let page: List<T> = page.await?;
            results.extend(page.results);
            cursor = page.next;
            if cursor
                .as_ref()
                .is_some_and(|cursor| !seen.insert(cursor.clone()))
            {
                return Err(self.not_hookbox());
            }
            // An empty page may have a next one: the server looks at so many things for one page.
            if cursor.is_none() || results.len() >= max {
                results.truncate(max);
                return Ok(results);
            }
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        payload: Payload<'_>,
        headers: &[(&str, &str)],
    ) -> CliResult<Response> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http.request(method, url).timeout(self.patience);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key.expose());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request = match payload {
            Payload::Nothing => request,
            Payload::Json(value) => request.json(value),
            Payload::Bytes(content_type, bytes) => {
                request.header("content-type", content_type).body(bytes)
            }
            Payload::Stream(content_type, length, body) => request
                .header("content-type", content_type)
                .header("content-length", length)
                .body(body),
        };
        request.send().await.map_err(|e| self.unreachable(&e))
    }

    async fn read(&self, mut response: Response, max: usize) -> CliResult<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(&e))? {
            if bytes.len() + chunk.len() > max {
                return Err(CliError::failed("the server's answer is too large"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// The answer as a type of the API, or the refusal.
    async fn answer<T: DeserializeOwned>(
        &self,
        response: Response,
    ) -> CliResult<Result<T, Refusal>> {
        if !response.status().is_success() {
            return Ok(Err(self.refusal(response).await?));
        }
        let bytes = self.read(response, MAX_ANSWER).await?;
        let json: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        match serde_json::from_slice(json) {
            Ok(answer) => Ok(Ok(answer)),
            Err(_) if serde_json::from_slice::<IgnoredAny>(json).is_err() => {
                Err(self.not_hookbox())
            }
            Err(error) => Err(CliError::Failed(format!(
                "this program cannot read the answer of {} ({}): check that HOOKBOX_URL is a hookbox of the same version",
                one_line(self.base.as_str()),
                one_line(&error.to_string())
            ))),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> CliError {
        let base = one_line(self.base.as_str());
        let what = one_line(&root_cause(error));
        CliError::Failed(if error.is_connect() {
            format!(
                "cannot reach hookbox at {base} ({what}): start it with `hookbox serve`, or set HOOKBOX_URL"
            )
        } else if error.is_timeout() {
            format!("hookbox at {base} did not answer in time")
        } else {
            format!("the call to hookbox at {base} failed: {what}")
        })
    }

    fn not_hookbox(&self) -> CliError {
        CliError::Failed(format!(
            "what answers at {} does not look like hookbox: check HOOKBOX_URL",
            one_line(self.base.as_str())
        ))
    }

    async fn refusal(&self, response: Response) -> CliResult<Refusal> {
        let status = response.status();
        let bytes = self.read(response, MAX_ANSWER).await?;
        let problem: ProblemBody = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(Refusal {
            status,
            text: self.explain(status, &problem),
            problem,
        })
    }

    /// A problem document (RFC 9457) in one line.
    fn explain(&self, status: StatusCode, problem: &ProblemBody) -> String {
        if status == StatusCode::UNAUTHORIZED {
            let base = one_line(self.base.as_str());
            return match (&self.key, problem.detail.as_str()) {
                (None, _) => format!(
                    "hookbox at {base} needs an API key: set HOOKBOX_KEY (`hookbox serve` prints the first one)"
                ),
                (Some(_), detail) => {
                    let detail = if detail.is_empty() {
                        "it gives no reason"
                    } else {
                        detail
                    };
                    format!(
                        "hookbox at {base} does not take the API key in HOOKBOX_KEY: {}. If the admin key is lost, start \
                         the server with another in HOOKBOX_ADMIN_KEY",
                        one_line(detail)
                    )
                }
            };
        }
        let mut parts = vec![one_line(&problem.title)];
        // Where there are errors, the detail only repeats one or counts them.
        if problem.errors.is_empty() {
            parts.push(one_line(&problem.detail));
        }
        for error in &problem.errors {
            let line = error.line.map(|n| format!(" (line {n})"));
            let place = format!("{}{}", error.field, line.unwrap_or_default());
            // An error of the whole has no field.
            let colon = if place.is_empty() { "" } else { ": " };
            parts.push(one_line(&format!("{place}{colon}{}", error.message)));
        }
        parts.retain(|part| !part.is_empty());
        if parts.is_empty() {
            return format!("the server answered {status}");
        }
        parts.join("; ")
    }
}
