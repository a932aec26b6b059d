//! Names of log groups and streams.

use super::error::LogsError;
use crate::ecs::arn::ACCOUNT;

/// The most bytes of a name.
const NAME_LEN_MAX: usize = 512;

/// The most bytes of an ARN or a name that stands for one.
const IDENTIFIER_LEN_MAX: usize = 2048;

/// What ends a group's ARN where all of its streams are meant.
const ALL_STREAMS: &str = ":*";

/// The ARN of a group.
#[must_use]
pub fn of_group(region: &str, group: &str) -> String {
    format!("arn:aws:logs:{region}:{ACCOUNT}:log-group:{group}")
}

/// The ARN of a stream.
#[must_use]
pub fn of_stream(region: &str, group: &str, stream: &str) -> String {
    format!("{}:log-stream:{stream}", of_group(region, group))
}

/// The ARN of all streams of a group.
#[must_use]
pub fn of_streams(region: &str, group: &str) -> String {
    of_group(region, group) + ALL_STREAMS
}

/// The group of an ARN, whatever its partition and region: one host has one of each.
///
/// # Errors
/// Where it is not the ARN of a group.
pub fn parse(arn: &str) -> Result<String, LogsError> {
    let refused = || {
        let shown: String = arn.chars().take(100).collect();
        LogsError::invalid(format!("{shown:?} is not the ARN of a log group on this host"))
    };
    if arn.len() > IDENTIFIER_LEN_MAX {
        return Err(refused());
    }
    let fields: Vec<&str> = arn.splitn(7, ':').collect();
    let &["arn", _, "logs", _, ACCOUNT, "log-group", group] = fields.as_slice() else {
        return Err(refused());
    };
    checked_group(group.strip_suffix(ALL_STREAMS).unwrap_or(group))
}

/// The group that a request names by name or by identifier.
///
/// # Errors
/// Where it names none, or twice.
pub fn group(name: Option<&str>, identifier: Option<&str>) -> Result<String, LogsError> {
    match (name, identifier) {
        (Some(name), None) => checked_group(name),
        (None, Some(identifier)) => parse_identifier(identifier),
        (None, None) => Err(LogsError::invalid(
            "one of logGroupName and logGroupIdentifier is needed",
        )),
        (Some(_), Some(_)) => Err(LogsError::invalid(
            "logGroupName and logGroupIdentifier cannot both be given",
        )),
    }
}

/// The group that is named by its name or by its ARN.
///
/// # Errors
/// Where it is neither.
pub fn parse_identifier(identifier: &str) -> Result<String, LogsError> {
    if identifier.starts_with("arn:") {
        parse(identifier)
    } else {
        checked_group(identifier)
    }
}

/// `name`, if a group can have it.
///
/// # Errors
/// Where it cannot.
pub fn checked_group(name: &str) -> Result<String, LogsError> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || ".-_/#".contains(letter);
    if (1..=NAME_LEN_MAX).contains(&name.len()) && name.chars().all(is_plain) {
        return Ok(name.to_owned());
    }
    let shown: String = name.chars().take(100).collect();
    Err(LogsError::invalid(format!(
        "{shown:?} is not the name of a log group: 1 to 512 of a-z, A-Z, 0-9, '.', '-', '_', '/' and '#'"
    )))
}

/// Checks the name of a stream, or the beginning of one.
///
/// # Errors
/// Where no stream can have it.
pub fn check_stream(name: &str) -> Result<(), LogsError> {
    if (1..=NAME_LEN_MAX).contains(&name.len()) && !name.contains([':', '*']) {
        return Ok(());
    }
    let shown: String = name.chars().take(100).collect();
    Err(LogsError::invalid(format!(
        "{shown:?} is not the name of a log stream: 1 to 512 characters without ':' and '*'"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_a_name_and_two_arns() {
        for identifier in [
            "/ecs/web".to_owned(),
            of_group("us-east-1", "/ecs/web"),
            of_streams("eu-west-1", "/ecs/web"),
        ] {
            assert_eq!(group(None, Some(&identifier)).unwrap(), "/ecs/web");
        }
        assert_eq!(
            of_stream("us-east-1", "/g", "a/b/c"),
            "arn:aws:logs:us-east-1:000000000000:log-group:/g:log-stream:a/b/c"
        );
    }

    #[test]
    fn what_is_no_name_is_told() {
        for (name, identifier) in [
            (Some("a b"), None),
            (Some(""), None),
            (None, None),
            (Some("a"), Some("a")),
            (None, Some("arn:aws:logs:us-east-1:000000000000:log-stream:x")),
            (None, Some("arn:aws:logs:us-east-1:1:log-group:x")),
        ] {
            group(name, identifier).unwrap_err();
        }
        check_stream("a/b").unwrap();
        check_stream("a:b").unwrap_err();
    }
}
