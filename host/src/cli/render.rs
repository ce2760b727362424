//! `hookbox render`: what a webhook would send for an event, without a server.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Map, Value};

use super::{
    client::Server,
    describe::{cost_line, error_line, log_lines, request_text},
    error::{CliError, CliResult},
    local_sandbox, native,
    replay::{self, Replay},
    setup::{ConfigFlags, Overrides},
    terminal::{Clean, Json, Paint, one_line, read_input, read_json},
};
use crate::{
    config::Config,
    guard::Guard,
    ingest::{self, Event},
    model::{TenantId, WebhookSpec, split_reference},
    pipeline::{RenderReport, RenderSetup},
    sandbox::{Cost, RenderError, Sandbox},
    tenant::{
        WebhookSecrets,
        validate::{self, Draft},
    },
    transformers::BUILT_IN,
};

const MAX_WEBHOOK: u64 = 8 * 1024 * 1024;

/// Show what a webhook would send for an event, and what that costs
///
/// Runs the webhook in the sandbox, here and without a server. Nothing is sent; the destination's name is
/// resolved to say whether a delivery would be allowed. Exit code 1 if the webhook fails.
///
/// With --delivery, an attempt that a server has recorded is rendered again, here, with the same version of its
/// transformer or another one, and what differs is shown. Exit code 1 if the request is not the same. Secrets
/// stay on the server; what was recorded does not show them either.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hookbox render --webhook webhook.json --event event.json
  hookbox render --webhook webhooks.json --name slack --event - < event.json
  hookbox render --webhook webhook.json --event event.json --plugin my-plugin.wasm --json
  hookbox render --webhook webhook.json --event event.json --native .
  hookbox render --delivery dlv_0195… --plugin my-plugin.wasm
  hookbox render --delivery dlv_0195… --attempt 1 --plugin mine@0123456789ab")]
pub(super) struct RenderArgs {
    /// File with a webhook as JSON, or one for `hookbox apply`; - for stdin
    #[arg(long, value_name = "FILE", required_unless_present = "delivery")]
    webhook: Option<PathBuf>,
    /// Which webhook, if the file has several
    #[arg(long)]
    name: Option<String>,
    /// File with an event as JSON; - for stdin
    #[arg(long, value_name = "FILE", required_unless_present = "delivery")]
    event: Option<PathBuf>,
    /// Component to run instead of the built-in Jinja2 transformer; with --delivery, instead of the one that
    /// ran then, and it may be a plugin of the server's: NAME or NAME@VERSION
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,
    /// Run the plugin's source instead, here and without the sandbox: the folder of a project in JavaScript,
    /// TypeScript or Python. For trying changes at once; only for code that you trust
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = ".",
        conflicts_with_all = ["plugin", "delivery"])]
    native: Option<PathBuf>,
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "delivery",
        help = "Let the webhook use a secret of this name, which shows as [secret:NAME]; may be given several times"
    )]
    secret: Vec<String>,
    /// Render the last attempt of this delivery of the server's again
    #[arg(long, value_name = "ID", conflicts_with_all = ["webhook", "event", "name"])]
    delivery: Option<String>,
    /// Another attempt of the delivery, by its number
    #[arg(long, value_name = "N", requires = "delivery")]
    attempt: Option<u32>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFlags,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(args: RenderArgs) -> CliResult {
    let config = args.config.load(&Overrides::default())?;
    let (webhook_file, event_file) = match (&args.delivery, &args.webhook, &args.event) {
        (Some(delivery), ..) => {
            let replay = Replay {
                delivery,
                attempt: args.attempt,
                plugin: args.plugin.as_deref(),
                json: args.json,
            };
            return replay::run(&replay, &args.server, &config).await;
        }
        (None, Some(webhook), Some(event)) => (webhook, event),
        _ => return Err(CliError::usage("give --webhook and --event, or --delivery")),
    };
    if webhook_file == event_file && webhook_file.as_os_str() == "-" {
        return Err(CliError::usage(
            "only one of --webhook and --event can be stdin",
        ));
    }
    let webhook = webhook(webhook_file, &args, &config)?;
    if args.plugin.is_none() && args.native.is_none() {
        needs_no_plugin(webhook_file, &webhook)?;
    }
    let bytes = read_input(event_file, config.ingest.max_event_bytes as u64)?;
    let event = ingest::parse_event(&TenantId::default_tenant(), &bytes, &config.ingest)
        .map_err(|e| {
            CliError::failed(format!(
                "{}: {}",
                event_file.display(),
                one_line(&e.to_string())
            ))
        })?
        .event;
    let setup = RenderSetup {
        config: &config,
        guard: &Guard::new(&config.guard, &config.delivery),
        secrets: WebhookSecrets::stand_ins(&args.secret),
    };
    let report = match (&args.native, &args.plugin) {
        (Some(project), _) => natively(project, &setup, &webhook, &event).await?,
        (None, plugin) => {
            let (sandbox, transformer) = match plugin {
                Some(path) => {
                    let wasm = read_input(path, Sandbox::MAX_COMPONENT_BYTES as u64)?;
                    let place = path.display().to_string();
                    local_sandbox::plugin("plugin", wasm, &place, &config).await?
                }
                None => local_sandbox::built_in(&config.sandbox).await?,
            };
            setup.report(&sandbox, &transformer, &webhook, &event).await
        }
    };

    let mut out = io::stdout();
    if args.json {
        let report = serde_json::to_value(&report).map_err(CliError::failed)?;
        writeln!(out, "{}", Json(&report))?;
    } else {
        out.write_all(&describe(&report, &webhook, args.native.is_some())?)?;
    }
    match report.error {
        Some(error) => Err(CliError::Failed(error_line(&error.into()))),
        None => Ok(()),
    }
}

