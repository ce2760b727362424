//! A webhook from untrusted JSON.

use std::path::{Component, Path};

use serde_json::{Map, Value};
use url::Url;

use super::{
    DESCRIPTION_CHARS, Draft, IGNORED,
    fields::{
        Fields, Read, boolean, choice, did_you_mean, line, list, name, number, object, shortened,
        small_json, text, whole, wrong,
    },
};
use crate::{
    config::Config,
    model::{BodyEscape, FieldErrors, HttpMethod, RetryPolicy, Secret, WebhookSpec},
};

/// NetBox allows 255.
const SECRET_BYTES: usize = 4096;
const RETRIES: usize = 50;

/// Statuses that a policy may name.
const STATUSES: usize = 100;
const LONGEST_WAIT: u32 = 30 * 24 * 3600;

/// Lays `input` over `base` and checks the outcome: every field of NetBox's webhook and of hookbox's
/// policy, each within its limits.
///
/// Sizes: `name` 150 characters, `payload_url` as long as a URL may be (`sandbox.url_bytes`; NetBox
/// allows 500), the other templates and `settings` `limits.template_bytes`. The URL is checked as NetBox
/// 4.6.8 does: one without template syntax must be http or https and name a host, and a scheme that
/// stands before template syntax must be one of these.
///
/// # Errors
/// All that is wrong, by field, at most 50.
pub fn webhook(
    input: &Map<String, Value>,
    base: Draft<WebhookSpec>,
    config: &Config,
) -> Result<Draft<WebhookSpec>, FieldErrors> {
    let Draft {
        mut external_id,
        mut spec,
    } = base;
    let template = config.limits.template_bytes;
    let mut f = Fields::new(input);
    f.set_external_id(&mut external_id);
    f.set(&mut spec.name, "name", name);
    f.set(
        &mut spec.description,
        "description",
        text(DESCRIPTION_CHARS),
    );
    f.set(&mut spec.enabled, "enabled", boolean);
    f.set(&mut spec.payload_url, "payload_url", |v| {
        payload_url(&text(config.sandbox.url_bytes)(v)?)
    });
    f.set(&mut spec.http_method, "http_method", http_method);
    f.set(
        &mut spec.http_content_type,
        "http_content_type",
        content_type,
    );
    f.set(
        &mut spec.additional_headers,
        "additional_headers",
        text(template),
    );
    f.set(&mut spec.body_template, "body_template", text(template));
    f.set(&mut spec.secret, "secret", |v| {
        text(SECRET_BYTES)(v).map(Secret::new)
    });
    f.set(&mut spec.ssl_verification, "ssl_verification", boolean);
    f.set_nullable(&mut spec.ca_file_path, "ca_file_path", |v| {
        ca_file_path(v, config)
    });
    spec.ca_file_path = spec.ca_file_path.filter(|path| !path.is_empty());
    f.set_nullable(
        &mut spec.timeout,
        "timeout",
        whole(1..=config.delivery.max_timeout_seconds),
    );
    f.set_nullable(&mut spec.retry, "retry", retry);
    f.set_nullable(&mut spec.rate_limit, "rate_limit", number(0.001..=10_000.0));
    f.set_nullable(
        &mut spec.max_in_flight,
        "max_in_flight",
        whole(1..=config.most_in_flight()),
    );
    f.set(&mut spec.body_escape, "body_escape", body_escape);
    f.set_nullable(&mut spec.plugin, "plugin", plugin);
    f.set(&mut spec.settings, "settings", small_json(template));

    for (key, value) in [("name", &spec.name), ("payload_url", &spec.payload_url)] {
        if value.is_empty() && !f.is_wrong(key) {
            f.error(key, "is required");
        }
    }
    if spec.ca_file_path.is_some() && !spec.ssl_verification {
        f.error(
            "ca_file_path",
            "must not be given while ssl_verification is false, as certificates are not verified then",
        );
    }
    f.finish(IGNORED, Draft { external_id, spec })
}

