//! The ready-made transformers, as they are committed or were built, in the sandbox: each sample of their projects
//! is a webhook that can be stored and an event that is taken in, and comes out as its `request.json` says.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use hookbox::{
    config::Config,
    ingest,
    model::{DeliveryId, TenantId, Timestamp, WebhookSpec},
    request::{OutboundRequest, RequestContext, SecretValues},
    sandbox::{Output, RenderJob, Rendering, Sandbox, SecretHandles, Transformer},
    tenant::{
        snapshot::guest_view,
        validate::{self, Draft},
    },
};
use hookbox_tests::plugins::{Language, Project};
use serde_json::{Value, json};

/// Those that are committed.
const COMMITTED: [&str; 3] = ["cloudevents", "github-dispatch", "pagerduty"];
/// Those that are built here.
const BUILT: [&str; 3] = ["awx", "slack", "teams"];

fn plugins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins")
}

#[tokio::test]
async fn committed_transformers_make_of_their_samples_what_is_written() {
    for name in COMMITTED {
        let component = plugins().join("dist").join(name).with_extension("wasm");
        check_samples(name, &component).await;
    }
}

#[tokio::test]
async fn awx_passes_its_own_tests_is_built_and_makes_of_its_samples_what_is_written() {
    let own = ("python3", &["-m", "unittest"][..]);
    is_tested_and_built("awx", Language::Python, own).await;
}

#[tokio::test]
async fn slack_passes_its_own_tests_is_built_and_makes_of_its_samples_what_is_written() {
    is_tested_and_built("slack", Language::JavaScript, ("node", &["--test"])).await;
}

#[tokio::test]
async fn teams_passes_its_own_tests_is_built_and_makes_of_its_samples_what_is_written() {
    is_tested_and_built("teams", Language::JavaScript, ("node", &["--test"])).await;
}

async fn is_tested_and_built(
    name: &str,
    language: Language,
    (program, arguments): (&str, &[&str]),
) {
    let project = Project::of(language, &plugins().join(name));
    let tested = project.run(Command::new(program).args(arguments));
    println!("{tested}");
    check_samples(name, &project.build()).await;
}

#[test]
fn every_ready_made_transformer_is_tested() {
    let mut tested: Vec<&str> = COMMITTED.into_iter().chain(BUILT).collect();
    tested.extend(["jinja", "common", "dist"]);
    tested.sort_unstable();
    let folders = fs::read_dir(plugins()).expect("the folder");
    let mut folders: Vec<String> = folders
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    folders.sort_unstable();
    assert_eq!(folders, tested);
}

/// What a project has from `hookbox plugin new` must be what that makes now.
#[test]
fn what_projects_have_of_hookbox_is_as_a_new_project_has_it() {
    let made = plugins().join("../host/src/cli/plugin_new");
    let wit = plugins().join("../wit/transformer.wit");
    for name in BUILT {
        let project = plugins().join(name);
        let (language, files) = if project.join("package.json").exists() {
            (
                "javascript",
                &["component.js", "hookbox.js", "hookbox.d.ts"][..],
            )
        } else {
            ("python", &["component.py", "hookbox.py"][..])
        };
        for file in files {
            let (here, there) = (project.join(file), made.join(language).join(file));
            assert!(read(&here) == read(&there), "{name}: {file} differs");
        }
        assert!(
            read(&project.join("wit/transformer.wit")) == read(&wit),
            "{name}: the world differs"
        );
    }
}

