//! What a guest returned, on its way to be sent: a real guest returns each of these.

use std::{collections::BTreeMap, sync::Arc};

use hookbox::{
    model::{Secret, Timestamp, WebhookSpec},
    request::{OutboundRequest, RequestContext, SecretValues},
    sandbox::{ErrorKind, Output, RenderError, Sandbox, SecretHandles, Transformer},
};

use super::guest::{config, job, puppet, returned, sandbox, strings};

struct Scene {
    sandbox: Sandbox,
    puppet: Transformer,
}

impl Scene {
    fn new() -> Self {
        let sandbox = sandbox();
        let puppet = sandbox.load("puppet", &puppet()).expect("fits");
        Self { sandbox, puppet }
    }

    /// Renders and builds.
    async fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<OutboundRequest, RenderError> {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
            .collect();
        let result = returned(method.as_bytes(), url.as_bytes(), &headers, body);
        let rendering = self
            .sandbox
            .render(&self.puppet, job(&strings(&result)))
            .await;
        let rendered = match rendering.output {
            Output::Request(rendered) => rendered,
            Output::Error(error) => return Err(error),
            Output::Skip(reason) => panic!("skipped: {reason}"),
        };
        let secret = (
            "hbs_aaaa".to_owned(),
            "token".to_owned(),
            Secret::new("t0k3n-{{ 7 * 7 }}"),
        );
        OutboundRequest::build(
            rendered,
            &RequestContext {
                webhook: &WebhookSpec::default(),
                delivery: &"dlv_1".into(),
                now: Timestamp::from_millis(0),
                secrets: &SecretValues::new([secret]),
                limits: &config(),
                user_agent: "hookbox",
            },
        )
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused_by_kind_and_field() {
    use ErrorKind::{InvalidRequest, OutputTooLarge};
    let scene = Scene::new();
    let long_url = format!("http://example.com/{}", "x".repeat(1 << 16));
    let plain = "http://example.com/";
    for (method, url, header, kind, field) in [
        ("POST\r\nX: y", plain, None, InvalidRequest, "http_method"),
        ("post", plain, None, InvalidRequest, "http_method"),
        ("CONNECT", plain, None, InvalidRequest, "http_method"),
        ("", plain, None, InvalidRequest, "http_method"),
        ("POST", "", None, InvalidRequest, "payload_url"),
        (
            "POST",
            "file:///etc/passwd",
            None,
            InvalidRequest,
            "payload_url",
        ),
        (
            "POST",
            "ftp://example.com/",
            None,
            InvalidRequest,
            "payload_url",
        ),
        (
            "POST",
            "gopher://example.com/",
            None,
            InvalidRequest,
            "payload_url",
        ),
        (
            "POST",
            "javascript:alert(1)",
            None,
            InvalidRequest,
            "payload_url",
        ),
        (
            "POST",
            "//example.com/",
            None,
            InvalidRequest,
            "payload_url",
        ),
        ("POST", "http://", None, InvalidRequest, "payload_url"),
        (
            "POST",
            "http://a\r\nHost: b/",
            None,
            InvalidRequest,
            "payload_url",
        ),
        ("POST", "http://a\0b/", None, InvalidRequest, "payload_url"),
        ("POST", "http://user@/", None, InvalidRequest, "payload_url"),
        ("POST", &long_url, None, OutputTooLarge, "payload_url"),
        (
            "POST",
            plain,
            Some(("X-A", "a\r\nX-B: b")),
            InvalidRequest,
            "additional_headers",
        ),
        (
            "POST",
            plain,
            Some(("X-A", "a\nb")),
            InvalidRequest,
            "additional_headers",
        ),
        (
            "POST",
            plain,
            Some(("X-A", "a\0b")),
            InvalidRequest,
            "additional_headers",
        ),
        (
            "POST",
            plain,
            Some(("X-A", "a\u{7f}b")),
            InvalidRequest,
            "additional_headers",
        ),
        (
            "POST",
            plain,
            Some(("X-A", "\u{1b}[31m")),
            InvalidRequest,
            "additional_headers",
        ),
        (
            "POST",
            plain,
            Some(("X-A", "\u{10d}\u{10a}")),
            InvalidRequest,
            "additional_headers",
        ),
        (
            "POST",
            plain,
            Some(("X\r\nA", "v")),
            InvalidRequest,
            "additional_headers",
        ),
        (
            "POST",
            plain,
            Some(("X\0A", "v")),
            InvalidRequest,
            "additional_headers",
        ),
        (
            "POST",
            plain,
            Some(("X A", "v")),
            InvalidRequest,
            "additional_headers",
        ),
        (
            "POST",
            plain,
            Some((":path", "/other")),
            InvalidRequest,
            "additional_headers",
        ),
        (
            "POST",
            plain,
            Some(("", "v")),
            InvalidRequest,
            "additional_headers",
        ),
        (
            "POST",
            plain,
            Some(("Transfer-Encoding", "chunked")),
            InvalidRequest,
            "additional_headers",
        ),
        (
            "POST",
            plain,
            Some(("Host", "other.example/path")),
            InvalidRequest,
            "additional_headers",
        ),
    ] {
        let header: Vec<_> = header.into_iter().collect();
        let error = scene.send(method, url, &header, b"{}").await;
        let error = error.expect_err(&format!("{method:?} {header:?}"));
        assert_eq!(
            (error.kind, error.field.as_deref()),
            (kind, Some(field)),
            "{method:?} {header:?}: {error}"
        );
        assert!(!error.message.chars().any(char::is_control), "{error:?}");
        assert!(error.message.len() < 500, "{error:?}");
    }
}

#[tokio::test]
async fn what_only_looks_like_another_host_is_taken_for_what_it_is() {
    let scene = Scene::new();
    for (url, host) in [
        ("http://example.com@other.example/", "other.example"),
        ("http://example.com\\@other.example/", "example.com"),
        ("http://other.example#@example.com/", "other.example"),
        ("http://other.example?@example.com/", "other.example"),
        ("http://b\u{fc}cher.example/", "xn--bcher-kva.example"),
        ("http://\u{ff4f}ther.example/", "other.example"),
        ("http://0x7f.1/", "127.0.0.1"),
    ] {
        let request = scene.send("GET", url, &[], b"").await.expect(url);
        assert_eq!(request.url().host_str(), Some(host), "{url}");
        assert_eq!(request.url().username(), "", "{url}");
    }
}

/// A template that a plugin returns is text, and so is one in a secret or in what stands around a handle.
#[tokio::test]
async fn output_is_not_rendered_again() {
    let scene = Scene::new();
    let body = b"{{ 7 * 7 }}{% for a in range(9) %}x{% endfor %}{{ secret('token') }} hbs_aaaa";
    let request = scene
        .send(
            "POST",
            "http://example.com/",
            &[("X-A", "{{ 7 * 7 }}")],
            body,
        )
        .await
        .expect("a request");
    let sent = String::from_utf8_lossy(request.body()).into_owned();
    assert_eq!(
        sent,
        "{{ 7 * 7 }}{% for a in range(9) %}x{% endfor %}{{ secret('token') }} t0k3n-{{ 7 * 7 }}"
    );
    assert_eq!(request.headers()["x-a"], "{{ 7 * 7 }}");
    let shown = format!("{:?}{request:?}", request.record());
    assert!(!shown.contains("t0k3n"), "{shown}");
}

/// Text of the template language in the *event* is data to the built-in transformer, at every depth.
#[tokio::test]
async fn data_is_not_rendered_as_a_template() {
    let sandbox = sandbox();
    let jinja = sandbox
        .load("jinja", hookbox::sandbox::JINJA)
        .expect("fits");
    let webhook = serde_json::json!({
        "name": "w", "payload_url": "http://example.com/", "http_method": "POST",
        "http_content_type": "text/plain", "additional_headers": "", "body_escape": "none", "settings": null,
        "body_template": "{{ data }}{{ data ~ '' }}{{ [data] | first }}",
    });
    let event = serde_json::json!({"event": "created", "data": "{{ secret('token') }}{% raw %}"});
    let handles = BTreeMap::from([("token".to_owned(), "hbs_aaaa".to_owned())]);
    let mut job = job(&event.to_string());
    job.webhook = webhook.to_string().into();
    job.secrets = Arc::new(SecretHandles(handles));
    let rendering = sandbox.render(&jinja, job).await;
    let Output::Request(request) = &rendering.output else {
        panic!("{rendering:?}");
    };
    let body = String::from_utf8_lossy(request.body()).into_owned();
    assert_eq!(body, "{{ secret('token') }}{% raw %}".repeat(3));
}