/// NetBox 4.6.8's check of a URL that may be a template.
fn payload_url(text: &str) -> Read<String> {
    let text = text.trim();
    if text.is_empty() {
        return wrong("must not be blank");
    }
    let is_template = ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark));
    let is_http =
        |scheme: &str| scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let acceptable = if is_template {
        literal_scheme(text).is_none_or(is_http)
    } else {
        text.split_once("://").is_some_and(|(scheme, rest)| {
            is_http(scheme) && !rest.starts_with(['/', '\\', '?', '#'])
        }) && !text.contains(char::is_control)
            && Url::parse(text).is_ok_and(|url| url.has_host())
    };
    if acceptable {
        Ok(text.to_owned())
    } else {
        wrong("must begin with http:// or https:// and name a host")
    }
}

/// The text before the first colon, if it looks like a scheme.
fn literal_scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let mut chars = scheme.chars();
    (chars.next()?.is_ascii_alphabetic()
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')))
    .then_some(scheme)
}

fn http_method(value: &Value) -> Read<HttpMethod> {
    let text = choice(value)?;
    match HttpMethod::from_name(text) {
        Some(method) => Ok(method),
        None => wrong(format!(
            "{:?} is not one of GET, POST, PUT, PATCH, DELETE",
            shortened(text)
        )),
    }
}

fn content_type(value: &Value) -> Read<String> {
    let text = line(100)(value)?;
    let text = text.trim();
    if text.is_empty() || !text.chars().all(|c| matches!(c, ' '..='~')) {
        return wrong("must be a media type such as application/json");
    }
    Ok(text.to_owned())
}

/// Refuses a path outside the folders for CA files, so that the machine cannot be probed for files. The worker, which
/// resolves links, checks again.
fn ca_file_path(value: &Value, config: &Config) -> Read<String> {
    let text = text(4096)(value)?;
    let path = Path::new(&text);
    let is_plain = path
        .components()
        .all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
    let is_allowed = config
        .delivery
        .ca_directories
        .iter()
        .any(|folder| path.starts_with(folder));
    if text.is_empty() || (is_plain && is_allowed) {
        Ok(text)
    } else {
        wrong(
            "must be an absolute path in a folder that the operator allows (delivery.ca_directories)",
        )
    }
}

fn retry(value: &Value) -> Read<RetryPolicy> {
    let mut policy = RetryPolicy {
        schedule: Vec::new(),
        jitter: RetryPolicy::default_jitter(),
        statuses: Vec::new(),
    };
    let mut f = Fields::new(object(value)?);
    if f.get("schedule").is_none() {
        f.error(
            "schedule",
            "is required: the seconds before each further attempt, [] for none",
        );
    }
    f.set(
        &mut policy.schedule,
        "schedule",
        list(RETRIES, |v| whole(1..=LONGEST_WAIT)(v)),
    );
    f.set(&mut policy.jitter, "jitter", number(0.0..=1.0));
    f.set(&mut policy.statuses, "statuses", list(STATUSES, status));
    f.finish(&[], policy)
}

/// 2xx is success, and there is no answer with a lower one.
fn status(value: &Value) -> Read<u16> {
    let status = whole(300..=999)(value)?;
    u16::try_from(status).or_else(|_| wrong("must be a status code"))
}

fn body_escape(value: &Value) -> Read<BodyEscape> {
    match choice(value)? {
        "none" => Ok(BodyEscape::None),
        "json" => Ok(BodyEscape::Json),
        other => wrong(match did_you_mean(other, &["none", "json"]) {
            Some(close) => format!("must be none or json; did you mean {close}?"),
            None => "must be none or json".to_owned(),
        }),
    }
}

/// `name` or `name@version`; whether there is such a transformer is for the engine to say.
fn plugin(value: &Value) -> Read<String> {
    let text = line(200)(value)?;
    let (name, version) = match text.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (text.as_str(), None),
    };
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | ':'))
    };
    if is_word(name) && version.is_none_or(is_word) {
        Ok(text)
    } else {
        wrong("must be the name of a plugin, such as jinja or mine@1.2.0")
    }
}
