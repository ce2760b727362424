//! The render report: what a webhook would send for an event, without sending or storing anything.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Engine;
use crate::tenant::limiter::{Caller, LimiterError, Limits};
use crate::{
    backend::BackendError,
    config::Config,
    guard::Guard,
    ingest::Event,
    model::{DeliveryId, Timestamp, WebhookId, WebhookSpec},
    record::RequestRecord,
    request::{OutboundRequest, RequestContext},
    sandbox::{LogLine, Output, RenderError, RenderJob, Rendering, Sandbox, Transformer},
    tenant::{RenderFor, WebhookSecrets, snapshot::guest_view},
};

/// What a webhook would do with an event, the same from the command line and the API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RenderReport {
    /// Which of the three it is.
    pub outcome: Outcome,
    /// The request that would be sent. Secrets are redacted.
    pub request: Option<RequestRecord>,
    /// Why nothing would be sent.
    pub skip_reason: Option<String>,
    /// Why there is no request.
    pub error: Option<RenderError>,
    /// Fuel spent: deterministic.
    pub fuel: u64,
    /// The most linear memory held at once.
    pub peak_memory_bytes: u64,
    /// Time in the sandbox, in microseconds.
    pub elapsed_us: u64,
    /// What the transformer logged.
    pub logs: Vec<LogLine>,
    /// Whether the request might go where it wants to.
    pub guard: Option<GuardVerdict>,
    /// Things that work but probably are not meant so.
    pub warnings: Vec<String>,
}

/// The three ways a render can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// There is a request.
    Request,
    /// The transformer wants nothing sent.
    Skip,
    /// It failed.
    Error,
}

/// What the address guard says to a URL just now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GuardVerdict {
    /// Whether a delivery would be allowed.
    pub allowed: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// What a render needs besides the event: the same for a dry run in a server and on the command line.
#[derive(Debug)]
pub struct RenderSetup<'a> {
    /// The configuration: limits and the user agent.
    pub config: &'a Config,
    /// The address guard.
    pub guard: &'a Guard,
    /// The secrets that the webhook may place.
    pub secrets: WebhookSecrets,
}

impl RenderSetup<'_> {
    /// Runs a webhook on an event up to the point of sending. Resolves the host's name; connects to
    /// nothing.
    pub async fn report(
        &self,
        sandbox: &Sandbox,
        transformer: &Transformer,
        webhook: &WebhookSpec,
        event: &Event,
    ) -> RenderReport {
        let rendering = sandbox.render(transformer, self.job(webhook, event)).await;
        self.of_rendering(rendering, webhook).await
    }

    /// What the transformer is given.
    #[must_use]
    pub fn job(&self, webhook: &WebhookSpec, event: &Event) -> RenderJob {
        RenderJob {
            event: Arc::clone(event.context()),
            webhook: guest_view(webhook),
            secrets: self.secrets.source(),
            owner: event.tenant().as_str().into(),
        }
    }

    /// The report of what a transformer has answered, wherever it ran: from the request's validation up to the point
    /// of sending.
    pub async fn of_rendering(&self, rendering: Rendering, webhook: &WebhookSpec) -> RenderReport {
        let mut report = RenderReport {
            outcome: Outcome::Error,
            request: None,
            skip_reason: None,
            error: None,
            fuel: rendering.cost.fuel,
            peak_memory_bytes: rendering.cost.peak_memory_bytes,
            elapsed_us: rendering.cost.elapsed_us,
            logs: rendering.logs,
            guard: None,
            warnings: Vec::new(),
        };
        let rendered = match rendering.output {
            Output::Request(rendered) => rendered,
            Output::Skip(reason) => {
                report.outcome = Outcome::Skip;
                report.skip_reason = Some(reason);
                return report;
            }
            Output::Error(error) => {
                report.error = Some(error);
                return report;
            }
        };
        let context = RequestContext {
            webhook,
            delivery: &DeliveryId::from("dlv_dry_run"),
            now: Timestamp::now(),
            secrets: &self.secrets.values(),
            limits: &self.config.sandbox,
            user_agent: &self.config.delivery.user_agent,
        };
        match OutboundRequest::build(rendered, &context) {
            Ok(outbound) => {
                report.outcome = Outcome::Request;
                report.request = Some(without_signatures(outbound.record()));
                report.warnings = outbound.warnings().to_vec();
                report.guard = Some(self.verdict(outbound).await);
            }
            Err(error) => report.error = Some(error),
        }
        report
    }

    async fn verdict(&self, outbound: OutboundRequest) -> GuardVerdict {
        let reason = if outbound.destination_is_secret() {
            "not looked at: a secret stands in the URL's scheme, host or port, and dry runs do not use secrets' values"
                .to_owned()
        } else {
            match self.guard.check(outbound).await {
                Ok(_) => {
                    return GuardVerdict {
                        allowed: true,
                        reason: None,
                    };
                }
                Err(e) => e.to_string(),
            }
        };
        GuardVerdict {
            allowed: false,
            reason: Some(reason),
        }
    }
}

