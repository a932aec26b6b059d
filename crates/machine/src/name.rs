//! Names of machines.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name: it becomes part of the paths of unix sockets, which the kernel limits to 107 bytes.
pub const NAME_LEN_MAX: usize = 32;

/// The name of a machine: small letters, digits and hyphens, at most [`NAME_LEN_MAX`] of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MachineName(String);

/// A name that no machine can have.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{name:?} cannot name a machine: 1 to {NAME_LEN_MAX} small letters, digits and hyphens can")]
pub struct NameError {
    name: String,
}

impl MachineName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for MachineName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl FromStr for MachineName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > NAME_LEN_MAX || !name.bytes().all(fits) {
            return Err(NameError { name: name.to_owned() });
        }
        Ok(Self(name.to_owned()))
    }
}

impl TryFrom<String> for MachineName {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        name.parse()
    }
}

impl From<MachineName> for String {
    fn from(name: MachineName) -> Self {
        name.0
    }
}

impl fmt::Display for MachineName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, valid: bool) {
        assert_eq!(name.parse::<MachineName>().is_ok(), valid, "{name:?}");
    }

    #[test]
    fn a_name_is_safe_as_a_file_name() {
        check("default", true);
        check("e2e-1", true);
        check("", false);
        check("..", false);
        check("a/b", false);
        check("Upper", false);
        check(&"a".repeat(NAME_LEN_MAX), true);
        check(&"a".repeat(NAME_LEN_MAX + 1), false);
    }
}
