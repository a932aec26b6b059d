//! Tokens of lists: where the next page begins, as an opaque word.
//!
//! A token is the hexadecimal form of a check sum and a key. The check sum keeps a token from being used with another list; it is no secret, since a
//! key tells nothing that the list does not.

use super::error::EcsError;

/// The most bytes that a token may have.
pub const TOKEN_LEN_MAX: usize = 4096;

/// The token of the page of `list` that begins behind `key`.
#[must_use]
pub fn token(list: &str, key: &str) -> String {
    use std::fmt::Write;

    let mut token = format!("{:016x}", sum(list, key));
    for byte in key.bytes() {
        // Writing to a string cannot fail.
        let _ = write!(token, "{byte:02x}");
    }
    token
}

/// The key that the page behind `token` of `list` begins behind.
///
/// # Errors
/// Where the token is not one of this list.
pub fn parse(list: &str, token: &str) -> Result<String, EcsError> {
    try_parse(list, token)
        .ok_or_else(|| EcsError::invalid("Invalid token: nextToken is not from an answer to the same request."))
}

fn try_parse(list: &str, token: &str) -> Option<String> {
    if token.len() > TOKEN_LEN_MAX || !token.is_ascii() || token.len() < 16 {
        return None;
    }
    let (wanted, key) = token.split_at(16);
    let bytes: Option<Vec<u8>> = (key.as_bytes().chunks(2))
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    let key = String::from_utf8(bytes?).ok()?;
    (format!("{:016x}", sum(list, &key)) == wanted && self::token(list, &key) == token).then_some(key)
}

/// FNV-1a.
fn sum(list: &str, key: &str) -> u64 {
    (list.bytes().chain([0]).chain(key.bytes())).fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_leads_back_to_its_key(list in ".*", key in ".{0,100}") {
            prop_assert_eq!(parse(&list, &token(&list, &key)).unwrap(), key);
        }

        #[test]
        fn what_is_not_a_token_is_refused(word in ".*") {
            prop_assert!(parse("tasks", &word).is_err());
        }
    }

    #[test]
    fn a_token_of_another_list_is_refused() {
        assert!(parse("tasks", &token("services", "a")).is_err());
    }
}
