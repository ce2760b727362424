//! `hookbox render`: what a webhook would send for an event, without a server.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Map, Value};

use super::{
    client::Server,
    deliveries::{body_text, error_line, header_pairs, log_lines, strings, text},
    error::{CliError, CliResult},
    native,
    replay::{self, Replay},
    setup::{ConfigFlags, Overrides, user_cache},
    terminal::{Clean, Json, Paint, marked_lines, one_line, read_input, read_json},
};
use crate::{
    config::Config,
    guard::Guard,
    ingest::{self, Event},
    model::{TenantId, WebhookSpec, split_reference},
    pipeline::{RenderReport, RenderSetup},
    sandbox::{Sandbox, Transformer},
    tenant::{
        WebhookSecrets,
        validate::{self, Draft},
    },
    transformers::{BUILT_IN, open_sandbox},
};

const MAX_WEBHOOK: u64 = 8 * 1024 * 1024;
const MAX_BODY_SHOWN: usize = 64 * 1024;

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
                    admit_plugin("plugin", wasm, &path.display().to_string(), &config).await?
                }
                None => {
                    let limits = config.sandbox.clone();
                    let cache = user_cache().map(|dir| dir.join("cache"));
                    let open = move || open_sandbox(&limits, cache.as_deref());
                    let opened = tokio::task::spawn_blocking(open).await;
                    opened
                        .map_err(CliError::failed)?
                        .map_err(CliError::failed)?
                }
            };
            setup.report(&sandbox, &transformer, &webhook, &event).await
        }
    };
    let report = serde_json::to_value(&report).map_err(CliError::failed)?;

    let mut out = io::stdout();
    if args.json {
        writeln!(out, "{}", Json(&report))?;
    } else {
        out.write_all(&describe(&report, &webhook, args.native.is_some())?)?;
    }
    match report.get("error") {
        Some(error) if !error.is_null() => Err(CliError::failed(error_line(error))),
        _ => Ok(()),
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

/// A sandbox with a plugin, which may come from anybody, so that not even the compiler trusts it.
pub(super) async fn admit_plugin(
    name: &str,
    wasm: Vec<u8>,
    place: &str,
    config: &Config,
) -> CliResult<(Sandbox, Transformer)> {
    let (limits, plugins) = (config.sandbox.clone(), config.plugins.clone());
    let (name, place) = (name.to_owned(), place.to_owned());
    let admit = move || {
        let cache = user_cache().map(|dir| dir.join("cache"));
        let program = std::env::current_exe()?;
        let sandbox =
            Sandbox::with_compiler(&limits, cache.as_deref(), program).map_err(CliError::failed)?;
        let admitted = sandbox
            .admit(&name, &wasm, &plugins)
            .map_err(|e| CliError::failed(format!("{place}: {e}")))?;
        sandbox.keep("", &admitted.transformer);
        Ok((sandbox, admitted.transformer))
    };
    tokio::task::spawn_blocking(admit)
        .await
        .map_err(CliError::failed)?
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
fn describe(report: &Value, webhook: &WebhookSpec, native: bool) -> io::Result<Vec<u8>> {
    let paint = Paint::for_stdout();
    let mut out = Vec::new();
    if let Some(request) = report.get("request").filter(|r| !r.is_null()) {
        out = describe_request(request, paint)?;
    }
    if let Some(reason) = report.get("skip_reason").and_then(Value::as_str) {
        writeln!(out, "{} {}", paint.bold("Skipped:"), one_line(reason))?;
    }
    if let Some(error) = report.get("error").filter(|e| !e.is_null()) {
        writeln!(out, "{} {}", paint.red("Error:"), error_line(error))?;
        if let Some(quote) = quote(error, webhook) {
            writeln!(out, "{quote}")?;
        }
    }
    let elapsed = report.get("elapsed_us").and_then(Value::as_u64);
    let cost = match native {
        true => format!("Native: {} µs", elapsed.unwrap_or_default()),
        false => cost_line(report),
    };
    writeln!(out, "\n{cost}")?;
    for line in log_lines(report.get("logs")) {
        writeln!(out, "Log: {line}")?;
    }
    for warning in strings(report.get("warnings")) {
        writeln!(out, "Warning: {}", one_line(warning))?;
    }
    if let Some(guard) = report.get("guard").filter(|g| !g.is_null()) {
        match guard.get("reason").and_then(Value::as_str) {
            None => writeln!(out, "Destination: {}", paint.green("allowed"))?,
            Some(why) => writeln!(
                out,
                "Destination: {}: {}",
                paint.red("refused"),
                one_line(why)
            )?,
        }
    }
    Ok(out)
}

/// Method, URL, headers and body, which is indented, so that nothing in it looks like what is said of it.
pub(super) fn describe_request(request: &Value, paint: Paint) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let line = format!("{} {}", text(request, "method"), text(request, "url"));
    writeln!(out, "{}", paint.bold(&one_line(&line)))?;
    for (name, value) in header_pairs(request) {
        writeln!(
            out,
            "{}",
            paint.dim(&format!("{}: {}", one_line(name), one_line(value)))
        )?;
    }
    let body = body_text(request, MAX_BODY_SHOWN);
    if !body.is_empty() {
        write!(out, "\n{}", marked_lines(body.trim_end_matches('\n'), "  "))?;
    }
    Ok(out)
}

/// The cost of the render.
pub(super) fn cost_line(report: &Value) -> String {
    let n = |key| report.get(key).and_then(Value::as_u64).unwrap_or_default();
    format!(
        "Sandbox: {} fuel, {} KiB of memory, {} µs",
        n("fuel"),
        n("peak_memory_bytes") / 1024,
        n("elapsed_us")
    )
}

/// The line of the template that an error names.
fn quote(error: &Value, webhook: &WebhookSpec) -> Option<String> {
    let template = match text(error, "field") {
        "payload_url" => &webhook.payload_url,
        "additional_headers" => &webhook.additional_headers,
        "body_template" => &webhook.body_template,
        _ => return None,
    };
    let number = error.get("line")?.as_u64()?;
    let index = usize::try_from(number.checked_sub(1)?).ok()?;
    let line = template.lines().nth(index)?;
    Some(format!("  {number} | {}", Clean(line)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_line_at_fault_is_quoted() {
        let webhook = WebhookSpec {
            body_template: "a\n{{ b.c }}\nd".to_owned(),
            ..WebhookSpec::default()
        };
        let at = |field: &str, line: u64| quote(&json!({"field": field, "line": line}), &webhook);
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
