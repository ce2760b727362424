//! The check of a webhook before it is saved.

use super::{Engine, NOT_YOUR_TURN};
use crate::{
    backend::BackendError,
    model::{FieldError, FieldErrors, TenantId, WebhookSpec},
    pipeline::json_body,
    tenant::snapshot::guest_view,
    transformers::BUILT_IN,
};

/// Why a webhook is not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// It is not right.
    #[error(transparent)]
    Invalid(#[from] FieldErrors),
    /// Its plugin cannot be had just now.
    #[error("{0}")]
    Busy(String),
    /// The backend.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl Engine {
    /// Checks a webhook's templates, or its settings, as its transformer sees them, in the sandbox. Waits for
    /// a plugin that has to be loaded first. Answers with warnings about a webhook that is accepted.
    ///
    /// # Errors
    /// [`CheckError::Invalid`] says the field, the line and what is wrong.
    pub async fn check_webhook(
        &self,
        tenant: &TenantId,
        spec: &WebhookSpec,
    ) -> Result<Vec<String>, CheckError> {
        let snapshot = self.snapshots.snapshot(tenant).await?;
        let plugin = spec.plugin.as_deref();
        let transformer = match self.transformers.get(&snapshot, plugin).await? {
            Ok(transformer) => transformer,
            Err(error) if error.is_passing() => return Err(CheckError::Busy(error.to_string())),
            Err(error) => {
                let message = error.into_render_error().message;
                return Err(FieldErrors::one("plugin", message).into());
            }
        };
        let permit = self.transformers.check_permit(tenant).await;
        let _permit = permit.map_err(|_| CheckError::Busy(NOT_YOUR_TURN.to_owned()))?;
        let sandbox = self.transformers.sandbox();
        match sandbox.check(&transformer, guest_view(spec)).await {
            Ok(()) if is_built_in(spec) => {
                let owner = tenant.as_str().into();
                let warning =
                    json_body::warning(sandbox, self.transformers.built_in(), spec, owner).await;
                Ok(warning.into_iter().collect())
            }
            Ok(()) => Ok(Vec::new()),
            Err(error) => Err(FieldErrors(vec![FieldError {
                field: error.field.unwrap_or_else(|| {
                    let field = if spec.plugin.is_some() {
                        "settings"
                    } else {
                        "body_template"
                    };
                    field.to_owned()
                }),
                line: error.line,
                message: error.message,
            }])
            .into()),
        }
    }
}

/// Whether the built-in transformer renders the webhook.
fn is_built_in(spec: &WebhookSpec) -> bool {
    spec.plugin.as_deref().is_none_or(|name| name == BUILT_IN)
}
