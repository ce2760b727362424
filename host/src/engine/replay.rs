//! The input of an attempt's transformer, from which the same render can be made again.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Engine;
use crate::{
    backend::BackendError,
    model::{DeliveryId, TenantId},
    record::RenderInput,
};

/// The input of an attempt's transformer. The same version of the transformer renders the same from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplayInput {
    /// The event's context, with the rule's action data merged into it: the text of a JSON object.
    pub event: String,
    /// The webhook as the transformer saw it: the text of a JSON object.
    pub webhook: String,
    /// The transformer, as `name@` and the first twelve digits of its SHA-256.
    #[schema(example = "mine@0123456789ab")]
    pub transformer: String,
    /// The names of the secrets that it asked for. Their handles are not told.
    pub secrets: Vec<String>,
}

/// Why there is none.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoInput {
    /// No such delivery, or none of its kept attempts has this number.
    #[error("the delivery has no such attempt")]
    NoSuchAttempt,
    /// The attempt did not get as far as a transformer.
    #[error("this attempt ran no transformer")]
    NotRendered,
    /// An earlier version of hookbox made it.
    #[error(
        "this attempt was made by a version of hookbox that did not store the input of transformers"
    )]
    NotKept,
    /// It was too much to be kept.
    #[error(
        "the transformer's input besides the event has {0} bytes and was not stored; at most {most} bytes are stored",
        most = RenderInput::MAX_BYTES
    )]
    LeftOut(u64),
    /// The backend.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl Engine {
    /// The input of an attempt's transformer.
    ///
    /// # Errors
    /// Why it is not to be had.
    pub async fn replay_input(
        &self,
        tenant: &TenantId,
        delivery: &DeliveryId,
        attempt: u32,
    ) -> Result<ReplayInput, NoInput> {
        let stored = self.backend.delivery(tenant, delivery).await?;
        let stored = stored.ok_or(NoInput::NoSuchAttempt)?;
        let attempt = self.backend.attempt(tenant, delivery, attempt).await?;
        let render = attempt.ok_or(NoInput::NoSuchAttempt)?.render;
        let render = render.ok_or(NoInput::NotRendered)?;
        let (webhook, action_data, secrets) = match render.input {
            None => return Err(NoInput::NotKept),
            Some(RenderInput::LeftOut(bytes)) => return Err(NoInput::LeftOut(bytes)),
            Some(RenderInput::Kept {
                webhook,
                action_data,
                secrets,
            }) => (webhook, action_data, secrets),
        };
        let event = self.backend.event(tenant, &stored.event).await?;
        let event = event.ok_or(NoInput::NoSuchAttempt)?.event;
        let action_data = match action_data {
            None => None,
            Some(text) => Some(
                serde_json::from_str::<Map<String, Value>>(&text)
                    .map_err(|e| BackendError::Corrupt(format!("an attempt's action data: {e}")))?,
            ),
        };
        Ok(ReplayInput {
            event: event.context_with(action_data.as_ref()).as_ref().to_owned(),
            webhook,
            transformer: render.transformer,
            secrets,
        })
    }
}
