//! Computes NetBox's request in a Python process with the libraries that NetBox uses.
//!
//! The templates may be anybody's, and Jinja2's own sandbox has been left before. So the process has no
//! environment but its path, little time and memory, and nothing of it is believed: its answer is bounded
//! and read like any input. That keeps a careless template from doing harm; whoever does not trust the
//! templates at all should not run them in Python, which is what hookbox is for.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
};

use super::check::Sent;
use crate::{
    cli::{
        error::{CliError, CliResult},
        terminal::{one_line, shortened},
    },
    model::{WebhookSpec, json},
};

const SCRIPT: &str = include_str!("netbox_render.py");
/// For one render.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;
/// Variables that the interpreter needs to find itself.
const PASSED_ON: [&str; 4] = ["PATH", "HOME", "PYENV_ROOT", "PYENV_VERSION"];

/// Renders a webhook as NetBox does. The inner error is NetBox's own: the job would fail with it.
///
/// # Errors
/// When there is no Python with the libraries, or it does not answer.
pub(super) async fn render(
    program: &Path,
    spec: &WebhookSpec,
    context: &str,
) -> CliResult<Result<Sent, String>> {
    let webhook = json!({
        "http_method": spec.http_method,
        "http_content_type": spec.http_content_type,
        "additional_headers": spec.additional_headers,
        "body_template": spec.body_template,
        "payload_url": spec.payload_url,
    });
    // As text: parsed, its numbers could lose digits.
    let job = format!(r#"{{"context": {context}, "webhook": {webhook}}}"#);
    let answer = tokio::time::timeout(TIMEOUT, run(program, job.into_bytes()))
        .await
        .unwrap_or_else(|_| Ok(Ended::Died("it did not end in time".to_owned())))?;
    let bytes = match answer {
        Ended::Answered(bytes) => bytes,
        // An error that ends the interpreter would have ended NetBox's job, if later.
        Ended::Died(why) => return Ok(Err(why)),
    };
    let answer = json::parse(&bytes, json::MAX_DEPTH)
        .map_err(|e| CliError::failed(format!("the Python process answered no JSON: {e}")))?;
    sent(&answer)
        .ok_or_else(|| CliError::failed("the Python process answered something unexpected"))
}

fn sent(answer: &Value) -> Option<Result<Sent, String>> {
    if let Some(error) = answer.get("error") {
        let field = error.get("field")?.as_str()?;
        let line = error.get("line").and_then(Value::as_u64);
        let line = line.map(|n| format!(" (line {n})")).unwrap_or_default();
        let message = shortened(error.get("message")?.as_str()?, 300);
        return Some(Err(match field {
            "" => message,
            field => format!("{field}{line}: {message}"),
        }));
    }
    let headers = answer.get("headers")?.as_array()?;
    Some(Ok(Sent {
        method: answer.get("method")?.as_str()?.to_owned(),
        url: answer.get("url")?.as_str()?.to_owned(),
        headers: headers
            .iter()
            .map(|pair| {
                let text = |i: usize| pair.get(i)?.as_str();
                Some((text(0)?.to_ascii_lowercase(), text(1)?.to_owned()))
            })
            .collect::<Option<_>>()?,
        body: STANDARD.decode(answer.get("body_base64")?.as_str()?).ok()?,
    }))
}

enum Ended {
    Answered(Vec<u8>),
    Died(String),
}

async fn run(program: &Path, job: Vec<u8>) -> CliResult<Ended> {
    let shown = one_line(&program.display().to_string());
    let broke =
        |e: std::io::Error| CliError::failed(format!("{shown} broke off: {e}; see --python"));
    let mut child = Command::new(program)
        .args(["-I", "-B", "-c", SCRIPT])
        .env_clear()
        .envs(
            PASSED_ON
                .iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        )
        .current_dir(PathBuf::from("/"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| CliError::failed(format!("cannot run {shown} ({e}): {}", how_to_get_it())))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async move {
        if let Some(mut stdin) = stdin {
            // Errs when the process has ended, which its exit code explains better.
            let _ = stdin.write_all(&job).await;
        }
    };
    let read = async |stream: Option<_>, most: u64| -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(stream) = stream {
            let _ = AsyncReadExt::take(stream, most)
                .read_to_end(&mut bytes)
                .await;
        }
        bytes
    };
    let out = async {
        let mut bytes = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(MAX_ANSWER).read_to_end(&mut bytes).await?;
        }
        Ok::<_, std::io::Error>(bytes)
    };
    let ((), answer, said) = tokio::join!(write, out, read(stderr, 16 * 1024));
    let status = child.wait().await.map_err(broke)?;
    let answer = answer.map_err(broke)?;
    match status.code() {
        Some(0) => Ok(Ended::Answered(answer)),
        Some(3) => Err(CliError::failed(format!(
            "{shown} has no {}: {}",
            shortened(String::from_utf8_lossy(&said).trim(), 80),
            how_to_get_it()
        ))),
        _ => {
            let said = String::from_utf8_lossy(&said);
            let last = said.trim().lines().last().unwrap_or_default();
            Ok(Ended::Died(format!(
                "the render was ended by its limits or by an error ({status}) {}",
                shortened(last, 200)
            )))
        }
    }
}

fn how_to_get_it() -> &'static str {
    "the comparison needs a Python with jinja2 and requests; NetBox's own will do (--python \
     /opt/netbox/venv/bin/python), or make one: python3 -m venv nb && nb/bin/pip install jinja2 requests, \
     then --python nb/bin/python"
}
