//! The second step: the guard vets a request, the client sends it, and the receiver answers.

use std::time::{Duration, Instant};

use super::Pipeline;
use crate::{
    deliver::{Response, SendError, SendOptions},
    guard::{GuardError, Remedy},
    model::{TenantId, WebhookId, WebhookSpec},
    record::{AttemptError, FailureKind, RequestRecord, ResponseRecord},
    request::{OutboundRequest, Redactor},
};

/// The webhook on whose behalf a request is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) webhook: &'a WebhookId,
    pub(crate) spec: &'a WebhookSpec,
    /// The revision of the tenant's configuration: a refusal is logged again when it changes.
    pub(crate) revision: u64,
}

/// A request and what became of it.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(super) request: RequestRecord,
    pub(super) response: Option<ResponseRecord>,
    /// Whether the receiver accepted it.
    pub(super) result: Result<(), AttemptError>,
    /// Time that the receiver asks to wait, if the attempt may be repeated.
    pub(crate) retry_after: Option<Duration>,
    pub(super) warnings: Vec<String>,
    pub(super) guard_us: u64,
    pub(super) response_us: u64,
    pub(super) body_us: u64,
}

impl Pipeline {
    /// Vets a request and sends it. The name look-up counts towards the webhook's timeout.
    pub(crate) async fn exchange(&self, outbound: OutboundRequest, target: Target<'_>) -> Exchange {
        let request = outbound.record_up_to(RequestRecord::MAX_BODY);
        let redactor = outbound.redactor();
        let warnings = outbound.warnings().to_vec();

        let started = Instant::now();
        let guarded = self.guard.of(target.tenant).check(outbound).await;
        let guard_us = micros(started.elapsed());
        let timeout = self.config.timeout_of(target.spec);
        let options = SendOptions {
            timeout: timeout.saturating_sub(started.elapsed()),
            ssl_verification: target.spec.ssl_verification,
            ca_file_path: target.spec.ca_file_path.as_deref(),
        };
        let started = Instant::now();
        let answer = match guarded {
            Ok(guarded) => self.client.send(guarded, &options).await,
            Err(refused) => Err(SendError::Guard(refused)),
        };
        let mut exchange = Exchange {
            request,
            response: None,
            result: Ok(()),
            retry_after: None,
            warnings,
            guard_us,
            response_us: micros(started.elapsed()),
            body_us: 0,
        };
        match answer {
            Ok(response) => self.take_response(&mut exchange, &response, &redactor, target.spec),
            Err(failed) => {
                if let SendError::Guard(refused) = &failed {
                    self.note_refusal(target, refused, &redactor);
                }
                let message = redactor.error(failed.kind(), &failed.to_string());
                let error = AttemptError::new(failed.kind(), message, failed.retryable());
                exchange.result = Err(error);
            }
        }
        exchange
    }

    fn take_response(
        &self,
        exchange: &mut Exchange,
        response: &Response,
        redactor: &Redactor,
        spec: &WebhookSpec,
    ) {
        exchange.response_us = response.response_us;
        exchange.body_us = response.body_us;
        exchange.response = Some(response.record(redactor));
        exchange.warnings.extend_from_slice(&response.notes);
        if response.is_http2() {
            // The record shows the bytes that were sent: HTTP/2 has names in lower case only.
            for (name, _) in &mut exchange.request.headers {
                name.make_ascii_lowercase();
            }
        }
        if response.is_success() {
            return;
        }
        let retryable = self
            .config
            .retry_of(spec)
            .tries_again_after(response.status);
        // A receiver that has refused this request for good has no say in when others come.
        if retryable {
            let most = Duration::from_secs(self.config.retry.max_retry_after_seconds);
            let wait = response.retry_after.map(|wait| wait.min(most));
            exchange.retry_after = wait.filter(|wait| !wait.is_zero());
        }
        let (kind, message) = (FailureKind::STATUS.as_str(), describe(response.status));
        exchange.result = Err(AttemptError::new(kind, message, retryable));
    }

    /// Tells the operator: usually a network was allowed once and forgotten at a restart.
    fn note_refusal(&self, target: Target<'_>, error: &GuardError, redactor: &Redactor) {
        let mut error = error.clone();
        if let GuardError::Blocked { reason, remedy, .. } = &mut error
            && redactor.hides_destination()
        {
            *remedy = Remedy::Secret;
            "the reason is hidden, as the URL's host or port holds a secret".clone_into(reason);
        }
        self.refusals
            .log(target.tenant, target.webhook, target.revision, &error);
    }
}

/// A status that is no success, in words.
fn describe(status: u16) -> String {
    let more = match status {
        100..=199 => ", which is not a final answer",
        300 => " (Multiple Choices) instead of taking the request",
        301 | 302 | 303 | 307 | 308 => "; redirects are not followed",
        304 => " (Not Modified), although the request was not conditional",
        _ => "",
    };
    format!("the receiver answered {status}{more}")
}

pub(super) fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_redirects_are_called_so() {
        let redirects: Vec<u16> = (100..1000)
            .filter(|status| describe(*status).contains("redirect"))
            .collect();
        assert_eq!(redirects, [301, 302, 303, 307, 308]);
        assert!(describe(304).contains("304 (Not Modified)"));
        assert_eq!(describe(404), "the receiver answered 404");
    }
}
