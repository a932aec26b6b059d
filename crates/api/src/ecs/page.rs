//! Tokens of lists: where the next page begins, as an opaque word.
//!
//! A token is the hexadecimal form of a check sum and a key. The check sum keeps a token from being used with another list; it is no secret, since a
//! key tells nothing that the list does not.

use super::error::EcsError;

/// The most items in a page.
const SIZE_MAX: usize = 100;

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

/// The most items in a page of a list, from what a request says, or as many as are `usual` there.
///
/// # Errors
/// Where that is none or too many.
pub fn size(max_results: Option<i64>, usual: usize) -> Result<usize, EcsError> {
    let Some(wanted) = max_results else { return Ok(usual) };
    let size = usize::try_from(wanted)
        .ok()
        .filter(|size| (1..=SIZE_MAX).contains(size));
    size.ok_or_else(|| EcsError::invalid(format!("maxResults has to be 1 to {SIZE_MAX}, not {wanted}")))
}

/// The key that a request's page of `list` begins behind, where it is not the first one.
///
/// # Errors
/// Where the token is not one of this list.
pub fn behind(list: &str, token: Option<&str>) -> Result<Option<String>, EcsError> {
    token.map(|token| parse(list, token)).transpose()
}

/// The first `size` of `items`, which are what is left of `list`, and the token of the next page, where there are more.
pub fn cut<T>(
    list: &str,
    items: impl IntoIterator<Item = T>,
    size: usize,
    key: impl FnOnce(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let mut items = items.into_iter();
    let shown: Vec<T> = items.by_ref().take(size).collect();
    let last = shown.last().filter(|_| items.next().is_some());
    let next_token = last.map(|last| token(list, &key(last)));
    (shown, next_token)
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
    fn pages_one_after_the_other_are_the_list() {
        let list = ["a", "b", "c", "d"];
        let mut seen: Vec<&str> = vec![];
        let mut token = None;
        for expected in [3, 1] {
            let behind = behind("letters", token.as_deref()).unwrap().unwrap_or_default();
            let left = list.iter().filter(|item| ***item > *behind);
            let (shown, next) = cut("letters", left, 3, |item| (**item).to_owned());
            assert_eq!(shown.len(), expected);
            seen.extend(shown);
            token = next;
        }
        assert_eq!((seen.as_slice(), token), (&list[..], None));
        assert_eq!(cut("letters", list, 4, |item| (*item).to_owned()).1, None);
    }

    #[test]
    fn a_page_has_1_to_100_items() {
        assert_eq!((size(None, 10).unwrap(), size(Some(7), 10).unwrap()), (10, 7));
        for wrong in [-1, 0, 101] {
            size(Some(wrong), 10).unwrap_err();
        }
    }

    #[test]
    fn a_token_of_another_list_is_refused() {
        assert!(parse("tasks", &token("services", "a")).is_err());
    }
}
