//! An error and its causes as one sentence.

use std::error::Error;
use std::fmt::Write as _;

/// `error`, then each of its causes behind a colon.
#[must_use]
pub fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String does not fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// The most that is kept of what a guest or a VMM says of itself, in characters.
const TOLD_CHARS_MAX: usize = 1000;

/// What somebody says who may lie, as part of a sentence: no longer than one, and without what moves a terminal's cursor.
#[must_use]
pub fn told(text: &str) -> String {
    let mut left = text.chars().map(|one| if one.is_control() { ' ' } else { one });
    let mut kept: String = left.by_ref().take(TOLD_CHARS_MAX).collect();
    if left.next().is_some() {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_one_sentence_of_bounded_length() {
        assert_eq!(told("no such file: /bin/sh"), "no such file: /bin/sh");
        assert_eq!(told("a\n\u{1b}[2Jb\u{9b}c"), "a  [2Jb c");
        let long = "ä".repeat(TOLD_CHARS_MAX);
        assert_eq!(told(&long), long);
        assert_eq!(told(&format!("{long}b")), format!("{long}…"));
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the door")]
    struct Door(#[source] std::io::Error);

    #[test]
    fn causes_follow_in_order() {
        let door = Door(std::io::Error::other("no key"));
        assert_eq!(sentence(&door), "cannot open the door: no key");
    }
}
