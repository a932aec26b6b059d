//! Where an image comes from: a registry, or a directory or archive on this host (the transports' names are skopeo's).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::reference::{Reference, ReferenceError};

/// Why a text names no source.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SourceError {
    /// A transport without a path.
    #[error("{transport}: must be followed by a path")]
    NoPath {
        /// The transport.
        transport: &'static str,
    },
    /// Neither a transport nor a reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

/// The kind of a local file or directory that holds images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// An OCI image layout directory (OCI image spec, image layout).
    OciLayout,
    /// A tar archive of an OCI image layout.
    OciArchive,
    /// What `docker save` writes.
    DockerArchive,
}

impl Transport {
    const ALL: [Self; 3] = [Self::OciLayout, Self::OciArchive, Self::DockerArchive];

    /// Takes the transport off the front of a text, if it begins with one and its colon.
    fn split_off(text: &str) -> Option<(Self, &str)> {
        let rest = |transport: Self| text.strip_prefix(transport.name())?.strip_prefix(':');
        Self::ALL
            .into_iter()
            .find_map(|transport| Some((transport, rest(transport)?)))
    }

    /// The word before the colon.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OciLayout => "oci",
            Self::OciArchive => "oci-archive",
            Self::DockerArchive => "docker-archive",
        }
    }
}

/// Where an image comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `[docker://]REFERENCE`
    Registry(Reference),
    /// `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:TAG]`
    Local {
        /// What is there.
        transport: Transport,
        /// The directory or file on the host that has the store.
        path: PathBuf,
        /// Which of several images: a tag or a whole reference, as written in the archive.
        selector: Option<String>,
    },
}

impl Source {
    /// Reads what a user types. The path of a transport ends at its first colon.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        if let Some((transport, rest)) = Transport::split_off(text) {
            let (path, selector) = match rest.split_once(':') {
                Some((path, selector)) => (path, (!selector.is_empty()).then(|| selector.into())),
                None => (rest, None),
            };
            if path.is_empty() {
                return Err(SourceError::NoPath {
                    transport: transport.name(),
                });
            }
            return Ok(Self::Local {
                transport,
                path: path.into(),
                selector,
            });
        }
        Ok(Self::Registry(Reference::parse(
            text.strip_prefix("docker://").unwrap_or(text),
        )?))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => {
                let familiar = reference.familiar();
                // An image may be called like a transport.
                if Transport::split_off(&familiar).is_some() {
                    f.write_str("docker://")?;
                }
                f.write_str(&familiar)
            }
            Self::Local {
                transport,
                path,
                selector,
            } => {
                write!(f, "{}:{}", transport.name(), path.display())?;
                selector.iter().try_for_each(|selector| write!(f, ":{selector}"))
            }
        }
    }
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, transport: Transport, path: &str, selector: Option<&str>) {
        let expected = Source::Local {
            transport,
            path: path.into(),
            selector: selector.map(Into::into),
        };
        assert_eq!(Source::parse(text), Ok(expected), "{text}");
    }

    #[test]
    fn a_transport_has_a_path_and_perhaps_a_tag() {
        check("oci:/a/b", Transport::OciLayout, "/a/b", None);
        check("oci:dir:v1", Transport::OciLayout, "dir", Some("v1"));
        check("oci-archive:a.tar", Transport::OciArchive, "a.tar", None);
        check(
            "docker-archive:a.tar:localhost:5000/app:1",
            Transport::DockerArchive,
            "a.tar",
            Some("localhost:5000/app:1"),
        );
    }

    #[test]
    fn everything_else_is_a_reference() {
        for text in ["busybox", "docker://busybox", "oci"] {
            assert!(matches!(Source::parse(text), Ok(Source::Registry(_))), "{text}");
        }
    }

    #[test]
    fn what_is_shown_means_the_same() {
        for (text, shown) in [
            ("docker://busybox", "busybox:latest"),
            ("oci", "docker://oci:latest"),
            ("docker://docker-archive:1", "docker://docker-archive:1"),
            ("docker://localhost:5000/oci:1", "localhost:5000/oci:1"),
            ("oci:dir:v1", "oci:dir:v1"),
        ] {
            let source = Source::parse(text).unwrap();
            assert_eq!(source.to_string(), shown);
            assert_eq!(Source::parse(shown), Ok(source));
        }
    }

    #[test]
    fn a_transport_without_a_path_is_refused() {
        assert_eq!(Source::parse("oci:"), Err(SourceError::NoPath { transport: "oci" }));
        assert_eq!(
            Source::parse("docker-archive::tag"),
            Err(SourceError::NoPath {
                transport: "docker-archive"
            })
        );
    }
}
