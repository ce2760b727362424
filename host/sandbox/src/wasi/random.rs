//! Random numbers that follow from the event and the webhook.

use sha2::{Digest, Sha256};

/// The most random bytes that one call gives.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// The digest of the inputs, then SHA-256 in counter mode: the same on every machine and in every version of
/// every library. Random as to its distribution, and no secret: who knows event and webhook can compute it.
pub(super) struct Random {
    seed: [u8; 32],
    blocks: u64,
}

impl Random {
    /// Cost: one pass over the inputs.
    pub(super) fn seeded(event: &str, webhook: &str) -> Self {
        let mut hash = Sha256::new();
        for input in [event, webhook] {
            hash.update((input.len() as u64).to_le_bytes());
            hash.update(input);
        }
        Self {
            seed: hash.finalize().into(),
            blocks: 0,
        }
    }

    pub(super) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count.next_multiple_of(32));
        while bytes.len() < count {
            bytes.extend_from_slice(&self.block());
        }
        bytes.truncate(count);
        bytes
    }

    pub(super) fn number(&mut self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.block();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    fn block(&mut self) -> [u8; 32] {
        let block = Sha256::new()
            .chain_update(self.seed)
            .chain_update(self.blocks.to_le_bytes());
        self.blocks = self.blocks.wrapping_add(1);
        block.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_inputs_give_the_same_numbers_and_others_give_others() {
        let numbers = |[event, webhook]: [&str; 2]| {
            let mut random = Random::seeded(event, webhook);
            (random.number(), random.bytes(100), random.number())
        };
        let first = numbers(["event", "webhook"]);
        assert_eq!(first, numbers(["event", "webhook"]));
        assert_eq!(first.1.len(), 100);
        assert_ne!(first.0, first.2, "each is drawn once");
        assert_ne!(first, numbers(["event", "Webhook"]));
        assert_ne!(
            first,
            numbers(["eventw", "ebhook"]),
            "where one ends counts"
        );
    }
}
