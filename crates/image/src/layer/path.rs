//! Paths of an image: bytes, relative to its root, brought into one form by their text alone.

use crate::limits::{Limits, NAME_BYTES_MAX};

/// Why a path is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PathError {
    /// It climbs: no honest writer makes such paths, and their meaning would depend on symbolic links.
    #[error("path {path} has a \"..\" component")]
    Parent {
        /// The path.
        path: String,
    },
    /// It contains a NUL byte, which no file name can.
    #[error("path {path} contains a NUL byte")]
    Nul {
        /// The path.
        path: String,
    },
    /// One of its components is longer than a file name can be.
    #[error("path {path} has a component longer than {NAME_BYTES_MAX} bytes")]
    Name {
        /// The path.
        path: String,
    },
    /// It is longer than allowed.
    #[error("path {path} is longer than {limit} bytes")]
    Length {
        /// The path's start.
        path: String,
        /// The limit in force.
        limit: usize,
    },
    /// It has more components than allowed.
    #[error("path {path} has more than {limit} components")]
    Depth {
        /// The path's start.
        path: String,
        /// The limit in force.
        limit: usize,
    },
}

/// Longest part of a path that a message shows.
const DISPLAY_BYTES_MAX: usize = 200;

/// Brings a path from an archive into the one form: no leading slash, no empty component, no `.`; empty for the root.
pub fn normalise(raw: &[u8], limits: &Limits) -> Result<Box<[u8]>, PathError> {
    if normal_bytes(raw, limits)? == raw.len() {
        return Ok(raw.into());
    }
    let components: Vec<&[u8]> = components(raw).filter(|component| *component != b".").collect();
    Ok(components.join(&b'/').into())
}

/// Length of a path's one form: that of the path itself if it is in it.
pub fn normal_bytes(raw: &[u8], limits: &Limits) -> Result<usize, PathError> {
    let shown = || display(raw);
    if raw.contains(&0) {
        return Err(PathError::Nul { path: shown() });
    }
    let (mut bytes, mut depth) = (0, 0);
    for component in components(raw).filter(|component| *component != b".") {
        if component == b".." {
            return Err(PathError::Parent { path: shown() });
        }
        if component.len() > NAME_BYTES_MAX {
            return Err(PathError::Name { path: shown() });
        }
        bytes += component.len() + usize::from(depth > 0);
        depth += 1;
    }
    if bytes > limits.path_bytes {
        return Err(PathError::Length {
            path: shown(),
            limit: limits.path_bytes,
        });
    }
    if depth > limits.path_components {
        return Err(PathError::Depth {
            path: shown(),
            limit: limits.path_components,
        });
    }
    Ok(bytes)
}

/// The non-empty components of a path.
pub fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|component| !component.is_empty())
}

/// Splits a normalised path into its directory and its last component; the root has none.
pub fn split_last(path: &[u8]) -> Option<(&[u8], &[u8])> {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => Some((&path[..slash], &path[slash + 1..])),
        None if path.is_empty() => None,
        None => Some((&[], path)),
    }
}

/// A path for a person to read: quoted, escaped, and cut if it is long.
pub fn display(path: &[u8]) -> String {
    match path.get(..DISPLAY_BYTES_MAX) {
        Some(start) if path.len() > DISPLAY_BYTES_MAX => format!("\"{}…\"", start.escape_ascii()),
        _ => format!("\"{}\"", path.escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(raw: &[u8], expected: &[u8]) {
        assert_eq!(normalise(raw, &Limits::default()).as_deref(), Ok(expected), "{raw:?}");
    }

    #[test]
    fn one_form_for_many_spellings() {
        for raw in [&b"a/b"[..], b"/a/b", b"./a/b", b"a//b/", b"///a/./b/.", b"././a/b//"] {
            check(raw, b"a/b");
        }
    }

    #[test]
    fn the_root_is_empty() {
        for raw in [&b""[..], b"/", b".", b"./", b"/./"] {
            check(raw, b"");
        }
    }

    #[test]
    fn names_are_bytes() {
        check(b"\xff\xfe/caf\xe9/...", b"\xff\xfe/caf\xe9/...");
    }

    #[test]
    fn climbing_paths_are_refused_by_name() {
        for raw in ["..", "a/../b", "/..", "a/.."] {
            let refused = normalise(raw.as_bytes(), &Limits::default()).unwrap_err();
            assert_eq!(refused.to_string(), format!("path \"{raw}\" has a \"..\" component"));
        }
    }

    #[test]
    fn limits_are_kept() {
        let limits = Limits {
            path_bytes: 9,
            path_components: 2,
            ..Limits::default()
        };
        assert!(normalise(b"aaaa/bbbb", &limits).is_ok());
        assert!(matches!(
            normalise(b"aaaa/bbbbb", &limits),
            Err(PathError::Length { limit: 9, .. })
        ));
        assert!(matches!(
            normalise(b"a/b/c", &limits),
            Err(PathError::Depth { limit: 2, .. })
        ));
        assert!(matches!(
            normalise(&[b'a'; 256], &Limits::default()),
            Err(PathError::Name { .. })
        ));
        assert!(normalise(&[b'a'; 255], &Limits::default()).is_ok());
        assert!(matches!(normalise(b"a\0b", &limits), Err(PathError::Nul { .. })));
    }

    proptest! {
        #[test]
        fn what_is_normal_stays_so(raw in "[a./]{0,30}") {
            if let Ok(path) = normalise(raw.as_bytes(), &Limits::default()) {
                prop_assert_eq!(normalise(&path, &Limits::default()), Ok(path.clone()));
                prop_assert!(components(&path).all(|component| component != b"." && component != b".."));
                prop_assert_eq!(path.split(|byte| *byte == b'/').filter(|part| part.is_empty()).count(),
                    usize::from(path.is_empty()));
            }
        }
    }
}
