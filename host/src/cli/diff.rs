//! The difference of two requests, line by line.

use std::{
    hash::Hash,
    io::{self, Write},
    time::{Duration, Instant},
};

use similar::{Algorithm, ChangeTag, capture_diff_slices_deadline};

use super::terminal::Paint;

/// Time for finding the shortest difference. Strangers can write bodies for which it takes long; the difference that is
/// shown then is correct, and longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Writes all lines: those of both once, and those of one side marked with `-` (`old`) or `+` (`new`). `shown` must give
/// text that is safe to print.
pub(super) fn write_diff<T: Eq + Hash>(
    out: &mut impl Write,
    (old, new): (&[T], &[T]),
    shown: impl Fn(&T) -> &str,
    paint: Paint,
) -> io::Result<()> {
    let (old, new): (Vec<&T>, Vec<&T>) = (old.iter().collect(), new.iter().collect());
    let deadline = Some(Instant::now() + PATIENCE);
    for change in capture_diff_slices_deadline(Algorithm::Myers, &old, &new, deadline)
        .iter()
        .flat_map(|step| step.iter_changes(old.as_slice(), new.as_slice()))
    {
        let line = |mark| format!("{mark} {}", shown(change.value()));
        match change.tag() {
            ChangeTag::Equal => writeln!(out, "{}", line(' '))?,
            ChangeTag::Delete => writeln!(out, "{}", paint.red(&line('-')))?,
            ChangeTag::Insert => writeln!(out, "{}", paint.green(&line('+')))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_side_are_marked_and_those_of_both_are_shown_once() {
        for (old, new, expected) in [
            ("abc", "axyc", "  a\n- b\n+ x\n+ y\n  c\n"),
            ("aa", "a", "  a\n- a\n"),
            ("a", "a", "  a\n"),
            ("", "a", "+ a\n"),
            // what both have in the middle
            ("abcde", "xbcdy", "- a\n+ x\n  b\n  c\n  d\n- e\n+ y\n"),
        ] {
            let lines = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
            let (old, new) = (lines(old), lines(new));
            let mut out = Vec::new();
            write_diff(&mut out, (&old, &new), String::as_str, Paint::off()).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
