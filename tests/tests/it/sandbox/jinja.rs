//! The built-in transformer in its sandbox: it renders what it should, and templates that mean harm end
//! in an error that names their field.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use hookbox::sandbox::{
    ErrorKind, JINJA, Output, RenderError, RenderJob, Rendering, Sandbox, SecretHandles,
    Transformer,
};
use serde_json::{Value, json};

use super::guest::{config, request};

fn load() -> (Sandbox, Transformer) {
    // compiled once for all of these tests
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let sandbox = Sandbox::new(&config(), Some(&cache)).expect("a sandbox");
    let jinja = sandbox.load("jinja", JINJA).expect("fits");
    (sandbox, jinja)
}

fn webhook(fields: Value) -> Value {
    let mut webhook = json!({
        "name": "w",
        "payload_url": "https://example.com/hook",
        "http_method": "POST",
        "http_content_type": "application/json",
        "additional_headers": "",
        "body_template": "",
        "body_escape": "none",
        "settings": null
    });
    let (Value::Object(webhook_fields), Value::Object(fields)) = (&mut webhook, fields) else {
        panic!("objects");
    };
    webhook_fields.extend(fields);
    webhook
}

fn job(fields: Value) -> RenderJob {
    let event = json!({
        "event": "created",
        "username": "admin",
        "data": { "address": "192.0.2.1/24" }
    });
    let secrets = BTreeMap::from([("token".to_owned(), "hbs_1234".to_owned())]);
    RenderJob {
        event: event.to_string().into(),
        webhook: webhook(fields).to_string().into(),
        secrets: Arc::new(SecretHandles(secrets)),
        owner: Arc::default(),
    }
}

fn error(rendering: &Rendering) -> &RenderError {
    match &rendering.output {
        Output::Error(error) => error,
        other => panic!("not an error: {other:?}"),
    }
}

#[tokio::test]
async fn url_headers_and_body_are_rendered_and_a_secret_is_a_handle() {
    let (sandbox, jinja) = load();
    let rendering = sandbox
        .render(
            &jinja,
            job(json!({
                "payload_url": "https://example.com/{{ event }}",
                "additional_headers": "X-Event: {{ event }}\nAuthorization: Bearer {{ secret('token') }}",
                "body_template": r#"{"text": "IP address {{ data['address'] }} was created by {{ username }}!"}"#
            })),
        )
        .await;
    let request = request(&rendering);
    assert_eq!(request.method(), "POST");
    assert_eq!(request.url(), "https://example.com/created");
    let header = |name: &str| {
        let mut headers = request.headers().iter();
        headers
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    };
    assert_eq!(header("x-event"), Some("created"));
    assert_eq!(header("authorization"), Some("Bearer hbs_1234"));
    assert_eq!(header("content-type"), Some("application/json"));
    assert_eq!(
        request.body(),
        br#"{"text": "IP address 192.0.2.1/24 was created by admin!"}"#
    );
    assert!(rendering.cost.fuel > 10_000, "{:?}", rendering.cost);
    assert!(rendering.cost.fuel < 2_000_000, "{:?}", rendering.cost);
}

/// What a template ends with that asks for too much.
const BUDGET: &[ErrorKind] = &[ErrorKind::OutOfFuel, ErrorKind::OutOfMemory];

/// Templates that cost the sandbox much for each instruction of the engine's.
const COSTLY: [&str; 22] = [
    "{{ lipsum(1000000000, true, 0, 1) }}",
    "{{ ('a ' * 1000) | wordwrap(1, wrapstring='x' * 100000) | length }}",
    "{{ range(10000) | map('string') | join }}",
    "{{ range(12000) | sort | length }}",
    "{{ range(19000) | join }}",
    "{% for i in range(900) %}{{ 'abc' | hash('sha256') }}{% endfor %}",
    "{% for i in range(1500) %}{{ ([i] * 5) | sum }}{% endfor %}",
    "{{ ('ab' * 5000) | regex_findall('') | length }}",
    "{{ ('a' * 12400) | regex_search('(a*)*b') }}",
    "{% for i in range(100000) %}{{ 'abc' | hash('sha512') }}{% endfor %}",
    "{% for i in range(100000) %}{{ 'abc' | hmac('key', 'sha512') }}{% endfor %}",
    "{% for i in range(100000) %}{{ 'see http://a.example/' | urlize }}{% endfor %}",
    "{% for i in range(100000) %}{{ 'a b c' | wordwrap(2) }}{% endfor %}",
    "{% for i in range(100000) %}{{ {'a': 1, 'b': 2} | xmlattr }}{% endfor %}",
    "{% for i in range(100000) %}{{ 2.5 | round }}{% endfor %}",
    "{% for i in range(100000) %}{{ '192.0.2.1/24' | ipaddr }}{% endfor %}",
    "{% for i in range(100000) %}{{ [1, 2] | pprint }}{% endfor %}",
    "{% for i in range(100000) %}{{ namespace(a=1) }}{% endfor %}",
    "{% for i in range(100000) %}{% set x = ([2.5] * 150) | map('round') %}{% endfor %}",
    "{% for i in range(100000) %}{% set x = ('a b ' * 300) | urlize %}{% endfor %}",
    "{% for i in range(100000) %}{% set x = ('a b ' * 300) | pprint %}{% endfor %}",
    "{% for i in range(100000) %}{% set x = ('a b ' * 300) | title %}{% endfor %}",
];