/// Dry runs that may be under way at once, name look-ups included: these share what there is of look-ups with
/// deliveries. What comes beyond is refused at once, so that nothing large waits in memory.
pub(super) const DRY_RUNS: Limits = Limits {
    all: 256,
    tenant: 8,
    key: DRY_RUNS_OF_A_KEY,
    tenant_places: 8,
    key_places: DRY_RUNS_OF_A_KEY as usize,
};
const DRY_RUNS_OF_A_KEY: u32 = 4;

/// Why a webhook was not tried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DryRunError {
    /// The key or its tenant has as many dry runs under way as it may.
    #[error(
        "{DRY_RUNS_OF_A_KEY} dry runs of this key, or {} of its tenant, are under way, and no more may be at once; \
         try again",
        DRY_RUNS.tenant
    )]
    Crowded,
    /// The backend.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// A key that may look at renders chooses their bytes; with a valid signature they would be as good as sent.
fn without_signatures(mut record: RequestRecord) -> RequestRecord {
    for (name, value) in &mut record.headers {
        if ["webhook-signature", "x-hook-signature"].contains(&name.to_ascii_lowercase().as_str()) {
            "[signature]".clone_into(value);
        }
    }
    record
}

impl Engine {
    /// What a webhook would send for an event; nothing is sent or stored. `id` is that of the stored
    /// webhook, if it is one. Its time on the render threads is the tenant's, as that of its deliveries.
    ///
    /// # Errors
    /// When the backend fails, or the tenant has too many dry runs under way.
    pub(crate) async fn dry_run(
        &self,
        caller: &Caller,
        webhook: &WebhookSpec,
        id: Option<&WebhookId>,
        event: &Event,
    ) -> Result<RenderReport, DryRunError> {
        // Name servers that a stranger has chosen may take their time, so nothing is held that others wait for.
        let place = self.dry_runs.try_acquire(caller);
        let _place = place.ok_or(DryRunError::Crowded)?;
        let tenant = caller.tenant();
        let snapshot = self.directory.snapshot(tenant).await?;
        let pick = self.pick_and_wait(&snapshot, webhook.plugin.as_deref());
        let pick = match pick.await? {
            Ok(pick) => pick,
            Err(none) => return Ok(RenderReport::failed(none.tell().0)),
        };
        let setup = RenderSetup {
            config: &self.config,
            guard: &self.guard.of(tenant),
            secrets: snapshot.secrets(webhook, id, RenderFor::DryRun),
        };
        let rendering = {
            let _permit = self.dry_renders.acquire(caller, 1, self.patience()).await?;
            let job = setup.job(webhook, event);
            self.sandbox.render(&pick.transformer, job).await
        };
        Ok(setup.of_rendering(rendering, webhook).await)
    }
}

impl From<LimiterError> for DryRunError {
    fn from(_: LimiterError) -> Self {
        Self::Crowded
    }
}

