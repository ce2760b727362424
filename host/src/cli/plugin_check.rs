//! `hookbox plugin check`: all that a plugin must pass before it may run, on its author's machine.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::{
    describe::{cost_line, error_line, log_lines},
    error::{CliError, CliResult},
    local_sandbox,
    terminal::{Json, Paint, one_line, read_input},
};
use crate::{
    config::Config,
    ingest,
    model::TenantId,
    sandbox::{Admitted, Function, Measure, Sandbox, has_stand_in},
    transformers::{SAMPLE_EVENT, SmokeTest},
};

/// Check whether a plugin would be accepted, and tell what it costs
///
/// Runs here, without a server, all that a plugin must pass before it may run: the limits on what is in it
/// (section `plugins` of the configuration), its compilation in a process of its own, its imports and
/// exports, and a smoke test: one render of a sample event. What it is compiled to is kept for `hookbox render`. Exit code 1 if
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
            Ok((admitted, test)) => {
                serde_json::to_value(Report::new(admitted, test)).map_err(CliError::failed)?
            }
            Err(why) => json!({"admitted": false, "refused": why}),
        };
        writeln!(out, "{}", Json(&report))?;
    } else if let Ok((admitted, test)) = &checked {
        write_report(&mut out, &Report::new(admitted, test))?;
    }
    let refused = match checked {
        Err(why) => Some(why),
        Ok((_, test)) => refusal(&test),
    };
    match refused {
        Some(why) => {
            let file = one_line(&args.file.to_string_lossy());
            Err(CliError::failed(format!("{file}: {}", one_line(&why))))
        }
        None => Ok(()),
    }
}

/// The plugin and its smoke test, or why it was refused before there could be one.
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
    match local_sandbox::admit("plugin", wasm, &config).await? {
        Ok((sandbox, admitted)) => {
            let test = SmokeTest::run(&sandbox, &admitted.transformer, &event, &config).await;
            Ok(Ok((admitted, test)))
        }
        Err(error) if error.is_refusal() => Ok(Err(error.to_string())),
        Err(error) => Err(CliError::failed(error)),
    }
}

/// Why the plugin is refused for its smoke test, if it is.
fn refusal(test: &SmokeTest) -> Option<String> {
    let error = error_line(&test.refusal()?.clone().into());
    Some(format!("the smoke test failed: {error}"))
}

/// What the check found, as `--json` prints it.
#[derive(Serialize)]
struct Report<'a> {
    admitted: bool,
    sha256: &'a str,
    component_bytes: usize,
    compiled_bytes: usize,
    compile_ms: u64,
    compiled_before: bool,
    imports: Vec<&'a str>,
    wasi: Vec<&'a str>,
    exports: &'a [String],
    figures: &'a BTreeMap<Measure, u64>,
    largest_function: Option<&'a Function>,
    trial: &'a SmokeTest,
}

impl<'a> Report<'a> {
    fn new(admitted: &'a Admitted, test: &'a SmokeTest) -> Self {
        let survey = &admitted.survey;
        let names = survey.imports.iter().map(String::as_str);
        let (wasi, imports) = names.partition(|name| has_stand_in(name));
        Self {
            admitted: refusal(test).is_none(),
            sha256: admitted.transformer.sha256(),
            component_bytes: admitted.component.len(),
            compiled_bytes: admitted.compiled_bytes,
            compile_ms: admitted.compile_ms,
            compiled_before: admitted.compiled_before,
            imports,
            wasi,
            exports: &survey.exports,
            figures: &survey.figures,
            largest_function: survey.largest_function.as_ref(),
            trial: test,
        }
    }
}

/// The report for people.
fn write_report(out: &mut impl Write, report: &Report<'_>) -> io::Result<()> {
    let paint = Paint::for_stdout();
    let list = |names: &[&str]| match names {
        [] => "none".to_owned(),
        names => names
            .iter()
            .map(|name| one_line(name))
            .collect::<Vec<_>>()
            .join(", "),
    };
    let mut line =
        |name: &str, text: String| writeln!(out, "{} {text}", paint.bold(&format!("{name:<10}")));
    line("Imports", list(&report.imports))?;
    if !report.wasi.is_empty() {
        line("WASI", format!("(stand-in) {}", list(&report.wasi)))?;
    }
    let exports: Vec<&str> = report.exports.iter().map(String::as_str).collect();
    line("Exports", list(&exports))?;
    let figure = |measure| report.figures.get(&measure).copied().unwrap_or_default();
    line(
        "Component",
        format!(
            "{} bytes, {} functions in {} core modules",
            report.component_bytes,
            figure(Measure::Functions),
            figure(Measure::Modules)
        ),
    )?;
    if let Some(largest) = &report.largest_function {
        line(
            "Largest",
            format!(
                "function {} of core module {}, {} bytes",
                largest.index, largest.module, largest.bytes
            ),
        )?;
    }
    line(
        "Compiled",
        if report.compiled_before {
            format!("{} bytes, before now", report.compiled_bytes)
        } else {
            format!(
                "{} bytes in {} ms",
                report.compiled_bytes, report.compile_ms
            )
        },
    )?;
    let test = report.trial;
    let result = match &test.error {
        Some(error) => format!(
            "{} {}",
            paint.red("error"),
            error_line(&error.clone().into())
        ),
        None => paint.green(test.outcome),
    };
    line("Smoke test", result)?;
    line("", cost_line(test.cost))?;
    for text in log_lines(&test.logs) {
        line("Log", text)?;
    }
    line(
        "Verdict",
        if report.admitted {
            paint.green("accepted")
        } else {
            paint.red("refused")
        },
    )
}
