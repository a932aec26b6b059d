//! Operating system and architecture: which of an index's manifests to take, and what this host runs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest name of an operating system, architecture or variant.
pub const WORD_LEN_MAX: usize = 32;

/// An operating system and architecture in Go's words (OCI image spec, image index, "platform").
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`, `windows`, …
    pub os: String,
    /// `amd64`, `arm64`, …
    pub architecture: String,
    /// `v7`, `v8`, …; empty where the architecture has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl Platform {
    /// The platform whose containers this host runs: Linux, since every guest is one, on the host's architecture.
    #[must_use]
    pub fn host() -> Self {
        Self {
            os: "linux".into(),
            architecture: go_architecture(std::env::consts::ARCH).into(),
            variant: String::new(),
        }
    }

    /// What build attestations say they are for, and what an unreadable platform is taken for.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            os: "unknown".into(),
            architecture: "unknown".into(),
            variant: String::new(),
        }
    }

    /// Reads `os/architecture[/variant]`, the words in any case and under any of their common names.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(3, '/');
        Self::from_words(words.next()?, words.next()?, words.next())
    }

    /// As [`Platform::parse`], from the words. `None` if one is no word or longer than [`WORD_LEN_MAX`].
    #[must_use]
    pub fn from_words(os: &str, architecture: &str, variant: Option<&str>) -> Option<Self> {
        let variant = variant.unwrap_or_default();
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let fits = |word: &str| word.len() <= WORD_LEN_MAX && word.bytes().all(is_letter);
        if os.is_empty() || architecture.is_empty() || ![os, architecture, variant].into_iter().all(fits) {
            return None;
        }
        let architecture = architecture.to_ascii_lowercase();
        Some(Self {
            os: os.to_ascii_lowercase(),
            architecture: go_architecture(&architecture).into(),
            variant: variant.to_ascii_lowercase(),
        })
    }

    /// Whether an image made for `offered` is what `self` asks for. A variant counts only where both name one.
    #[must_use]
    pub fn accepts(&self, offered: &Self) -> bool {
        self.os == offered.os
            && self.architecture == offered.architecture
            && (self.variant.is_empty() || offered.variant.is_empty() || self.variant == offered.variant)
    }
}

/// Go's name of an architecture that may be called by the kernel's.
fn go_architecture(name: &str) -> &str {
    match name {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(asked: &str, offered: &str, accepted: bool) {
        let (asked, offered) = (Platform::parse(asked).unwrap(), Platform::parse(offered).unwrap());
        assert_eq!(asked.accepts(&offered), accepted, "{asked} against {offered}");
    }

    #[test]
    fn names_of_the_kernel_and_of_go_are_the_same() {
        check("linux/x86_64", "linux/amd64", true);
        check("linux/arm64", "linux/aarch64", true);
    }

    #[test]
    fn os_and_architecture_must_match() {
        check("linux/amd64", "linux/arm64", false);
        check("linux/amd64", "windows/amd64", false);
    }

    #[test]
    fn a_variant_counts_where_both_have_one() {
        check("linux/arm64", "linux/arm64/v8", true);
        check("linux/arm/v6", "linux/arm/v7", false);
    }

    #[test]
    fn nonsense_is_no_platform() {
        for text in [
            "",
            "linux",
            "linux/",
            "/amd64",
            "a/b/c/d",
            "linux/am d64",
            "linux/\u{1b}",
        ] {
            assert_eq!(Platform::parse(text), None, "{text}");
        }
    }
}
