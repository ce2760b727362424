//! `hookbox import netbox`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::{self, IsTerminal, Write},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use url::Url;

use super::{
    check,
    http::NetBox,
    inspect,
    outcome::title,
    plan::{Plan, Stored},
    source,
    translate::{Translated, translate},
};
use crate::{
    cli::{
        client::Client,
        error::{CliError, CliResult},
        local_sandbox,
        setup::{ConfigFlags, Overrides, any_secret},
        terminal::{one_line, shortened},
    },
    config::Config,
    guard::{Guard, GuardError},
    model::{Secret, WebhookSpec},
    pipeline::json_body,
    sandbox::{ErrorKind, Output, RenderJob, Sandbox, SecretHandles, Transformer},
    tenant::snapshot::guest_view,
};

/// Names of filters that are looked up; nobody's templates name more.
const MAX_FILTERS: usize = 200;

/// Take over webhooks and event rules from NetBox
///
/// Reads them from NetBox's REST API (--url, 3.7 to 4.7) or from files that hold what it answers, shows what
/// would be created, updated and left as it is, what cannot be carried over and what would behave
/// otherwise, and then does it. Run again, it does what has changed since. Policy set here (retries,
/// limits, plugins) stays, and so does whether something is enabled. The key of the hookbox server is read
/// from HOOKBOX_KEY. With --check nothing is imported: events are rendered as NetBox renders them and as
/// hookbox does, and compared. Exit code 1 if something that should be here is not, or differs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  NETBOX_TOKEN=… hookbox import netbox --url https://netbox.example.com --dry-run
  NETBOX_TOKEN=… hookbox import netbox --url https://netbox.example.com
  hookbox import netbox webhooks.json event-rules.json --yes
  hookbox import netbox webhooks.json event-rules.json --check event.json")]
pub(super) struct NetboxArgs {
    /// Files with webhooks and event rules as NetBox's REST API answers them: a list, a page, or
    /// {"webhooks": […], "event_rules": […]}; - for stdin
    #[arg(
        value_name = "FILE",
        conflicts_with = "url",
        required_unless_present = "url"
    )]
    files: Vec<PathBuf>,
    #[arg(
        long,
        value_name = "URL",
        help = "The NetBox to read from, such as https://netbox.example.com"
    )]
    url: Option<Url>,
    /// Token for NetBox. A command line can be seen by others on the machine: prefer the variable
    #[arg(long, value_name = "TOKEN", env = "NETBOX_TOKEN", hide_env_values = true, value_parser = any_secret)]
    token: Option<Secret>,
    /// Seconds that one answer of NetBox may take
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
    /// The hookbox server to import into
    #[arg(
        long,
        value_name = "URL",
        env = "HOOKBOX_URL",
        default_value = "http://127.0.0.1:8844"
    )]
    server: Url,
    /// Show the plan and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before the plan is carried out
    #[arg(short, long)]
    yes: bool,
    /// Set NetBox's secrets also on webhooks that have one here
    #[arg(long)]
    set_secrets: bool,
    /// Import nothing: compare what NetBox and hookbox make of these events (files with NetBox's default
    /// webhook body)
    #[arg(long, value_name = "EVENT", num_args = 1.., conflicts_with_all = ["dry_run", "yes", "set_secrets"])]
    check: Vec<PathBuf>,
    /// Python with jinja2 and requests, for --check; NetBox's own is /opt/netbox/venv/bin/python
    #[arg(long, value_name = "PATH", default_value = "python3")]
    python: PathBuf,
    #[command(flatten)]
    config: ConfigFlags,
}

pub(super) async fn run(args: NetboxArgs) -> CliResult {
    let config = args.config.load(&Overrides::default())?;
    let objects = match &args.url {
        Some(url) => {
            let timeout = Duration::from_secs(args.timeout);
            // A variable that is set to nothing is none.
            let token = args
                .token
                .as_ref()
                .filter(|t| !t.expose().trim().is_empty());
            let netbox = NetBox::new(url.clone(), token, timeout)?;
            netbox.objects().await?
        }
        None => source::from_files(&args.files)?,
    };
    let mut all = translate(&objects.webhooks, &objects.rules, &config);
    let bench = Bench::open(config).await?;
    if !args.check.is_empty() {
        return check::run(&args.check, &args.python, &all, &bench).await;
    }

    let client = Client::new(args.server.clone(), key_in_environment())?;
    let stored = Stored::read(&client).await?;
    let (broken, env) = bench.examine(&mut all).await;
    let action_data_unseen = all.action_data_unseen;
    let plan = Plan::new(all, broken, &stored, args.set_secrets);

    let mut out = io::stdout();
    plan.print(&mut out)?;
    if action_data_unseen {
        writeln!(
            out,
            "NetBox's REST API does not show the action data of rules: where a rule has some, set action_data here"
        )?;
    }
    if !env.is_empty() {
        writeln!(
            out,
            "\nThese environment variables become secrets, each set so, with its value instead of …:"
        )?;
        for name in &env {
            writeln!(out, "  {}", secret_command(&args.server, name))?;
        }
    }
    for what in &objects.missing {
        writeln!(out, "Not read: {}", one_line(what))?;
    }
    let faults = plan.faults() + objects.missing.len();
    if !plan.is_empty() && !args.dry_run {
        if !args.yes && !confirmed()? {
            return Err(CliError::failed("nothing was changed"));
        }
        plan.apply(&client).await?;
    }
    match faults {
        0 => Ok(()),
        n => Err(CliError::failed(format!(
            "{n} of the things in NetBox are not carried over; see above"
        ))),
    }
}

fn key_in_environment() -> Option<Secret> {
    let key = std::env::var("HOOKBOX_KEY").ok()?;
    (!key.trim().is_empty()).then(|| Secret::new(key.trim()))
}

