//! The API in this process, over TCP, on a real store in a folder of its own and without a worker: what
//! is queued stays queued.

use std::{path::Path, sync::Arc};

use hookbox::{
    api,
    backend::{ApiKey, Backend, KeyScope, sqlite::SqliteBackend},
    config::Config,
    engine::Engine,
    model::{Secret, TenantId},
    tenant::keys::{ensure_admin_key, key_hash},
};
use reqwest::{
    Client, Method, RequestBuilder, StatusCode,
    header::{HeaderMap, HeaderValue},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::process;

/// A key of 256 random bits would do as well; these can be told apart in a log.
pub const ADMIN: &str = "hb_admin_key_of_the_tenant_default_0123456789";

/// A running API.
#[derive(Debug)]
pub struct Api {
    /// Where it is, such as `http://127.0.0.1:4711`.
    pub url: String,
    /// What it stores in.
    pub backend: Arc<dyn Backend>,
    client: Client,
    server: JoinHandle<()>,
    config: Config,
    dir: Arc<TempDir>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    /// The body as JSON, of an answer that must have this status.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        if self.text.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    /// The problem's `errors` as `field: message` lines, of an answer that must be a problem of this kind.
    pub fn problem(&self, status: u16, slug: &str) -> String {
        assert_eq!(
            self.headers.get("content-type").map(HeaderValue::as_bytes),
            Some(&b"application/problem+json"[..]),
            "{} {}",
            self.status,
            self.text
        );
        let problem = self.expect(status);
        assert_eq!(problem["type"], format!("/problems/{slug}"), "{problem:#}");
        assert_eq!(problem["status"], status);
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        let mut text = problem["detail"].as_str().unwrap_or_default().to_owned();
        for error in errors {
            text.push_str(&format!(
                "\n{}: {}",
                error["field"].as_str().unwrap_or_default(),
                error["message"].as_str().unwrap_or_default()
            ));
        }
        text
    }
}

impl Api {
    /// Starts it with the default configuration.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts it with a changed configuration.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let mut config = Config::defaults();
        // Compiled transformers are shared by all tests; the store is not.
        config.storage.data_dir =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-cache");
        if let Some(target) = std::env::var_os("CARGO_TARGET_DIR") {
            config.storage.data_dir = Path::new(&target).join("test-cache");
        }
        change(&mut config);
        let backend = SqliteBackend::open(dir.path(), config.queue_limits())
            .await
            .expect("a store");
        let made = ensure_admin_key(backend.as_ref(), Some(Secret::new(ADMIN)))
            .await
            .expect("a key");
        assert_eq!(made, None, "the given key is taken");
        Self::serve(config, backend, Arc::new(dir)).await
    }

    /// One more on the same store, as another process of the same installation would be: they share
    /// nothing else.
    pub async fn beside(&self) -> Self {
        let (backend, dir) = (Arc::clone(&self.backend), Arc::clone(&self.dir));
        Self::serve(self.config.clone(), backend, dir).await
    }

    async fn serve(config: Config, backend: Arc<dyn Backend>, dir: Arc<TempDir>) -> Self {
        let server_config = config.server.clone();
        // This process is a test, and no compiler.
        let engine =
            Engine::open_with_compiler(config.clone(), Arc::clone(&backend), process::program())
                .await
                .expect("an engine");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let router = api::router_with_admin_key(engine, Some(&Secret::new(ADMIN)));
        let server = tokio::spawn(async move {
            api::serve(listener, router, std::future::pending(), &server_config).await;
        });
        Self {
            url,
            backend,
            client: Client::new(),
            server,
            config,
            dir,
        }
    }

    /// The folder that the store is in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// A request without a key.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let response = request.send().await.expect("an answer");
        Answer {
            status: response.status(),
            headers: response.headers().clone(),
            text: response.text().await.expect("a body"),
        }
    }

    /// A request with a key and perhaps JSON.
    pub async fn call_as(
        &self,
        key: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let mut request = self.request(method, path).bearer_auth(key);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.send(request).await
    }

    /// GET with the admin key.
    pub async fn get(&self, path: &str) -> Answer {
        self.call_as(ADMIN, Method::GET, path, None).await
    }

    /// POST with the admin key.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call_as(ADMIN, Method::POST, path, Some(body)).await
    }

    /// Uploads a plugin with a key; `query` is what follows `?`.
    pub async fn upload_as(&self, key: &str, query: &str, wasm: Vec<u8>) -> Answer {
        let request = self
            .request(Method::POST, &format!("/v1/plugins?{query}"))
            .bearer_auth(key)
            .header("content-type", "application/wasm")
            .body(wasm);
        self.send(request).await
    }

    /// Uploads a plugin with the admin key.
    pub async fn upload(&self, query: &str, wasm: Vec<u8>) -> Answer {
        self.upload_as(ADMIN, query, wasm).await
    }

    /// PUT with the admin key.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.call_as(ADMIN, Method::PUT, path, Some(body)).await
    }

    /// PATCH with the admin key.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call_as(ADMIN, Method::PATCH, path, Some(body)).await
    }

    /// DELETE with the admin key.
    pub async fn delete(&self, path: &str) -> Answer {
        self.call_as(ADMIN, Method::DELETE, path, None).await
    }

    /// POST that must create something; its id.
    pub async fn create(&self, path: &str, body: &Value) -> String {
        let created = self.post(path, body).await.expect(201);
        created["id"].as_str().expect("an id").to_owned()
    }

    /// A key of another tenant, put straight into the store.
    pub async fn key_of(&self, tenant: &str, scope: KeyScope) -> String {
        let key = format!("hb_{scope:?}_key_of_the_tenant_{tenant}");
        let record = ApiKey {
            id: format!("key_{tenant}_{scope:?}"),
            name: format!("{scope:?}"),
            tenant: TenantId::from(tenant),
            scope,
            created: hookbox::model::Timestamp::now(),
            hash: key_hash(&key),
        };
        self.backend.put_key(&record, None).await.expect("stored");
        key
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.server.abort();
    }
}
