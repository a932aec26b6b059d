//! Image references: Docker's grammar and normalisation
//! (`[domain[:port]/]path[:tag][@digest]`; distribution's reference grammar).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, DigestError};

/// The longest repository name, domain included (distribution's `NameTotalLengthMax`).
pub const NAME_LEN_MAX: usize = 255;
/// The longest tag (OCI distribution spec, "Pulling manifests").
pub const TAG_LEN_MAX: usize = 128;
/// The longest text that is looked at: name, tag, digest and their separators.
pub const REFERENCE_LEN_MAX: usize = NAME_LEN_MAX + TAG_LEN_MAX + 160;

const DEFAULT_DOMAIN: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";
/// Where official images of the default domain live.
const OFFICIAL_PATH: &str = "library";

/// Why a text is no image reference.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReferenceError {
    /// There is no name.
    #[error("an image reference must not be empty")]
    Empty,
    /// The text or its name is longer than the grammar allows.
    #[error("the image reference is too long: a name has at most {NAME_LEN_MAX} characters")]
    TooLong,
    /// The part before the first slash is no host name, address or port.
    #[error("{0:?} is no registry name")]
    Domain(String),
    /// A path component is malformed.
    #[error("{0:?} is no repository name: it must be lower-case letters, digits and single separators")]
    Path(String),
    /// The tag is malformed.
    #[error("{0:?} is no tag: it must be at most {TAG_LEN_MAX} letters, digits, '_', '.' and '-'")]
    Tag(String),
    /// The digest is malformed.
    #[error("the image reference's digest is malformed")]
    Digest(#[source] DigestError),
    /// 64 hexadecimal digits are an image's id, not a name.
    #[error("{0} is an image id, not a name")]
    Id(String),
}

/// A well-formed, normalised image reference: it has a domain, a path, and a tag or a digest or both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Reads and normalises what a user types: `busybox` is `docker.io/library/busybox:latest`.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if text.len() > REFERENCE_LEN_MAX {
            return Err(ReferenceError::TooLong);
        }
        let (name_and_tag, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(Digest::parse(digest).map_err(ReferenceError::Digest)?)),
            None => (text, None),
        };
        let (name, tag) = split_tag(name_and_tag);
        if tag.is_none() && digest.is_none() && Digest::from_hex(name).is_some() {
            return Err(ReferenceError::Id(name.into()));
        }
        let (domain, path) = split_domain(name);
        check_domain(&domain)?;
        if !path.split('/').all(is_path_component) {
            // Named as it was typed: the user knows nothing of `library/`.
            return Err(ReferenceError::Path(text.into()));
        }
        if domain.len() + 1 + path.len() > NAME_LEN_MAX {
            return Err(ReferenceError::TooLong);
        }
        let tag = match (tag, digest) {
            (Some(tag), _) => Some(checked_tag(tag)?),
            (None, None) => Some(DEFAULT_TAG.into()),
            (None, Some(_)) => None,
        };
        Ok(Self {
            domain,
            path,
            tag,
            digest,
        })
    }

    /// The registry's name as users write it: `docker.io`, `localhost:5000`.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry: `library/busybox`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag. There is none only if there is a digest.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, which decides where there is also a tag.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// What to ask the registry for: the digest, else the tag.
    #[must_use]
    pub fn version(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => DEFAULT_TAG.into(),
        }
    }

    /// As Docker shows it: without the default domain and `library/`, where that still means the same.
    #[must_use]
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let Some(path) = full.strip_prefix("docker.io/") else {
            return full;
        };
        let short = path.strip_prefix("library/").unwrap_or(path);
        // A first component such as `a.b` would read as a domain.
        [short, path]
            .into_iter()
            .find(|text| Self::parse(text).as_ref() == Ok(self))
            .unwrap_or(&full)
            .into()
    }
}

/// Splits at the colon of a tag: the last one, if no slash follows it (else it is a port's).
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    }
}

/// The first component is a domain if it looks like a host: a dot, a port, `localhost`, or an upper-case letter.
fn split_domain(name: &str) -> (String, String) {
    let (domain, path) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" || first.to_lowercase() != first => {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, name),
    };
    // The old name of the same registry.
    let domain = if domain == "index.docker.io" {
        DEFAULT_DOMAIN
    } else {
        domain
    };
    if domain == DEFAULT_DOMAIN && !path.contains('/') {
        (domain.into(), format!("{OFFICIAL_PATH}/{path}"))
    } else {
        (domain.into(), path.into())
    }
}

fn check_domain(domain: &str) -> Result<(), ReferenceError> {
    let refuse = || ReferenceError::Domain(domain.into());
    let (host, port) = match domain.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or_else(refuse)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| refuse())?;
            (None, port.strip_prefix(':').or_else(|| port.is_empty().then_some("0")))
        }
        None => match domain.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(domain), Some("0")),
        },
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let port_fits =
        port.is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok());
    if port_fits && host.is_none_or(|host| host.split('.').all(is_label)) {
        Ok(())
    } else {
        Err(refuse())
    }
}