/// Admits a component, as if it had been uploaded, and renders all samples of the project of this name.
pub(crate) async fn check_samples(name: &str, component: &Path) {
    let mut config = Config::defaults();
    config.sandbox.threads = 2;
    // on a busy machine
    config.sandbox.deadline_ms = 5000;
    let wasm = read(component);
    // compiled once for all runs
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let sandbox = Sandbox::new(&config.sandbox, Some(&cache)).expect("a sandbox");
    let admitted = sandbox
        .admit(name, &wasm, &config.plugins)
        .unwrap_or_else(|e| panic!("{}: {e}", component.display()));
    println!("{name}: {} bytes", wasm.len());

    let project = plugins().join(name);
    let mut samples = vec![project.clone()];
    if let Ok(more) = fs::read_dir(project.join("samples")) {
        samples.extend(more.map(|entry| entry.expect("an entry").path()));
    }
    let mut wrong = Vec::new();
    for sample in samples {
        let made = render(&sandbox, &admitted.transformer, &config, &project, &sample).await;
        let again = render(&sandbox, &admitted.transformer, &config, &project, &sample).await;
        assert_eq!(made.cost.fuel, again.cost.fuel, "the same each time");
        println!(
            "{}: {} fuel, {} KiB of memory",
            sample.strip_prefix(plugins()).unwrap_or(&sample).display(),
            made.cost.fuel,
            made.cost.peak_memory_bytes / 1024
        );
        let decision = describe(&made, &sample, &config);
        let expected = json_of(&sample.join("request.json"));
        if decision != expected {
            wrong.push(format!("{}: {decision:#}", sample.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn render(
    sandbox: &Sandbox,
    transformer: &Transformer,
    config: &Config,
    project: &Path,
    sample: &Path,
) -> Rendering {
    let tenant = TenantId::default_tenant();
    let event = ingest::parse_event(&tenant, &read(&sample.join("event.json")), &config.ingest);
    let event = event.unwrap_or_else(|e| panic!("{}: {e}", sample.display()));
    let webhook = guest_view(&webhook(sample, config));
    let checked = sandbox.check(transformer, Arc::clone(&webhook)).await;
    assert_eq!(checked, Ok(()), "{}", sample.display());
    let job = RenderJob {
        event: Arc::clone(event.event.context()),
        webhook,
        secrets: Arc::new(secrets(project)),
        owner: Arc::default(),
    };
    sandbox.render(transformer, job).await
}

/// The sample's webhook, as it would be stored.
fn webhook(sample: &Path, config: &Config) -> WebhookSpec {
    let base = Draft {
        external_id: None,
        spec: WebhookSpec::default(),
    };
    let file = json_of(&sample.join("webhook.json"));
    let fields = file.as_object().expect("an object");
    match validate::webhook(fields, base, config) {
        Ok(draft) => draft.spec,
        Err(errors) => panic!("{}: {errors}", sample.display()),
    }
}

fn secrets(project: &Path) -> SecretHandles {
    let file = project.join("secrets.json");
    let names = if file.exists() {
        serde_json::from_value(json_of(&file)).expect("a list of names")
    } else {
        Vec::<String>::new()
    };
    let handles = names.into_iter().map(|name| {
        let handle = format!("handle_of_{name}");
        (name, handle)
    });
    SecretHandles(handles.collect::<BTreeMap<_, _>>())
}

/// In the form of `request.json`; a request must also be one that can be sent.
fn describe(rendering: &Rendering, sample: &Path, config: &Config) -> Value {
    match &rendering.output {
        Output::Request(request) => {
            let context = RequestContext {
                webhook: &webhook(sample, config),
                delivery: &DeliveryId::from("dlv_sample"),
                now: Timestamp::now(),
                secrets: &SecretValues::default(),
                limits: &config.sandbox,
                user_agent: &config.delivery.user_agent,
            };
            let body = String::from_utf8_lossy(request.body()).into_owned();
            let outbound = OutboundRequest::build(request.clone(), &context)
                .unwrap_or_else(|e| panic!("{}: {}", sample.display(), e.message));
            assert_eq!(outbound.warnings(), &[] as &[String]);
            json!({
                "method": request.method(),
                "url": request.url(),
                "headers": request.headers(),
                "body": serde_json::from_str(&body).unwrap_or(Value::String(body)),
            })
        }
        Output::Skip(reason) => json!({ "skip": reason }),
        Output::Error(error) => json!({"failure": {
            "kind": error.kind, "field": error.field, "message": error.message,
        }}),
    }
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&read(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
