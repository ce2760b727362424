//! Finding the next byte that matters.

/// How many bytes come before the first that `stop` picks, or how many there are.
///
/// Looks at 16 bytes at once, in a form that the compiler turns into a few vector instructions: nearly
/// all of what a render does to an event is to look for the next quote.
#[inline]
pub(crate) fn run(bytes: &[u8], stop: impl Fn(u8) -> bool) -> usize {
    let (chunks, rest) = bytes.as_chunks::<16>();
    let mut at = 0;
    for chunk in chunks {
        let mut mask = 0_u16;
        for (bit, &byte) in chunk.iter().enumerate() {
            mask |= u16::from(stop(byte)) << bit;
        }
        if mask != 0 {
            return at + mask.trailing_zeros() as usize;
        }
        at += 16;
    }
    at + rest.iter().position(|&b| stop(b)).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::run;

    #[test]
    fn finds_the_first_wherever_it_stands() {
        for length in 0..50 {
            let mut bytes = vec![b'a'; length];
            assert_eq!(run(&bytes, |b| b == b'"'), length);
            for at in (0..length).rev() {
                bytes[at] = b'"';
                assert_eq!(run(&bytes, |b| b == b'"'), at);
            }
        }
    }
}
