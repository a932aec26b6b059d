//! Ids and names of tasks: making them up, checking them, finding a task by one.

use api::error::{ApiError, ErrorCode};

/// Characters of an id: 128 bits in hexadecimal.
pub const ID_LEN: usize = 32;

/// Characters of an id that people are shown.
pub const SHORT_ID_LEN: usize = 12;

/// The longest name of a task.
const NAME_LEN_MAX: usize = 128;

/// The longest name of a network: a label of DNS (RFC 1035, 2.3.4).
const NETWORK_NAME_LEN_MAX: usize = 63;

const ADJECTIVES: [&str; 32] = [
    "amber", "bold", "brisk", "calm", "clear", "cosy", "deft", "eager", "early", "fair", "fleet", "fresh", "gentle",
    "glad", "golden", "honest", "keen", "kind", "light", "lively", "lucky", "mellow", "neat", "nimble", "proud",
    "quick", "quiet", "ready", "steady", "sunny", "warm", "wise",
];

const NOUNS: [&str; 32] = [
    "alder", "aspen", "badger", "beech", "birch", "bittern", "cedar", "crane", "curlew", "elm", "falcon", "finch",
    "hare", "hazel", "heron", "ibis", "juniper", "kestrel", "lark", "linnet", "lynx", "maple", "marten", "otter",
    "plover", "rowan", "siskin", "stoat", "swift", "teal", "willow", "wren",
];

/// An id from random bytes.
#[must_use]
pub fn id(random: [u8; ID_LEN / 2]) -> String {
    random
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

/// A UUID of sixteen random bytes (RFC 9562, version 4).
#[must_use]
pub fn uuid(random: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in random.iter().enumerate() {
        if [4, 6, 8, 10].contains(&index) {
            text.push('-');
        }
        let byte = match index {
            6 => byte & 0x0f | 0x40,
            8 => byte & 0x3f | 0x80,
            _ => *byte,
        };
        text.extend(
            [byte >> 4, byte & 15]
                .into_iter()
                .filter_map(|digit| char::from_digit(u32::from(digit), 16)),
        );
    }
    text
}

/// The part of an id that people are shown.
#[must_use]
pub fn short(id: &str) -> &str {
    id.get(..SHORT_ID_LEN).unwrap_or(id)
}

/// A name for the task `id` that `is_taken` does not know: two words, and where that is taken, the short id behind them.
#[must_use]
pub fn make_up(random: [u8; 2], id: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let word = |words: &[&'static str; 32], byte: u8| words[usize::from(byte) % words.len()];
    let name = format!("{}-{}", word(&ADJECTIVES, random[0]), word(&NOUNS, random[1]));
    if is_taken(&name) {
        format!("{name}-{}", short(id))
    } else {
        name
    }
}

/// Checks a name that a user chose.
///
/// # Errors
/// [`ErrorCode::InvalidParameter`] where it is not `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, too long, or could be taken for an id.
pub fn check(name: &str) -> Result<(), ApiError> {
    let refuse = |why: String| {
        Err(ApiError {
            code: ErrorCode::InvalidParameter,
            message: why,
        })
    };
    if !has_usual_characters(name) {
        return refuse(format!(
            "{name:?} is no name for a task: it must be letters, digits, '_', '.' and '-', a letter or digit first"
        ));
    }
    if name.len() > NAME_LEN_MAX {
        return refuse(format!(
            "the task's name has {} characters: at most {NAME_LEN_MAX} are allowed",
            name.len()
        ));
    }
    if name.len() == ID_LEN && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return refuse(format!("{name} looks like a task's id, so it cannot be a name"));
    }
    Ok(())
}

/// Checks a name that a user chose for a network.
///
/// # Errors
/// [`ErrorCode::InvalidParameter`] where it is not `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, or too long.
pub fn check_network(name: &str) -> Result<(), ApiError> {
    let message = if !has_usual_characters(name) {
        format!(
            "{name:?} is no name for a network: it must be letters, digits, '_', '.' and '-', a letter or digit first"
        )
    } else if name.len() > NETWORK_NAME_LEN_MAX {
        let len = name.len();
        format!("the network's name has {len} characters: at most {NETWORK_NAME_LEN_MAX} are allowed")
    } else {
        return Ok(());
    };
    Err(ApiError {
        code: ErrorCode::InvalidParameter,
        message,
    })
}

fn has_usual_characters(name: &str) -> bool {
    let mut characters = name.chars();
    let first_fits = characters.next().is_some_and(|first| first.is_ascii_alphanumeric());
    first_fits && characters.all(|other| other.is_ascii_alphanumeric() || "_.-".contains(other))
}

/// Finds the id of the one task that `query` means among `(id, name)`: a whole id, a name, or a prefix of one id only.
///
/// # Errors
/// [`ErrorCode::TaskNotFound`] where there is none, [`ErrorCode::InvalidParameter`] where there are several.
pub fn find<'a>(query: &str, tasks: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Result<&'a str, ApiError> {
    let exact = tasks
        .clone()
        .find(|(id, _)| *id == query)
        .or_else(|| tasks.clone().find(|(_, name)| *name == query));
    if let Some((id, _)) = exact {
        return Ok(id);
    }
    let mut matches = tasks.filter(|(id, _)| !query.is_empty() && id.starts_with(query));
    match (matches.next(), matches.next()) {
        (Some((id, _)), None) => Ok(id),
        (None, _) => Err(ApiError {
            code: ErrorCode::TaskNotFound,
            message: format!("there is no task {query:?}"),
        }),
        (Some(_), Some(_)) => Err(ApiError {
            code: ErrorCode::InvalidParameter,
            message: format!("several tasks have ids that begin with {query}: give more of the id"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TASKS: [(&str, &str); 3] = [("abc1", "web"), ("abd2", "abc1-alias"), ("ffff", "abd2")];

    fn check_find(query: &str, expected: Result<&str, ErrorCode>) {
        assert_eq!(
            find(query, TASKS.into_iter()).map_err(|error| error.code),
            expected,
            "{query}"
        );
    }

    #[test]
    fn a_uuid_says_its_version() {
        assert_eq!(uuid(&[0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn a_task_is_found_by_id_then_name_then_prefix() {
        check_find("abc1", Ok("abc1"));
        check_find("abd2", Ok("abd2"));
        check_find("web", Ok("abc1"));
        check_find("abc", Ok("abc1"));
        check_find("f", Ok("ffff"));
    }

    #[test]
    fn an_ambiguous_prefix_is_not_guessed() {
        check_find("ab", Err(ErrorCode::InvalidParameter));
        check_find("", Err(ErrorCode::TaskNotFound));
        check_find("zz", Err(ErrorCode::TaskNotFound));
    }

    #[test]
    fn names_that_shells_or_paths_would_mind_are_refused() {
        for name in ["web", "9", "a_b.c-d"] {
            assert_eq!(super::check(name), Ok(()), "{name}");
        }
        let long = "a".repeat(NAME_LEN_MAX + 1);
        for name in ["", "-a", "a b", "a/b", "ä", &long, &"0".repeat(ID_LEN)] {
            assert!(super::check(name).is_err(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn made_up_names_and_ids_are_good_ones(random: [u8; 2], bytes: [u8; 16], taken: bool) {
            let id = id(bytes);
            prop_assert_eq!(id.len(), ID_LEN);
            prop_assert_eq!(super::check(&make_up(random, &id, |_| taken)), Ok(()));
        }
    }
}
