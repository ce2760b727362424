//! Finding the next byte that matters, sixteen at a time: nearly all of what a render does to an event is
//! to look for the next quote.

/// A set of bytes, without `@`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Class {
    /// These bytes.
    pub(crate) any: &'static [u8],
    /// Those below the first and above the second.
    pub(crate) outside: (u8, u8),
}

impl Class {
    /// Just these bytes.
    pub(crate) const fn of(any: &'static [u8]) -> Self {
        let outside = (0, u8::MAX);
        Self { any, outside }
    }

    /// Whether the byte belongs to it.
    #[inline(always)]
    pub(crate) fn has(self, byte: u8) -> bool {
        byte < self.outside.0 || byte > self.outside.1 || self.any.contains(&byte)
    }

    /// One bit for each of the bytes, the lowest for the first: whether it belongs to the class.
    #[cfg(target_arch = "wasm32")]
    #[inline(always)]
    fn mask(self, chunk: &[u8; 16]) -> u16 {
        use core::arch::wasm32::{
            u8x16_bitmask, u8x16_eq, u8x16_gt, u8x16_lt, u8x16_splat, u64x2, v128_or,
        };
        let both = u128::from_le_bytes(*chunk);
        let bytes = u64x2(both as u64, (both >> 64) as u64);
        let mut found = u8x16_splat(0);
        if self.outside.0 > 0 {
            found = v128_or(found, u8x16_lt(bytes, u8x16_splat(self.outside.0)));
        }
        if self.outside.1 < u8::MAX {
            found = v128_or(found, u8x16_gt(bytes, u8x16_splat(self.outside.1)));
        }
        for &byte in self.any {
            found = v128_or(found, u8x16_eq(bytes, u8x16_splat(byte)));
        }
        u8x16_bitmask(found)
    }

    #[cfg(not(target_arch = "wasm32"))]
    #[inline(always)]
    fn mask(self, chunk: &[u8; 16]) -> u16 {
        let bits = chunk.iter().enumerate();
        bits.fold(0, |mask, (bit, &byte)| {
            mask | u16::from(self.has(byte)) << bit
        })
    }
}

/// How many bytes come before the first of the class, or how many there are.
#[inline(always)]
pub(crate) fn run(bytes: &[u8], class: Class) -> usize {
    let (chunks, rest) = bytes.as_chunks::<16>();
    let mut at = 0;
    for chunk in chunks {
        let mask = class.mask(chunk);
        if mask != 0 {
            return at + mask.trailing_zeros() as usize;
        }
        at += 16;
    }
    at + rest
        .iter()
        .position(|&b| class.has(b))
        .unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_wherever_it_stands() {
        let quote = Class::of(b"\"");
        let odd = Class {
            any: b"\"",
            outside: (b' ', b'~'),
        };
        for length in 0..50 {
            let mut bytes = vec![b'a'; length];
            assert_eq!(run(&bytes, quote), length);
            for at in (0..length).rev() {
                bytes[at] = b'"';
                assert_eq!((run(&bytes, quote), run(&bytes, odd)), (at, at));
                bytes[at] = 0x7f;
                assert_eq!(run(&bytes, odd), at);
                bytes[at] = b'"';
            }
        }
    }
}
