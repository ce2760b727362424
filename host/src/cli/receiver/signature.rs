//! Whether a received request carries the signatures of a secret.

use std::fmt;

use serde::Serialize;
use subtle::ConstantTimeEq;

use super::http1::Request;
use crate::{
    model::{Secret, Timestamp},
    request::sign,
};

/// How far `webhook-timestamp` may be off, as Standard Webhooks recommends.
const TOLERANCE_SECONDS: u64 = 300;

/// The results of checking the two signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    /// NetBox's: HMAC-SHA512 of the body.
    #[serde(rename = "X-Hook-Signature")]
    pub(crate) hook: Check,
    /// Standard Webhooks 1.0: HMAC-SHA256 of id, timestamp and body.
    #[serde(rename = "webhook-signature")]
    pub(crate) standard: Check,
}

/// The result of checking one signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Check {
    /// It was made with the secret over what came.
    Valid,
    /// It was not.
    Invalid,
    /// It was, but longer ago (or later) than the tolerance allows: perhaps a replay.
    Stale,
    /// There is none.
    Missing,
}

/// Checks both signatures of a request. `now` is for the age of the timestamp.
pub(crate) fn verify(request: &Request, secret: &Secret, now: Timestamp) -> Verdict {
    Verdict {
        hook: hook(request, secret),
        standard: standard(request, secret, now),
    }
}

impl Verdict {
    /// Whether both signatures are there and valid.
    pub(crate) fn is_complete(&self) -> bool {
        self.hook == Check::Valid && self.standard == Check::Valid
    }
}

fn hook(request: &Request, secret: &Secret) -> Check {
    let Some(claimed) = request.header("x-hook-signature") else {
        return Check::Missing;
    };
    let made = sign::hook_signature(secret.expose(), &request.body);
    // NetBox sends lower case, but hexadecimal digits mean the same in both.
    if equal(&claimed.trim().to_ascii_lowercase(), &made) {
        Check::Valid
    } else {
        Check::Invalid
    }
}

fn standard(request: &Request, secret: &Secret, now: Timestamp) -> Check {
    let Some(claimed) = request.header("webhook-signature") else {
        return Check::Missing;
    };
    let id = request.header("webhook-id").unwrap_or_default();
    let timestamp = request.header("webhook-timestamp").unwrap_or_default();
    let made = sign::standard_signature(secret.expose(), id, timestamp, &request.body);
    let valid = claimed.split(' ').any(|one| equal(one, &made));
    if !valid {
        return Check::Invalid;
    }
    match timestamp.parse::<i64>() {
        Ok(seconds) if now.as_secs().abs_diff(seconds) <= TOLERANCE_SECONDS => Check::Valid,
        _ => Check::Stale,
    }
}

fn equal(claimed: &str, made: &str) -> bool {
    claimed.as_bytes().ct_eq(made.as_bytes()).into()
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let both = [
            ("X-Hook-Signature", self.hook),
            ("webhook-signature", self.standard),
        ];
        let of = |check: Check| -> Vec<&str> {
            both.iter()
                .filter(|(_, c)| *c == check)
                .map(|(name, _)| *name)
                .collect()
        };
        let (valid, invalid, stale) = (of(Check::Valid), of(Check::Invalid), of(Check::Stale));
        if !invalid.is_empty() {
            write!(
                f,
                "INVALID ({}: not made with this secret over this body)",
                invalid.join(", ")
            )
        } else if !stale.is_empty() {
            write!(
                f,
                "INVALID ({}: the secret is right, but webhook-timestamp is more than {TOLERANCE_SECONDS} \
                 seconds away from now)",
                stale.join(", ")
            )
        } else if valid.is_empty() {
            f.write_str("missing (neither X-Hook-Signature nor webhook-signature was sent)")
        } else {
            write!(f, "valid ({})", valid.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)], body: &str) -> Request {
        Request {
            headers: headers
                .iter()
                .map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec()))
                .collect(),
            body: body.as_bytes().to_vec(),
            ..Request::default()
        }
    }

    /// The example that the Standard Webhooks libraries share.
    #[test]
    fn the_published_example_of_standard_webhooks_is_valid() {
        let request = request(
            &[
                ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
                ("webhook-timestamp", "1614265330"),
                (
                    "webhook-signature",
                    "v1a,other v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
                ),
            ],
            r#"{"test": 2432232314}"#,
        );
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let check = |now| verify(&request, &secret, Timestamp::from_millis(now)).standard;
        assert_eq!(check(1_614_265_330_000), Check::Valid);
        assert_eq!(check(1_614_265_931_000), Check::Stale);
        let other = verify(&request, &Secret::new("x"), Timestamp::now());
        assert_eq!(other.standard, Check::Invalid);
        assert_eq!(other.hook, Check::Missing);
    }

    /// RFC 4231, test case 2.
    #[test]
    fn the_hook_signature_is_hmac_sha512_of_the_body_in_hex() {
        let signature = "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737";
        let request = request(
            &[("X-Hook-Signature", signature)],
            "what do ya want for nothing?",
        );
        let verdict = verify(&request, &Secret::new("Jefe"), Timestamp::now());
        assert_eq!(verdict.to_string(), "valid (X-Hook-Signature)");
        let verdict = verify(&request, &Secret::new("Jeff"), Timestamp::now());
        assert!(verdict.to_string().starts_with("INVALID (X-Hook-Signature"));
    }
}
