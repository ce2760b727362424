//! `--check`: what NetBox would send for an event beside what hookbox would.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    inspect::inspect,
    netbox::Bench,
    python,
    translate::{Translated, place_id},
};
use crate::{
    cli::{
        diff::write_diff,
        error::{CliError, CliResult},
        terminal::{Paint, one_line, read_input, shortened},
    },
    ingest::{self, Event},
    model::{DeliveryId, TenantId, Webhook},
    pipeline::{Render, RenderOutcome},
    request::is_credential,
    rules::RuleSet,
    sandbox::RenderError,
    tenant::{WebhookSecrets, snapshot::guest_view},
};

/// Pairs of an event and a webhook; each takes a Python process.
const MAX_PAIRS: usize = 1000;
/// Bytes of a body that are printed.
const MAX_SHOWN: usize = 16 * 1024;
/// Headers that every client sends in its own way, or that follow from the body and the secret.
const NOT_COMPARED: [&str; 8] = [
    "accept",
    "accept-encoding",
    "content-length",
    "user-agent",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
    "x-hook-signature",
];

/// A request as its receiver sees it.
#[derive(Debug, PartialEq)]
pub(super) struct Sent {
    pub(super) method: String,
    pub(super) url: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// Compares, for each event, all webhooks that its rules run.
///
/// # Errors
/// If anything that a receiver could notice differs, or the comparison could not be made.
pub(super) async fn run(
    events: &[PathBuf],
    python: &Path,
    all: &Translated,
    bench: &Bench,
) -> CliResult {
    let rules = RuleSet::compile(&all.rules, &all.webhooks, (&bench.config.limits).into());
    let paint = Paint::for_stdout();
    let mut out = io::stdout();
    let (mut pairs, mut differ) = (0usize, 0usize);
    let mut seen = BTreeSet::new();
    for path in events {
        let shown = one_line(&path.display().to_string());
        let fail = |why: &str| CliError::failed(format!("{shown}: {}", one_line(why)));
        let bytes = read_input(path, bench.config.ingest.max_event_bytes as u64)?;
        let event = rules.recognize(parse(&bytes, bench).map_err(|why| fail(&why))?);
        let matched = rules.match_event(&event);
        if matched.targets().is_empty() {
            writeln!(out, "{shown}: no rule runs a webhook for it")?;
        }
        for target in matched.targets() {
            pairs += 1;
            if pairs > MAX_PAIRS {
                return Err(CliError::failed(format!(
                    "there are more than {MAX_PAIRS} pairs of an event and a webhook; check fewer events at once"
                )));
            }
            let Some((place, webhook)) = all
                .webhooks
                .iter()
                .enumerate()
                .find(|(_, webhook)| webhook.id == *target.webhook())
            else {
                continue;
            };
            seen.insert(place);
            let rule = all.rules.iter().find(|rule| rule.id == *target.rule());
            let action_data = rule.and_then(|rule| rule.spec.action_data.as_ref());
            let context = event.context_with(action_data);
            let old = python::render(python, &webhook.spec, &context).await?;
            let new = render(bench, webhook, context).await;
            let rule_name = (0..all.items.len())
                .find(|place| *target.rule().as_str() == place_id(*place))
                .map_or_else(String::new, |place| Bench::name_of(all, place));
            let title = format!("{shown}, {rule_name}, {}", Bench::name_of(all, place));
            differ += usize::from(!compare(&mut out, paint, &title, &old, &new)?);
        }
    }
    // These events may be harmless, and the next one not; both sides would send what is no JSON.
    for place in seen {
        let Some(webhook) = all.webhooks.get(place) else {
            continue;
        };
        if let Some(warning) = bench.json_warning(&webhook.spec).await {
            let name = Bench::name_of(all, place);
            writeln!(out, "{name}: note: {}", one_line(&warning))?;
        }
    }
    writeln!(out, "{pairs} compared, {differ} differ")?;
    match differ {
        0 if pairs == 0 => Err(CliError::failed(
            "no rule runs a webhook for any of these events, so nothing was compared",
        )),
        0 => Ok(()),
        n => Err(CliError::failed(format!(
            "{n} of {pairs} differ in something that a receiver could notice"
        ))),
    }
}

fn parse(bytes: &[u8], bench: &Bench) -> Result<Event, String> {
    ingest::parse_event(&TenantId::default_tenant(), bytes, &bench.config.ingest)
        .map(|incoming| incoming.event)
        .map_err(|e| e.to_string())
}

/// Computes hookbox's request. It stays in this process; secrets are not part of the comparison.
async fn render(bench: &Bench, webhook: &Webhook, context: Arc<str>) -> Result<Sent, String> {
    // Environment variables are secrets here. What they hold is not known: on both sides a word stands for it.
    let names: Vec<String> = inspect(&webhook.spec).env.into_iter().collect();
    let secrets = WebhookSecrets::placeholders(&names);
    let render = Render {
        config: &bench.config,
        webhook: &webhook.spec,
        delivery: &DeliveryId::from("dlv_dry_run"),
        secrets: &secrets,
    };
    let job = render.job(context, guest_view(&webhook.spec), "");
    let rendering = bench.sandbox.render(&bench.transformer, job).await;
    let request = match render.build(rendering).outcome {
        RenderOutcome::Request(request) => request,
        RenderOutcome::Skip(reason) => {
            return Err(format!("nothing is sent: {}", shortened(&reason, 300)));
        }
        RenderOutcome::Error(error) => return Err(error_line(&error)),
    };
    Ok(Sent {
        method: request.method().as_str().to_owned(),
        url: request.url().to_string(),
        headers: request
            .headers()
            .iter()
            .map(|(name, value)| {
                let value = value.as_bytes().iter().map(|&b| char::from(b)).collect();
                (name.as_str().to_owned(), value)
            })
            .collect(),
        body: request.body().to_vec(),
    })
}

fn error_line(error: &RenderError) -> String {
    let field = error
        .field
        .as_deref()
        .map(|f| format!("{f}: "))
        .unwrap_or_default();
    format!("{field}{}", shortened(&error.message, 300))
}

/// Prints both sides, what they share once, and answers whether a receiver would see no difference.
fn compare(
    out: &mut impl Write,
    paint: Paint,
    title: &str,
    old: &Result<Sent, String>,
    new: &Result<Sent, String>,
) -> io::Result<bool> {
    let (old_lines, new_lines) = (lines(old), lines(new));
    let same = match (old, new) {
        (Ok(_), Ok(_)) => old_lines == new_lines,
        // Nothing is sent by either; the words differ.
        (Err(_), Err(_)) => true,
        _ => false,
    };
    let verdict = if same {
        paint.green("the same")
    } else {
        paint.red("different")
    };
    writeln!(out, "{title}: {verdict}")?;
    let mut lines = Vec::new();
    write_diff(&mut lines, (&old_lines, &new_lines), Line::shown, paint)?;
    for line in String::from_utf8_lossy(&lines).lines() {
        writeln!(out, "  {line}")?;
    }
    writeln!(out)?;
    Ok(same)
}

/// One line of a request: what is compared, and what of it may be shown.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Line {
    whole: String,
    shown: String,
}

