//! The API client of the commands that talk to a server.

use std::{collections::HashSet, time::Duration};

use clap::Args;
use reqwest::{Method, Response, StatusCode, header};
use serde_json::Value;
use url::Url;

use super::{
    error::{CliError, CliResult, root_cause},
    terminal::one_line,
};
use crate::model::Secret;

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
    /// The problem's `type`.
    pub(super) kind: String,
    /// The fields at fault.
    pub(super) fields: Vec<String>,
    /// All of it in one line.
    pub(super) text: String,
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
        let status = response.status();
        if !status.is_success() {
            let answer = self.read(response).await?;
            return Err(CliError::Failed(self.refusal(status, &answer)));
        }
        self.read_bytes(response, max).await
    }

    pub(super) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> CliResult<Value> {
        self.call(Method::GET, path, query, Payload::Nothing).await
    }

    pub(super) async fn post(&self, path: &[&str], payload: Payload<'_>) -> CliResult<Value> {
        self.call(Method::POST, path, &[], payload).await
    }

    /// One call of the API. `path` is given in segments after `/v1`, each of which may hold any text.
    ///
    /// # Errors
    /// One line that says what the server said, or that it cannot be reached.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        payload: Payload<'_>,
    ) -> CliResult<Value> {
        let (_, _, answer) = self.call_for_place(method, path, query, payload).await?;
        Ok(answer)
    }

    /// As [`Client::call`], with the status and the path of what the answer is about, if it says one.
    pub(super) async fn call_for_place(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        payload: Payload<'_>,
    ) -> CliResult<(StatusCode, String, Value)> {
        let response = self.send(method, path, query, payload, &[]).await?;
        let status = response.status();
        let place = |name| response.headers().get(name)?.to_str().ok();
        let place = place(header::LOCATION).or_else(|| place(header::CONTENT_LOCATION));
        let place = place.unwrap_or_default().to_owned();
        let answer = self.read(response).await?;
        if status.is_success() {
            Ok((status, place, answer))
        } else {
            Err(CliError::Failed(self.refusal(status, &answer)))
        }
    }

    /// As [`Client::call`], but nothing instead of an error when there is no such thing.
    pub(super) async fn find(&self, path: &[&str]) -> CliResult<Option<Value>> {
        let response = self
            .send(Method::GET, path, &[], Payload::Nothing, &[])
            .await?;
        let status = response.status();
        let answer = self.read(response).await?;
        match status {
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Ok(None),
            status if status.is_success() => Ok(Some(answer)),
            status => Err(CliError::Failed(self.refusal(status, &answer))),
        }
    }

    /// Posts with further headers. A refusal is an answer here, as the caller may know what to do about it.
    pub(super) async fn try_post(
        &self,
        path: &[&str],
        payload: Payload<'_>,
        headers: &[(&str, &str)],
    ) -> CliResult<Result<Value, Refusal>> {
        let response = self.send(Method::POST, path, &[], payload, headers).await?;
        let status = response.status();
        let answer = self.read(response).await?;
        if status.is_success() {
            return Ok(Ok(answer));
        }
        let errors = answer.get("errors").and_then(Value::as_array);
        let fields = errors.into_iter().flatten();
        let fields = fields.filter_map(|error| error.get("field")?.as_str());
        let kind = answer.get("type").and_then(Value::as_str);
        Ok(Err(Refusal {
            status,
            kind: kind.unwrap_or_default().to_owned(),
            fields: fields.map(str::to_owned).collect(),
            text: self.refusal(status, &answer),
        }))
    }

    /// All results of a list, page by page, up to `max`.
    pub(super) async fn list(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        max: usize,
    ) -> CliResult<Vec<Value>> {
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
            let mut page = self.get(path, &query).await?;
            let Some(Value::Array(mut more)) = page.get_mut("results").map(Value::take) else {
                return Err(self.not_hookbox());
            };
            results.append(&mut more);
            cursor = page.get("next").and_then(Value::as_str).map(str::to_owned);
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

    async fn read_bytes(&self, mut response: Response, max: usize) -> CliResult<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(&e))? {
            if bytes.len() + chunk.len() > max {
                return Err(CliError::failed("the server's answer is too large"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    async fn read(&self, response: Response) -> CliResult<Value> {
        let status = response.status();
        let bytes = self.read_bytes(response, MAX_ANSWER).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(value),
            Err(_) if status.is_success() => Err(self.not_hookbox()),
            Err(_) => Ok(Value::Null),
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

    /// A problem document (RFC 9457) in one line.
    fn refusal(&self, status: StatusCode, problem: &Value) -> String {
        if status == StatusCode::UNAUTHORIZED {
            let base = one_line(self.base.as_str());
            return match &self.key {
                None => format!(
                    "hookbox at {base} needs an API key: set HOOKBOX_KEY (`hookbox serve` prints the first one)"
                ),
                Some(_) => {
                    let detail = problem.get("detail").and_then(Value::as_str);
                    format!(
                        "hookbox at {base} does not take the API key in HOOKBOX_KEY: {}. If the admin key is lost, start \
                         the server with another in HOOKBOX_ADMIN_KEY",
                        one_line(detail.unwrap_or("it gives no reason"))
                    )
                }
            };
        }
        let text = |key: &str| problem.get(key).and_then(Value::as_str).unwrap_or_default();
        let errors = problem.get("errors").and_then(Value::as_array);
        let errors = errors.map(Vec::as_slice).unwrap_or_default();
        // Where there are errors, the detail only repeats one or counts them.
        let detail = if errors.is_empty() {
            text("detail")
        } else {
            ""
        };
        let mut parts: Vec<String> = [text("title"), detail]
            .into_iter()
            .filter(|t| !t.is_empty())
            .map(one_line)
            .collect();
        for error in errors {
            let part = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
            let line = error.get("line").and_then(Value::as_u64);
            let line = line.map(|n| format!(" (line {n})")).unwrap_or_default();
            let place = format!("{}{line}", part("field"));
            // An error of the whole has no field.
            let colon = if place.is_empty() { "" } else { ": " };
            parts.push(one_line(&format!("{place}{colon}{}", part("message"))));
        }
        if parts.is_empty() {
            return format!("the server answered {status}");
        }
        parts.join("; ")
    }
}
