//! Stage 7: the request goes out and the response comes back, within bounds.
// Placeholder until the real stage is merged.
#![expect(
    missing_docs,
    unused_variables,
    clippy::unimplemented,
    clippy::unused_async,
    reason = "placeholder"
)]
use crate::{
    config::DeliveryConfig,
    guard::{Guard, GuardedRequest},
    record::ResponseRecord,
};
use std::time::Duration;
#[derive(Debug)]
pub struct Client;
#[derive(Debug, thiserror::Error)]
#[error("no")]
pub struct ClientError;
#[derive(Debug, thiserror::Error)]
#[error("no")]
pub struct SendError;
impl SendError {
    pub fn kind(&self) -> &'static str {
        unimplemented!()
    }
    pub fn retryable(&self) -> bool {
        unimplemented!()
    }
}
#[derive(Debug)]
pub struct SendOptions {
    pub timeout: Duration,
    pub ssl_verification: bool,
    pub ca_file_path: Option<String>,
}
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub retry_after: Option<Duration>,
    pub response_us: u64,
    pub body_us: u64,
}
impl Response {
    pub fn record(&self) -> ResponseRecord {
        unimplemented!()
    }
    pub fn is_success(&self) -> bool {
        unimplemented!()
    }
}
impl Client {
    pub fn new(config: &DeliveryConfig, guard: Guard) -> Result<Self, ClientError> {
        unimplemented!()
    }
    pub async fn send(
        &self,
        request: GuardedRequest,
        options: &SendOptions,
    ) -> Result<Response, SendError> {
        unimplemented!()
    }
}
pub fn status_is_retryable(status: u16) -> bool {
    unimplemented!()
}