/// Asks, if there is somebody to ask.
fn confirmed() -> CliResult<bool> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(CliError::usage(
            "standard input is not a terminal: add --yes to apply the plan, or --dry-run to only see it",
        ));
    }
    write!(io::stdout(), "\nCarry this out? [y/N] ")?;
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(|e| CliError::failed(format!("cannot read the answer: {e}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The command that sets a secret, without its value.
fn secret_command(server: &Url, name: &str) -> String {
    let mut url = server.clone();
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_word) {
        return format!(
            "# {:?} cannot be a secret's name: choose another and change the template",
            shortened(name, 80)
        );
    }
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(["v1", "secrets", name]);
    }
    format!(
        "curl -X PUT -H \"Authorization: Bearer $HOOKBOX_KEY\" -H 'Content-Type: application/json' \
         -d '{{\"value\": \"…\"}}' '{}'",
        one_line(url.as_str())
    )
}

/// The sandbox and the guard of this process, to try webhooks with.
pub(super) struct Bench {
    pub(super) config: Config,
    pub(super) sandbox: Sandbox,
    pub(super) transformer: Transformer,
    pub(super) guard: Guard,
}

impl Bench {
    async fn open(config: Config) -> CliResult<Self> {
        let (sandbox, transformer) = local_sandbox::built_in(&config.sandbox).await?;
        let guard = Guard::new(&config.guard, &config.delivery);
        Ok(Self {
            config,
            sandbox,
            transformer,
            guard,
        })
    }

    /// Adds to each webhook's notes what is known of its templates and its receiver. Answers, by place, with
    /// the webhooks that hookbox would refuse, and with the environment variables that become secrets.
    async fn examine(&self, all: &mut Translated) -> (HashMap<usize, String>, BTreeSet<String>) {
        let mut broken = HashMap::new();
        let mut env = BTreeSet::new();
        let mut known: BTreeMap<String, bool> = BTreeMap::new();
        // Webhooks are the first items, in the same order.
        for (place, (webhook, item)) in all.webhooks.iter().zip(&mut all.items).enumerate() {
            let spec = &webhook.spec;
            let view = guest_view(spec);
            if let Err(error) = self.sandbox.check(&self.transformer, view).await {
                let line = error
                    .line
                    .map(|n| format!(" (line {n})"))
                    .unwrap_or_default();
                let field = error.field.unwrap_or_default();
                let message = shortened(&error.message, 300);
                let why = format!("its {field}{line} does not compile here: {message}");
                broken.insert(place, why);
                continue;
            }
            let found = inspect::inspect(spec);
            item.notes.extend(found.notes);
            item.notes.extend(self.json_warning(spec).await);
            env.extend(found.env);
            for filter in found.filters {
                if !known.contains_key(&filter) && known.len() >= MAX_FILTERS {
                    break;
                }
                let exists = match known.get(&filter) {
                    Some(exists) => *exists,
                    None => self.has_filter(&filter).await,
                };
                if !exists {
                    item.notes.push(format!(
                        "the filter {} is not there: it comes from JINJA2_FILTERS or a plugin of NetBox; every \
                         delivery that comes to it will fail",
                        shortened(&filter, 80)
                    ));
                }
                known.insert(filter, exists);
            }
            if let Some(note) = self.receiver_note(&spec.payload_url).await {
                item.notes.push(note);
            }
        }
        (broken, env)
    }

    /// Says so if the body is JSON only as long as values are harmless.
    pub(super) async fn json_warning(&self, spec: &WebhookSpec) -> Option<String> {
        json_body::warning(&self.sandbox, &self.transformer, spec, Arc::default()).await
    }

    /// Whether the transformer has a filter of this name: it is tried, as only it knows.
    async fn has_filter(&self, name: &str) -> bool {
        let probe = WebhookSpec {
            payload_url: format!("{{{{ ''|{name} }}}}"),
            body_template: "-".to_owned(),
            ..WebhookSpec::default()
        };
        let job = RenderJob {
            event: "{}".into(),
            webhook: guest_view(&probe),
            secrets: Arc::<SecretHandles>::default(),
            owner: Arc::default(),
        };
        let rendering = self.sandbox.render(&self.transformer, job).await;
        !matches!(rendering.output, Output::Error(error) if error.kind == ErrorKind::TemplateSyntax)
    }

    /// Says so if the receiver is not public, as far as the template itself names it.
    async fn receiver_note(&self, payload_url: &str) -> Option<String> {
        let (scheme, rest) = payload_url.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if scheme.contains('{') || authority.contains('{') {
            return None;
        }
        let url = Url::parse(&format!("{}://{authority}/", scheme.trim())).ok()?;
        let host = url
            .host_str()?
            .trim_start_matches('[')
            .trim_end_matches(']');
        match self.guard.resolve(host).await {
            Err(GuardError::Blocked { host, reason, .. }) => Some(format!(
                "its receiver {} is not public ({}): deliveries go there only if `hookbox serve` allows it, with \
                 --allow-network or guard.allow_hosts",
                shortened(&host, 100),
                one_line(&reason)
            )),
            _ => None,
        }
    }
}

impl Bench {
    /// The name of an item in the output.
    pub(super) fn name_of(all: &Translated, place: usize) -> String {
        all.items
            .get(place)
            .map_or_else(String::new, |item| title(item.kind, &item.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_for_a_secret_holds_no_outside_text() {
        let server = Url::parse("http://127.0.0.1:8844").unwrap();
        let command = secret_command(&server, "API_KEY");
        assert!(
            command.ends_with("'http://127.0.0.1:8844/v1/secrets/API_KEY'"),
            "{command}"
        );
        assert!(secret_command(&server, "x'; rm -rf /").starts_with('#'));
    }
}