/// `[a-z0-9]+` runs, joined by `.`, `_`, `__` or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends_in_words = bytes.first().copied().is_some_and(is_word) && bytes.last().copied().is_some_and(is_word);
    let separators = bytes.split(|byte| is_word(*byte)).filter(|run| !run.is_empty());
    ends_in_words
        && separators
            .into_iter()
            .all(|run| matches!(run, b"." | b"_" | b"__") || run.iter().all(|byte| *byte == b'-'))
}

/// `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`.
fn checked_tag(tag: &str) -> Result<String, ReferenceError> {
    let is_start = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let fits = tag.len() <= TAG_LEN_MAX
        && tag.bytes().next().is_some_and(is_start)
        && tag.bytes().all(|byte| is_start(byte) || byte == b'.' || byte == b'-');
    if fits {
        Ok(tag.into())
    } else {
        Err(ReferenceError::Tag(tag.into()))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn check(text: &str, full: &str) {
        assert_eq!(
            Reference::parse(text).map(|reference| reference.to_string()),
            Ok(full.into()),
            "{text}"
        );
    }

    fn check_refused(text: &str) {
        assert!(Reference::parse(text).is_err(), "{text}");
    }

    #[test]
    fn a_bare_name_is_an_official_image() {
        check("busybox", "docker.io/library/busybox:latest");
        check("busybox:1.36", "docker.io/library/busybox:1.36");
        check("docker.io/busybox", "docker.io/library/busybox:latest");
        check("index.docker.io/busybox", "docker.io/library/busybox:latest");
        check("grafana/loki", "docker.io/grafana/loki:latest");
    }

    #[test]
    fn a_port_is_not_a_tag() {
        check("localhost:5000/app", "localhost:5000/app:latest");
        check("localhost:5000/app:v1", "localhost:5000/app:v1");
        check("localhost/app", "localhost/app:latest");
        check("127.0.0.1:5000/team/app", "127.0.0.1:5000/team/app:latest");
        check("[::1]:5000/app", "[::1]:5000/app:latest");
    }

    #[test]
    fn an_upper_case_first_part_is_a_host() {
        check("Registry/app", "Registry/app:latest");
    }

    #[test]
    fn a_digest_stands_for_itself() {
        check(
            &format!("busybox@sha256:{HEX}"),
            &format!("docker.io/library/busybox@sha256:{HEX}"),
        );
        check(
            &format!("ghcr.io/a/b:c@sha256:{HEX}"),
            &format!("ghcr.io/a/b:c@sha256:{HEX}"),
        );
    }

    #[test]
    fn separators_stand_between_words() {
        check("a.b_c__d---e", "docker.io/library/a.b_c__d---e:latest");
        for text in ["a..b", "a___b", "a._b", "-a", "a-", ".a", "a/", "/a", "a//b"] {
            check_refused(text);
        }
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        for text in [
            "",
            ":",
            "Busybox",
            "a:",
            "a:b:c",
            "a: b",
            "a:-b",
            "a@",
            "a@sha256:00",
            "a@md5:00",
            "a b",
            "ex.com:port/a",
        ] {
            check_refused(text);
        }
        check_refused("ex..com/a");
        check_refused("[::1/a");
        check_refused("ex.com:99999/a");
        check_refused("../../etc");
        check_refused(HEX);
        check_refused(&format!("a:{}", "t".repeat(129)));
        check_refused(&"a".repeat(256));
    }

    #[test]
    fn familiar_names_are_short() {
        for (text, familiar) in [
            ("busybox", "busybox:latest"),
            ("library/busybox:1", "busybox:1"),
            ("a/b", "a/b:latest"),
            ("localhost:5000/library/a", "localhost:5000/library/a:latest"),
            ("docker.io/a.b/c", "docker.io/a.b/c:latest"),
            ("library/a/b", "library/a/b:latest"),
        ] {
            assert_eq!(Reference::parse(text).unwrap().familiar(), familiar);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_normal(text in "\\PC{0,64}") {
            if let Ok(reference) = Reference::parse(&text) {
                prop_assert_eq!(Reference::parse(&reference.to_string()).unwrap(), reference);
            }
        }

        #[test]
        fn what_is_written_reads_back(text in "([a-z]{1,8}(\\.[a-z]{2})?(:[0-9]{2,4})?/)?[a-z0-9]{1,4}([._-][a-z0-9]{1,4}){0,3}(:[A-Za-z0-9_.-]{1,9})?(@sha256:[0-9a-f]{64})?") {
            if let Ok(reference) = Reference::parse(&text) {
                prop_assert_eq!(&Reference::parse(&reference.to_string()).unwrap(), &reference);
                prop_assert_eq!(&Reference::parse(&reference.familiar()).unwrap(), &reference);
            }
        }
    }
}