/// The report of a plugin's source that runs outside of the sandbox, which says so.
async fn natively(
    project: &Path,
    setup: &RenderSetup<'_>,
    webhook: &WebhookSpec,
    event: &Event,
) -> CliResult<RenderReport> {
    let (project, limits) = (project.to_owned(), setup.config.sandbox.clone());
    let job = setup.job(webhook, event);
    let run = move || native::run(&project, &job, &limits);
    let rendering = tokio::task::spawn_blocking(run)
        .await
        .map_err(CliError::failed)??;
    let mut report = setup.of_rendering(rendering, webhook).await;
    report.warnings.push(native::WARNING.to_owned());
    Ok(report)
}

/// The webhook in the file, validated as the API validates it.
fn webhook(path: &Path, args: &RenderArgs, config: &Config) -> CliResult<WebhookSpec> {
    let file = path.display();
    let fail = |why: String| CliError::failed(format!("{file}: {why}"));
    let json = read_json(path, MAX_WEBHOOK)?;
    let input = pick(&json, args.name.as_deref()).map_err(fail)?;
    let draft = Draft {
        external_id: None,
        spec: WebhookSpec {
            name: "not stored".to_owned(),
            ..WebhookSpec::default()
        },
    };
    let draft = validate::webhook(input, draft, config)
        .map_err(|errors| fail(one_line(&errors.to_string())))?;
    Ok(draft.spec)
}

/// Refuses a webhook that runs a plugin: its templates are not what a server would render.
fn needs_no_plugin(file: &Path, webhook: &WebhookSpec) -> CliResult {
    let plugin = webhook
        .plugin
        .as_deref()
        .filter(|plugin| *plugin != BUILT_IN);
    let Some(plugin) = plugin else { return Ok(()) };
    Err(CliError::usage(format!(
        "{}: the webhook runs the plugin {}, which is on a server: give its component with --plugin FILE, for example \
         {}, or render an attempt that was recorded with --delivery",
        one_line(&file.to_string_lossy()),
        one_line(plugin),
        one_line(&format!("dist/{}.wasm", split_reference(plugin).0)),
    )))
}