#[tokio::test]
async fn hostile_templates_end_in_an_error_that_names_their_field() {
    let (sandbox, jinja) = load();
    let parentheses = format!("{{{{ {}1{} }}}}", "(".repeat(5_000), ")".repeat(5_000));
    let blocks = format!(
        "{}{}",
        "{% if 1 %}".repeat(20_000),
        "{% endif %}".repeat(20_000)
    );
    let lists = format!("{{{{ {}{} }}}}", "[".repeat(5_000), "]".repeat(5_000));
    let filters = format!("{{{{ 1{} }}}}", "|string".repeat(40_000));
    let slices = format!("{{{{ 'x'{} }}}}", "[1:]".repeat(10_000));
    let sliced = format!("{{{{ {}1{} }}}}", "x[".repeat(5_000), ":]".repeat(5_000));
    let members = format!("{{{{ x{} }}}}", ".x[1:]".repeat(7_000));
    let long_name = format!("{{{{ {} }}}}", "a".repeat(200_000));
    let long_text = "a text of 100 KB ".repeat(6_000);
    let well = sandbox
        .render(&jinja, job(json!({"body_template": "ok"})))
        .await
        .cost
        .fuel;
    let mut wrong = Vec::new();
    for (name, template, kinds) in [
        (
            "endless loop",
            "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
            &[ErrorKind::OutOfFuel][..],
        ),
        (
            "memory bomb",
            "{% set ns = namespace(x=['aaaaaaaaaaaaaaaa']) %}{% for i in range(64) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
            &[ErrorKind::OutOfMemory, ErrorKind::OutOfFuel],
        ),
        (
            "doubling text",
            "{% set ns = namespace(x='aaaaaaaaaaaaaaaa') %}{% for i in range(64) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
            &[ErrorKind::OutOfMemory, ErrorKind::OutOfFuel],
        ),
        (
            "a text times a billion",
            "{% set x = 'a' * 1000000000 %}",
            &[
                ErrorKind::OutOfMemory,
                ErrorKind::OutOfFuel,
                ErrorKind::TemplateRuntime,
            ],
        ),
        (
            "a range without end",
            "{{ range(1000000000) | list | length }}",
            &[
                ErrorKind::OutOfFuel,
                ErrorKind::OutOfMemory,
                ErrorKind::TemplateRuntime,
            ],
        ),
        (
            "huge output",
            "{% for i in range(2000) %}{{ 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' * 20 }}{% endfor %}",
            &[ErrorKind::OutOfFuel],
        ),
        (
            "a text larger than a body",
            "{{ 'x' * 1100000 }}",
            &[ErrorKind::OutputTooLarge],
        ),
        (
            "endless recursion",
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
            &[ErrorKind::TemplateRuntime],
        ),
        (
            "nested parentheses",
            &parentheses,
            &[ErrorKind::TemplateSyntax],
        ),
        (
            "nested blocks",
            &blocks,
            &[ErrorKind::TemplateSyntax, ErrorKind::OutOfFuel],
        ),
        ("nested lists", &lists, &[ErrorKind::TemplateSyntax]),
        (
            "a chain of filters",
            &filters,
            &[
                ErrorKind::TemplateSyntax,
                ErrorKind::TemplateRuntime,
                ErrorKind::OutOfFuel,
            ],
        ),
        (
            "a chain of slices",
            &slices,
            &[ErrorKind::TemplateSyntax, ErrorKind::OutOfFuel],
        ),
        (
            "slices within slices",
            &sliced,
            &[ErrorKind::TemplateSyntax, ErrorKind::OutOfFuel],
        ),
        (
            "slices of members",
            &members,
            &[ErrorKind::TemplateSyntax, ErrorKind::OutOfFuel],
        ),
        ("a name of 200 KB", &long_name, &[ErrorKind::OutOfFuel]),
        ("no harm but length", &long_text, &[]),
        (
            "a huge exponent",
            "{{ 10 ** 10000000 }}",
            &[ErrorKind::TemplateRuntime],
        ),
        (
            "a wide format",
            "{{ '%1000000000d' | format(1) }}",
            &[
                ErrorKind::TemplateRuntime,
                ErrorKind::OutOfMemory,
                ErrorKind::OutOfFuel,
                ErrorKind::OutputTooLarge,
            ],
        ),
        (
            "an include",
            "{% include '/etc/passwd' %}",
            &[ErrorKind::TemplateRuntime, ErrorKind::TemplateSyntax],
        ),
        (
            "python's way out",
            "{{ ''.__class__.__mro__[1].__subclasses__() }}",
            &[ErrorKind::TemplateRuntime],
        ),
    ]
    .into_iter()
    .chain(COSTLY.map(|template| (template, template, BUDGET)))
    {
        let rendering = sandbox
            .render(&jinja, job(json!({ "body_template": template })))
            .await;
        let fits = match &rendering.output {
            Output::Error(error) => {
                assert!(
                    error.message.len() <= 1000,
                    "{name}: {}",
                    error.message.len()
                );
                // The guest's own accounting ends them, which knows where that was.
                let named = error.field.as_deref() == Some("body_template");
                kinds.contains(&error.kind) && (named || !COSTLY.contains(&template))
            }
            _ => kinds.is_empty(),
        };
        if !fits {
            let outcome: String = format!("{:?}", rendering.output)
                .chars()
                .take(300)
                .collect();
            wrong.push(format!("{name}: {outcome} {:?}", rendering.cost));
        }
        // the next render costs what it always did
        let after = sandbox
            .render(&jinja, job(json!({"body_template": "ok"})))
            .await;
        assert_eq!(request(&after).body(), b"ok", "after {name}");
        assert_eq!(after.cost.fuel, well, "after {name}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An event like NetBox's, of about this many bytes.
fn large_event(bytes: usize) -> Arc<str> {
    let reference = |kind: &str, id: usize| {
        json!({
            "id": id,
            "url": format!("https://netbox.example.com/api/dcim/{kind}/{id}/"),
            "display": format!("{kind} {id}"),
            "description": "",
        })
    };
    let interface = |id| {
        json!({
            "id": id,
            "device": reference("devices", 7),
            "type": { "value": "1000base-t", "label": "1000BASE-T (1GE)" },
            "enabled": true,
            "mtu": null,
            "speed": 1_000_000,
            "latitude": 4.5,
            "comments": "It's \"up\" & <ok>\nÜber",
            "tags": [reference("tags", 1), reference("tags", 2)],
            "created": "2026-03-06T15:11:23.503186Z",
        })
    };
    let count = bytes / interface(100).to_string().len();
    let interfaces: Vec<Value> = (100..100 + count).map(interface).collect();
    json!({ "event": "updated", "data": { "name": "sw1", "interfaces": interfaces } })
        .to_string()
        .into()
}

#[tokio::test]
async fn a_whole_event_is_cheap_to_send_however_it_is_written() {
    let (sandbox, jinja) = load();
    for (bytes, most) in [(92_000, 8_000_000), (200_000, 17_000_000)] {
        let event = large_event(bytes);
        for template in [
            "",
            "{{ data | tojson }}",
            "{{ data }}",
            "{{ data | tojson(indent=2) }}",
            "{% for i in data.interfaces %}{{ i.device.display }}: {{ i.tags | length }}\n{% endfor %}",
        ] {
            let job = RenderJob {
                event: Arc::clone(&event),
                ..job(json!({ "body_template": template }))
            };
            let rendering = sandbox.render(&jinja, job).await;
            assert!(!request(&rendering).body().is_empty());
            let fuel = rendering.cost.fuel;
            assert!(fuel < most, "`{template}` of {} bytes: {fuel}", event.len());
        }
    }
}

#[tokio::test]
async fn a_webhook_is_checked_before_it_is_saved() {
    let (sandbox, jinja) = load();
    let good = webhook(json!({"body_template": "{{ data }}"})).to_string();
    assert_eq!(sandbox.check(&jinja, good.into()).await, Ok(()));
    let bad = webhook(json!({"body_template": "line one\n{{ data"})).to_string();
    let error = sandbox
        .check(&jinja, bad.into())
        .await
        .expect_err("refused");
    assert_eq!(error.kind, ErrorKind::TemplateSyntax);
    assert_eq!(error.field.as_deref(), Some("body_template"));
    assert_eq!(error.line, Some(2));
}

#[tokio::test]
async fn a_broken_contract_of_the_host_is_an_error_and_no_crash() {
    let (sandbox, jinja) = load();
    for (event, webhook) in [
        ("not JSON", "{}"),
        ("{}", "not JSON"),
        ("", ""),
        (&*"[".repeat(100_000), "{}"),
        ("{}", &"[".repeat(100_000)),
    ] {
        let rendering = sandbox
            .render(
                &jinja,
                RenderJob {
                    event: event.into(),
                    webhook: webhook.into(),
                    secrets: Arc::new(SecretHandles::default()),
                    owner: Arc::default(),
                },
            )
            .await;
        assert_eq!(
            error(&rendering).kind,
            ErrorKind::PluginError,
            "{rendering:?}"
        );
    }
}
