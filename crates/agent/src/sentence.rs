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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the door")]
    struct Door(#[source] std::io::Error);

    #[test]
    fn causes_follow_in_order() {
        let door = Door(std::io::Error::other("no key"));
        assert_eq!(sentence(&door), "cannot open the door: no key");
    }
}