/// The one webhook that is meant.
fn pick<'a>(json: &'a Value, name: Option<&str>) -> Result<&'a Map<String, Value>, String> {
    let Some(list) = json.get("webhooks").and_then(Value::as_array) else {
        return json
            .as_object()
            .ok_or_else(|| "a webhook must be a JSON object".to_owned());
    };
    let mut meant = list.iter().filter_map(Value::as_object).filter(|webhook| {
        name.is_none_or(|name| webhook.get("name").and_then(Value::as_str) == Some(name))
    });
    match (meant.next(), meant.next()) {
        (Some(webhook), None) => Ok(webhook),
        (Some(_), Some(_)) => Err("there are several webhooks: choose one with --name".to_owned()),
        (None, _) => Err("there is no such webhook".to_owned()),
    }
}

/// The report for people.
fn describe(report: &RenderReport, webhook: &WebhookSpec, native: bool) -> io::Result<Vec<u8>> {
    let paint = Paint::for_stdout();
    let mut out = match &report.request {
        Some(request) => request_text(request, paint)?,
        None => Vec::new(),
    };
    if let Some(reason) = &report.skip_reason {
        writeln!(out, "{} {}", paint.bold("Skipped:"), one_line(reason))?;
    }
    if let Some(error) = &report.error {
        let line = error_line(&error.clone().into());
        writeln!(out, "{} {line}", paint.red("Error:"))?;
        if let Some(quote) = quote(error, webhook) {
            writeln!(out, "{quote}")?;
        }
    }
    match native {
        true => writeln!(out, "\nNative: {} µs", report.elapsed_us)?,
        false => writeln!(out, "\nSandbox: {}", cost_line(Cost::from(report)))?,
    }
    for line in log_lines(&report.logs) {
        writeln!(out, "Log: {line}")?;
    }
    for warning in &report.warnings {
        writeln!(out, "Warning: {}", one_line(warning))?;
    }
    if let Some(guard) = &report.guard {
        let verdict = match &guard.reason {
            None => paint.green("allowed"),
            Some(why) => format!("{}: {}", paint.red("refused"), one_line(why)),
        };
        writeln!(out, "Destination: {verdict}")?;
    }
    Ok(out)
}

/// The line of the template that an error names.
fn quote(error: &RenderError, webhook: &WebhookSpec) -> Option<String> {
    let template = match error.field.as_deref()? {
        "payload_url" => &webhook.payload_url,
        "additional_headers" => &webhook.additional_headers,
        "body_template" => &webhook.body_template,
        _ => return None,
    };
    let number = error.line?;
    let index = usize::try_from(number.checked_sub(1)?).ok()?;
    let line = template.lines().nth(index)?;
    Some(format!("  {number} | {}", Clean(line)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sandbox::ErrorKind;

    #[test]
    fn the_line_at_fault_is_quoted() {
        let webhook = WebhookSpec {
            body_template: "a\n{{ b.c }}\nd".to_owned(),
            ..WebhookSpec::default()
        };
        let at = |field: &str, line: u32| {
            let error = RenderError {
                line: Some(line),
                ..RenderError::new(ErrorKind::TemplateRuntime, "").in_field(field)
            };
            quote(&error, &webhook)
        };
        assert_eq!(at("body_template", 2).as_deref(), Some("  2 | {{ b.c }}"));
        assert_eq!(at("body_template", 0), None);
        assert_eq!(at("body_template", 9), None);
        assert_eq!(at("secret", 1), None);
    }

    #[test]
    fn a_webhook_is_found_in_a_file_with_several() {
        let file = json!({"webhooks": [{"name": "a"}, {"name": "b"}]});
        assert_eq!(
            pick(&file, Some("b")).map(|w| w["name"].clone()),
            Ok(json!("b"))
        );
        assert!(pick(&file, None).is_err_and(|e| e.contains("--name")));
        assert!(pick(&file, Some("c")).is_err());
        assert!(pick(&json!([]), None).is_err());
        assert!(pick(&json!({"payload_url": "x"}), None).is_ok());
    }
}