impl RenderReport {
    /// The report of a render that did not get as far as the sandbox.
    #[must_use]
    pub fn failed(error: RenderError) -> Self {
        Self {
            outcome: Outcome::Error,
            request: None,
            skip_reason: None,
            error: Some(error),
            fuel: 0,
            peak_memory_bytes: 0,
            elapsed_us: 0,
            logs: Vec::new(),
            guard: None,
            warnings: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io, net::IpAddr, path::PathBuf};

    use axum::{body::Body, http::Request};
    use serde_json::{Value, json};
    use tokio::sync::Notify;
    use tower::ServiceExt;

    use super::*;
    use crate::{
        backend::{ApiKey, KeyScope, sqlite::SqliteBackend},
        guard::Resolve,
        ingest::parse_event,
        model::TenantId,
    };

    /// Name servers that never answer; notifies of each question.
    struct Silent(Arc<Notify>);

    #[async_trait::async_trait]
    impl Resolve for Silent {
        async fn resolve(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
            self.0.notify_one();
            std::future::pending().await
        }
    }

    fn webhook(url: &str) -> WebhookSpec {
        WebhookSpec {
            payload_url: url.to_owned(),
            ..WebhookSpec::default()
        }
    }

    fn event(tenant: &TenantId, config: &Config) -> Event {
        let json = br#"{"event": "created", "object_type": "dcim.site", "data": {}}"#;
        parse_event(tenant, json, &config.ingest).unwrap().event
    }

    /// An engine whose name servers never answer; it notifies of each question.
    async fn engine() -> (Arc<Engine>, Arc<Notify>, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::defaults();
        // Shared by all tests beside this program, as compiling takes long in a debug build.
        let program = std::env::current_exe().unwrap();
        let target = program.ancestors().nth(3).map(PathBuf::from);
        config.storage.data_dir = target.unwrap_or_default().join("test-cache");
        let backend = SqliteBackend::open(dir.path(), config.queue_limits()).await;
        let mut engine = Engine::open(config, backend.unwrap()).await.unwrap();
        let asked = Arc::new(Notify::new());
        let inside = Arc::get_mut(&mut engine).unwrap();
        let resolver = Arc::new(Silent(Arc::clone(&asked)));
        inside.guard =
            Guard::with_resolver(&inside.config.guard, &inside.config.delivery, resolver);
        (engine, asked, dir)
    }

    #[tokio::test]
    async fn a_large_body_holds_nothing_while_its_request_waits_for_name_servers() {
        let (engine, asked, _dir) = engine().await;
        let key = |scope: KeyScope| format!("hb_{scope:?}_key_of_the_tenant_default");
        for scope in [KeyScope::Read, KeyScope::Admin] {
            let record = ApiKey {
                id: format!("key_{scope:?}"),
                name: format!("{scope:?}"),
                tenant: TenantId::default_tenant(),
                scope,
                created: Timestamp::now(),
                hash: crate::api::key_hash(&key(scope)),
            };
            engine.backend().put_key(&record, None).await.unwrap();
        }
        let router = crate::api::router(Arc::clone(&engine));
        let post = |path: &str, scope: KeyScope, body: Value| {
            let request = Request::post(path)
                .header("authorization", format!("Bearer {}", key(scope)))
                .header("content-type", "application/json")
                // Large by its white space, so that nothing in it is.
                .body(Body::from(format!("{body}{}", " ".repeat(70_000))));
            router.clone().oneshot(request.unwrap())
        };
        let mut waiting = Vec::new();
        for n in 0..DRY_RUNS_OF_A_KEY {
            let url = format!("https://n{n}.example/");
            let webhook = json!({"payload_url": url});
            let event = json!({"event": "created", "object_type": "dcim.site", "data": {}});
            let body = json!({"webhook": webhook, "event": event});
            let mut dry_run = tokio::spawn(post("/v1/render", KeyScope::Read, body));
            tokio::select! {
                () = asked.notified() => waiting.push(dry_run),
                answer = &mut dry_run => {
                    let body = answer.unwrap().unwrap().into_body();
                    panic!("{:?}", axum::body::to_bytes(body, 2000).await);
                }
            }
        }
        let large = json!({"name": "a", "payload_url": "https://1.1.1.1/"});
        let saved = post("/v1/webhooks", KeyScope::Admin, large).await.unwrap();
        assert_eq!(saved.status(), 201);
        assert!(waiting.iter().all(|dry_run| !dry_run.is_finished()));
    }

    #[tokio::test]
    async fn dry_runs_that_wait_for_name_servers_hold_nobody_up_and_are_few() {
        let (engine, asked, _dir) = engine().await;
        let tenant = TenantId::from("slow");
        let caller = Caller::new(tenant.clone(), "read");
        let mut waiting = Vec::new();
        for n in 0..DRY_RUNS_OF_A_KEY {
            let (engine, caller) = (Arc::clone(&engine), caller.clone());
            waiting.push(tokio::spawn(async move {
                let event = event(caller.tenant(), engine.config());
                let webhook = webhook(&format!("https://n{n}.example/"));
                engine.dry_run(&caller, &webhook, None, &event).await
            }));
            asked.notified().await;
        }
        let literal = webhook("https://1.1.1.1/");
        let more = event(&tenant, engine.config());
        let more = engine.dry_run(&caller, &literal, None, &more).await;
        assert!(matches!(more, Err(DryRunError::Crowded)), "{more:?}");

        for other in [&tenant, &TenantId::from("other")] {
            engine.check_webhook(other, &literal).await.unwrap();
        }
        for other in [Caller::new(tenant, "admin"), Caller::of(&"other".into())] {
            let event = event(other.tenant(), engine.config());
            let report = engine.dry_run(&other, &literal, None, &event).await;
            assert_eq!(report.unwrap().outcome, Outcome::Request);
        }
        assert!(waiting.iter().all(|dry_run| !dry_run.is_finished()));

        for dry_run in waiting {
            dry_run.abort();
            drop(dry_run.await);
        }
        assert!(engine.dry_runs.try_acquire(&caller).is_some());
    }
}