impl Line {
    fn shown(&self) -> &str {
        &self.shown
    }
}

fn lines(sent: &Result<Sent, String>) -> Vec<Line> {
    let plain = |text: String| Line {
        shown: one_line(&text),
        whole: text,
    };
    let sent = match sent {
        Ok(sent) => sent,
        Err(why) => return vec![plain(format!("nothing is sent: {why}"))],
    };
    let mut lines = vec![plain(format!("{} {}", sent.method, sent.url))];
    let headers: BTreeSet<_> = sent
        .headers
        .iter()
        .filter(|(name, _)| !NOT_COMPARED.contains(&name.as_str()))
        .collect();
    for (name, value) in headers {
        let whole = format!("{name}: {value}");
        let shown = if is_credential(name) {
            format!("{name}: [redacted]")
        } else {
            one_line(&whole)
        };
        lines.push(Line { whole, shown });
    }
    if !sent.body.is_empty() {
        lines.push(plain(String::new()));
        let text = String::from_utf8_lossy(&sent.body);
        let mut shown = 0_usize;
        for line in text.split('\n') {
            let line = plain(line.to_owned());
            shown = shown.saturating_add(line.shown.len());
            lines.push(if shown > MAX_SHOWN {
                Line {
                    shown: "…".to_owned(),
                    ..line
                }
            } else {
                line
            });
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(header: (&str, &str), body: &str) -> Result<Sent, String> {
        Ok(Sent {
            method: "POST".to_owned(),
            url: "https://x.example/".to_owned(),
            headers: vec![(header.0.to_owned(), header.1.to_owned())],
            body: body.as_bytes().to_vec(),
        })
    }

    fn compared(old: &Result<Sent, String>, new: &Result<Sent, String>) -> (bool, String) {
        let mut out = Vec::new();
        let same = compare(&mut out, Paint::for_stdout(), "t", old, new).unwrap();
        (same, String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_differs_is_marked_and_what_is_shared_is_shown_once() {
        let (same, text) = compared(
            &request(("x-a", "1"), "a\nb\nc"),
            &request(("x-a", "1"), "a\nB\nc"),
        );
        assert!(!same);
        assert!(text.contains("  - b\n  + B\n    c\n"), "{text}");
        assert_eq!(text.matches("x-a: 1").count(), 1);
    }

    #[test]
    fn a_credential_is_compared_and_not_shown() {
        let (same, text) = compared(
            &request(("authorization", "one"), ""),
            &request(("authorization", "two"), ""),
        );
        assert!(
            !same && !text.contains("one") && !text.contains("two"),
            "{text}"
        );
    }

    #[test]
    fn each_clients_own_headers_are_not_compared() {
        let (same, _) = compared(
            &request(("user-agent", "python"), "x"),
            &request(("webhook-id", "dlv"), "x"),
        );
        assert!(same);
        let (same, text) = compared(&request(("x", "1"), "x"), &Err("it fails".to_owned()));
        assert!(
            !same && text.contains("+ nothing is sent: it fails"),
            "{text}"
        );
    }
}
