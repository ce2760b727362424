//! Admission: the checks that a plugin must pass before it is stored.

use super::{
    Timestamp, Transformers,
    smoke_test::{SmokeTest, sample_event},
};
use crate::{
    model::{PluginVersion, TenantId},
    sandbox::SandboxError,
};

/// A plugin that has passed.
#[derive(Debug)]
pub(super) struct Admitted {
    /// The record to be stored.
    pub(super) version: PluginVersion,
    /// The component: the upload itself, or what was made of the uploaded core module.
    pub(super) component: Vec<u8>,
}

/// Why a plugin is not admitted.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// The plugin is at fault. The text is for its author: what is wrong, where, and what to do.
    #[error("{0}")]
    Refused(String),
    /// The machine is at fault. The text is for the operator.
    #[error("{0}")]
    Failed(String),
}

impl From<SandboxError> for AdmitError {
    fn from(error: SandboxError) -> Self {
        if error.is_refusal() {
            Self::Refused(error.to_string())
        } else {
            Self::Failed(error.to_string())
        }
    }
}

/// Uploads that are checked at once: a survey and a compiler's process take a core each.
pub(super) const AT_ONCE: usize = 1;

impl Transformers {
    /// Surveys a plugin, compiles it in the compiler's process, and renders a sample event with it.
    ///
    /// One at a time; others wait in order. From milliseconds up to ten times `sandbox.compile_seconds`.
    /// Memory: about three times the bytes. Nothing is stored except the compiled code of a plugin that has passed,
    /// in the tenant's share of the cache on disk.
    ///
    /// # Errors
    /// Why it is not admitted.
    pub(super) async fn admit(
        &self,
        tenant: &TenantId,
        name: &str,
        wasm: Vec<u8>,
    ) -> Result<Admitted, AdmitError> {
        let failed = |e: &dyn std::fmt::Display| AdmitError::Failed(e.to_string());
        let _permit = self.admitting.acquire().await.map_err(|e| failed(&e))?;
        let (sandbox, limits) = (self.sandbox.clone(), self.config.plugins.clone());
        let owned = name.to_owned();
        let admit = move || sandbox.admit(&owned, &wasm, &limits);
        let admitted = tokio::task::spawn_blocking(admit)
            .await
            .map_err(|e| failed(&e))??;
        let event = sample_event(&self.config).map_err(|e| failed(&e))?;
        let test = {
            let _permit = self.check_permit(tenant).await.map_err(|e| failed(&e))?;
            SmokeTest::run(&self.sandbox, &admitted.transformer, &event, &self.config).await
        };
        if let Some(error) = test.refusal() {
            return Err(AdmitError::Refused(format!(
                "its smoke test, the render of a sample event, failed ({}): {error}; try it with `hookbox plugin check`",
                error.kind
            )));
        }
        let (sandbox, owner) = (self.sandbox.clone(), tenant.clone());
        let transformer = admitted.transformer.clone();
        let keep = move || sandbox.keep(owner.as_str(), &transformer);
        tokio::task::spawn_blocking(keep)
            .await
            .map_err(|e| failed(&e))?;
        Ok(Admitted {
            version: PluginVersion {
                sha256: admitted.transformer.sha256().to_owned(),
                uploaded: Timestamp::now(),
                component_bytes: admitted.component.len() as u64,
                compiled_bytes: admitted.compiled_bytes as u64,
                imports: admitted.survey.imports,
                trial_fuel: test.cost.fuel,
                trial_peak_memory_bytes: test.cost.peak_memory_bytes,
            },
            component: admitted.component,
        })
    }
}
