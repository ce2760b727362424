//! The two signatures, over the bytes that are sent.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use hmac::{Hmac, KeyInit, Mac, digest::Output};
use sha2::{Sha256, Sha512};

/// `X-Hook-Signature` as NetBox makes it: lower-case hexadecimal HMAC-SHA512 of the body, the key being
/// the secret's UTF-8.
pub(crate) fn hook_signature(secret: &str, body: &[u8]) -> String {
    hex::encode(hmac::<Hmac<Sha512>>(secret.as_bytes(), &[body]))
}

/// `webhook-signature` as Standard Webhooks 1.0 has it: `v1,` and the base64 HMAC-SHA256 of
/// `id.timestamp.body`. The key is what follows `whsec_`, decoded from base64 with or without padding; a
/// secret of another form is the key itself, in UTF-8.
pub(crate) fn standard_signature(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let decoded = secret
        .strip_prefix("whsec_")
        .and_then(|encoded| STANDARD_NO_PAD.decode(encoded.trim_end_matches('=')).ok());
    let key = decoded.as_deref().unwrap_or(secret.as_bytes());
    let head = format!("{id}.{timestamp}.");
    let code = hmac::<Hmac<Sha256>>(key, &[head.as_bytes(), body]);
    format!("v1,{}", STANDARD.encode(code))
}

#[expect(
    clippy::expect_used,
    reason = "HMAC takes keys of every length (RFC 2104)"
)]
fn hmac<M: Mac + KeyInit>(key: &[u8], message: &[&[u8]]) -> Output<M> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("any length will do");
    for part in message {
        mac.update(part);
    }
    mac.finalize().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_webhooks_published_vector() {
        assert_eq!(
            standard_signature(
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                "1614265330",
                br#"{"test": 2432232314}"#,
            ),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn padding_of_a_key_makes_no_difference() {
        let sign = |secret| standard_signature(secret, "msg_1", "1614265330", b"{}");
        assert_eq!(sign("whsec_c2VjcmV0LWtleQ"), sign("whsec_c2VjcmV0LWtleQ=="));
        assert_ne!(sign("whsec_c2VjcmV0LWtleQ"), sign("c2VjcmV0LWtleQ"));
        assert_eq!(sign("whsec_c2VjcmV0LWtleQ"), sign("secret-key"));
    }

    #[test]
    fn hook_signature_is_hmac_sha512_in_hex_as_in_rfc_4231_case_2() {
        assert_eq!(
            hook_signature("Jefe", b"what do ya want for nothing?"),
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
             9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
        );
    }

    #[test]
    fn a_secret_that_only_looks_like_whsec_is_its_own_key() {
        let odd = standard_signature("whsec_***", "id", "1", b"");
        assert_ne!(odd, standard_signature("whsec_", "id", "1", b""));
    }
}
