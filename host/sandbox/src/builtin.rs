//! The built-in transformer, so that the program needs no other file.

/// `plugins/jinja` as a component: what runs a webhook's templates unless it names a plugin.
///
/// Built by `tests/rebuild-plugins`; `plugins/dist` also holds its checksum and the compiler that made it.
pub const JINJA: &[u8] = include_bytes!("../../../plugins/dist/jinja.wasm");

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_built_in_transformer_is_the_one_whose_checksum_is_kept() {
        let sums = include_str!("../../../plugins/dist/SHA256SUMS");
        let digest = hex::encode(Sha256::digest(JINJA));
        assert!(
            sums.lines()
                .any(|line| line.split_whitespace().eq([digest.as_str(), "jinja.wasm"])),
            "jinja.wasm has {digest}, which plugins/dist/SHA256SUMS does not list for it"
        );
    }
}
