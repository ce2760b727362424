//! Dry runs in a server: bounded in number, by key and by tenant.

use super::Engine;
use crate::{
    backend::BackendError,
    ingest::Event,
    model::{WebhookId, WebhookSpec},
    pipeline::{RenderReport, RenderSetup},
    tenant::{
        RenderFor,
        limiter::{Caller, LimiterError, Limits},
    },
};

/// Dry runs that may be in flight at once, name look-ups included, as these share the look-ups with deliveries. Further
/// ones are refused at once, so that nothing large waits in memory.
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
        "the limit of dry runs under way is reached: {DRY_RUNS_OF_A_KEY} of this key, or {} of its tenant; try again",
        DRY_RUNS.tenant
    )]
    Crowded,
    /// The backend.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl Engine {
    /// Renders a webhook for an event; nothing is sent or stored. `id` is that of the stored webhook, if it is one. The
    /// render runs in the tenant's share of the render threads, as its deliveries do.
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
        let snapshot = self.snapshots.snapshot(tenant).await?;
        let plugin = webhook.plugin.as_deref();
        let transformer = match self.transformers.get(&snapshot, plugin).await? {
            Ok(transformer) => transformer,
            Err(error) => return Ok(RenderReport::failed(error.into_render_error())),
        };
        let setup = RenderSetup {
            config: &self.config,
            guard: &self.pipeline.guard.of(tenant),
            secrets: snapshot.secrets(id, RenderFor::DryRun),
        };
        let rendering = {
            let _permit = self.dry_renders.acquire(caller, 1, self.patience()).await?;
            let job = setup.job(webhook, event);
            self.transformers.sandbox().render(&transformer, job).await
        };
        Ok(setup.of_rendering(rendering, webhook).await)
    }
}

impl From<LimiterError> for DryRunError {
    fn from(_: LimiterError) -> Self {
        Self::Crowded
    }
}

#[cfg(test)]
mod tests {
    use std::{io, net::IpAddr, path::PathBuf, sync::Arc};

    use axum::{body::Body, http::Request};
    use serde_json::{Value, json};
    use tokio::sync::Notify;
    use tower::ServiceExt;

    use super::*;
    use crate::{
        backend::{ApiKey, KeyScope, sqlite::SqliteBackend},
        config::Config,
        guard::{Guard, Resolve},
        ingest::parse_event,
        model::{TenantId, Timestamp},
        pipeline::Outcome,
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
        inside.pipeline.guard =
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
                hash: crate::tenant::keys::key_hash(&key(scope)),
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
