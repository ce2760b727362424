//! Stage 6: where a request may go.
// Placeholder until the real stage is merged.
#![expect(
    missing_docs,
    unused_variables,
    clippy::unimplemented,
    clippy::unused_async,
    reason = "placeholder"
)]
use crate::{config::GuardConfig, request::OutboundRequest};
#[derive(Debug, Clone)]
pub struct Guard;
#[derive(Debug)]
pub struct GuardedRequest;
#[derive(Debug, thiserror::Error)]
#[error("no")]
pub struct GuardError;
impl GuardError {
    pub fn kind(&self) -> &'static str {
        unimplemented!()
    }
    pub fn retryable(&self) -> bool {
        unimplemented!()
    }
}
impl Guard {
    pub fn new(config: &GuardConfig) -> Self {
        unimplemented!()
    }
    pub async fn check(&self, request: OutboundRequest) -> Result<GuardedRequest, GuardError> {
        unimplemented!()
    }
    pub async fn check_url(&self, url: &url::Url) -> Result<Vec<std::net::SocketAddr>, GuardError> {
        unimplemented!()
    }
}
