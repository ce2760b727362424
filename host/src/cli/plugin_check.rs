//! `hookbox plugin check`: all that a plugin must pass before it may run, on its author's machine.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    deliveries::{error_line, log_lines, strings},
    error::{CliError, CliResult},
    setup::user_cache,
    terminal::{Json, Paint, one_line, read_input},
};
use crate::{
    config::Config,
    ingest,
    model::TenantId,
    sandbox::{Admitted, Sandbox, has_stand_in},
    transformers::{SAMPLE_EVENT, SmokeTest},
};

/// Check whether a plugin would be accepted, and tell what it costs
///
/// Runs here, without a server, all that a plugin must pass before it may run: the limits on what is in it
/// (section `plugins` of the configuration), its compilation in a process of its own, its imports and
/// exports, and one trial render of a sample event. What it is compiled to is kept for `hookbox render`. Exit code 1 if
/// it is refused.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hookbox plugin check my-plugin.wasm
  hookbox plugin check my-plugin.wasm --event event.json --json")]
pub(super) struct CheckArgs {
    /// The component, or a core module with an embedded component type; - for stdin
    file: PathBuf,
    /// File with the event to render, as JSON, instead of a sample
    #[arg(long, value_name = "FILE")]
    event: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Configuration file; otherwise hookbox.toml in the working directory, if there is one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) async fn run(args: CheckArgs) -> CliResult {
    let checked = check(&args).await?;
    let mut out = io::stdout();
    if args.json {
        let report = match &checked {
            Ok((admitted, trial)) => describe(admitted, trial),
            Err(why) => json!({"admitted": false, "refused": why}),
        };
        writeln!(out, "{}", Json(&report))?;
    } else if let Ok((admitted, trial)) = &checked {
        write_report(&mut out, &describe(admitted, trial))?;
    }
    let refused = match checked {
        Err(why) => Some(why),
        Ok((_, trial)) => refusal(&trial),
    };
    match refused {
        Some(why) => {
            let file = one_line(&args.file.to_string_lossy());
            Err(CliError::failed(format!("{file}: {}", one_line(&why))))
        }
        None => Ok(()),
    }
}

/// The plugin and its trial, or why it was refused before there could be one.
async fn check(args: &CheckArgs) -> CliResult<Result<(Admitted, SmokeTest), String>> {
    let config = Config::load(args.config.as_deref(), &[]).map_err(CliError::failed)?;
    let wasm = read_input(&args.file, Sandbox::MAX_COMPONENT_BYTES as u64)?;
    let event = match &args.event {
        Some(path) => read_input(path, config.ingest.max_event_bytes as u64)?,
        None => SAMPLE_EVENT.to_vec(),
    };
    let event = ingest::parse_event(&TenantId::default_tenant(), &event, &config.ingest)
        .map_err(|e| CliError::failed(format!("the event: {}", one_line(&e.to_string()))))?
        .event;

    let (limits, plugins) = (config.sandbox.clone(), config.plugins.clone());
    let admitted = tokio::task::spawn_blocking(move || {
        // The author of a plugin is not always the one who checks it, so not even the compiler trusts it.
        let cache = user_cache().map(|dir| dir.join("cache"));
        let sandbox = Sandbox::with_compiler(&limits, cache.as_deref(), std::env::current_exe()?)
            .map_err(CliError::failed)?;
        match sandbox.admit("plugin", &wasm, &plugins) {
            Ok(admitted) => {
                // For `hookbox render`, and for the next check of the same bytes.
                sandbox.keep("", &admitted.transformer);
                Ok(Ok((sandbox, admitted)))
            }
            Err(error) if error.is_refusal() => Ok(Err(error.to_string())),
            Err(error) => Err(CliError::failed(error)),
        }
    })
    .await
    .map_err(CliError::failed)??;
    let (sandbox, admitted) = match admitted {
        Ok(admitted) => admitted,
        Err(why) => return Ok(Err(why)),
    };

    let trial = SmokeTest::run(&sandbox, &admitted.transformer, &event, &config).await;
    Ok(Ok((admitted, trial)))
}

/// Why the plugin is refused for its trial, if it is.
fn refusal(trial: &SmokeTest) -> Option<String> {
    let error = trial.refusal()?;
    Some(format!(
        "the trial render failed: {}",
        error_line(&json!(error))
    ))
}

fn describe(admitted: &Admitted, trial: &SmokeTest) -> Value {
    let (wasi, imports): (Vec<_>, Vec<_>) = admitted
        .survey
        .imports
        .iter()
        .partition(|name| has_stand_in(name));
    json!({
        "admitted": refusal(trial).is_none(),
        "sha256": admitted.transformer.sha256(),
        "component_bytes": admitted.component.len(),
        "compiled_bytes": admitted.compiled_bytes,
        "compile_ms": admitted.compile_ms,
        "compiled_before": admitted.compiled_before,
        "imports": imports,
        "wasi": wasi,
        "exports": admitted.survey.exports,
        "figures": admitted.survey.figures,
        "largest_function": admitted.survey.largest_function,
        "trial": trial,
    })
}

/// The report for people.
fn write_report(out: &mut impl Write, report: &Value) -> io::Result<()> {
    let paint = Paint::for_stdout();
    let n = |pointer: &str| report.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let list = |key: &str| {
        let names = strings(report.get(key)).map(one_line).collect::<Vec<_>>();
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    };
    let mut line =
        |name: &str, text: String| writeln!(out, "{} {text}", paint.bold(&format!("{name:<10}")));
    line("Imports", list("imports"))?;
    if strings(report.get("wasi")).next().is_some() {
        line("WASI", format!("(stand-in) {}", list("wasi")))?;
    }
    line("Exports", list("exports"))?;
    line(
        "Component",
        format!(
            "{} bytes, {} functions in {} core modules",
            n("/component_bytes"),
            n("/figures/functions"),
            n("/figures/modules")
        ),
    )?;
    line(
        "Largest",
        format!(
            "function {} of core module {}, {} bytes",
            n("/largest_function/index"),
            n("/largest_function/module"),
            n("/largest_function/bytes")
        ),
    )?;
    line(
        "Compiled",
        match report.get("compiled_before").and_then(Value::as_bool) {
            Some(true) => format!("{} bytes, before now", n("/compiled_bytes")),
            _ => format!("{} bytes in {} ms", n("/compiled_bytes"), n("/compile_ms")),
        },
    )?;
    let trial = report.get("trial").unwrap_or(&Value::Null);
    let error = trial.get("error").filter(|error| !error.is_null());
    let came_to = match (error, trial.get("outcome").and_then(Value::as_str)) {
        (Some(error), _) => format!("{} {}", paint.red("error"), error_line(error)),
        (None, outcome) => paint.green(outcome.unwrap_or_default()),
    };
    line("Smoke test", came_to)?;
    line(
        "",
        format!(
            "{} fuel, {} KiB of memory, {} µs",
            n("/trial/fuel"),
            n("/trial/peak_memory_bytes") / 1024,
            n("/trial/elapsed_us")
        ),
    )?;
    for text in log_lines(trial.get("logs")) {
        line("Log", text)?;
    }
    line(
        "Verdict",
        match report.get("admitted").and_then(Value::as_bool) {
            Some(true) => paint.green("accepted"),
            _ => paint.red("refused"),
        },
    )
}
