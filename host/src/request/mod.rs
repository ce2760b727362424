//! Stage 5: a rendered request becomes a valid one, with its secrets put in and its signatures made.
// Placeholder until the real stage is merged.
#![expect(
    missing_docs,
    unused_variables,
    clippy::unimplemented,
    clippy::needless_pass_by_value,
    reason = "placeholder"
)]
use crate::{
    config::SandboxConfig,
    model::*,
    record::RequestRecord,
    sandbox::{RenderError, Rendered},
};
#[derive(Debug)]
pub struct RequestContext<'a> {
    pub webhook: &'a WebhookSpec,
    pub delivery: &'a DeliveryId,
    pub now: Timestamp,
    pub secrets: &'a SecretValues,
    pub limits: &'a SandboxConfig,
    pub user_agent: &'a str,
}
#[derive(Debug, Default)]
pub struct SecretValues;
impl SecretValues {
    pub fn new(values: impl IntoIterator<Item = (String, String, Secret)>) -> Self {
        Self
    }
}
#[derive(Debug)]
pub struct OutboundRequest;
impl OutboundRequest {
    pub fn build(rendered: Rendered, ctx: &RequestContext<'_>) -> Result<Self, RenderError> {
        unimplemented!()
    }
    pub fn record(&self) -> RequestRecord {
        unimplemented!()
    }
    pub fn warnings(&self) -> &[String] {
        unimplemented!()
    }
    pub fn url(&self) -> &url::Url {
        unimplemented!()
    }
}
