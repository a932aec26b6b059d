//! The host's own files and directories, as far as requests may name them.

use std::fs::read_link;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::io::Errno;

/// The permissions of a directory that is made because a task is to see it, as Docker makes it.
const MODE: Mode = Mode::RWXU
    .union(Mode::RGRP)
    .union(Mode::XGRP)
    .union(Mode::ROTH)
    .union(Mode::XOTH);

/// Why a path of the host is not to be had; said of what names it.
#[derive(Debug, thiserror::Error)]
pub enum HostPathError {
    /// It could mean different things.
    #[error("has to be an absolute path without '..', not {path:?}")]
    Unclear {
        /// The path.
        path: String,
    },
    /// It may not be named.
    #[error(
        "names {path}, which is in no directory that this host agent was allowed to use: start it with --allow-host-path"
    )]
    Forbidden {
        /// The path.
        path: String,
    },
}

/// Why a directory of the host cannot be a volume.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It may not be named, or not any more.
    #[error("a volume {0}")]
    Path(HostPathError),
    /// It is behind a symbolic link.
    #[error("the host's {path} lies behind a link that leads out of what this host agent was allowed to use")]
    Elsewhere {
        /// The path.
        path: String,
    },
    /// The system's answer.
    #[error("cannot use the host's {path} as a directory")]
    Unusable {
        /// The path.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// The directory of `allowed` in which `path` is, by its words alone.
///
/// # Errors
/// Where there is none.
pub fn allowing<'a>(allowed: &'a [PathBuf], path: &str) -> Result<&'a Path, HostPathError> {
    let is_plain = Path::new(path)
        .components()
        .all(|component| !matches!(component, Component::ParentDir));
    if !path.starts_with('/') || !is_plain || path.contains('\0') {
        return Err(HostPathError::Unclear { path: path.to_owned() });
    }
    let mut allowing = allowed
        .iter()
        .filter(|directory| Path::new(path).starts_with(directory));
    allowing
        .next()
        .map(PathBuf::as_path)
        .ok_or_else(|| HostPathError::Forbidden { path: path.to_owned() })
}

/// The directory at `path`, made where it is missing, as Docker does; its true path has no symbolic link. Links inside an allowed directory, which tasks
/// can make, do not lead out of it.
///
/// # Errors
/// Where there is none, or it may not be used.
pub fn directory(allowed: &[PathBuf], path: &str) -> Result<PathBuf, DirectoryError> {
    let root = allowing(allowed, path).map_err(DirectoryError::Path)?;
    let found = find(root, Path::new(path)).map_err(|errno| match errno {
        Errno::XDEV => DirectoryError::Elsewhere { path: path.to_owned() },
        errno => DirectoryError::Unusable {
            path: path.to_owned(),
            source: errno.into(),
        },
    })?;
    read_link(format!("/proc/self/fd/{}", found.as_raw_fd())).map_err(|source| DirectoryError::Unusable {
        path: path.to_owned(),
        source,
    })
}

fn find(root: &Path, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |from: &OwnedFd, inside: &Path| openat2(from, inside, flags, Mode::empty(), ResolveFlags::BENEATH);
    let root_directory = openat2(CWD, root, flags, Mode::empty(), ResolveFlags::empty())?;
    let inside = path.strip_prefix(root).unwrap_or(path);
    if inside.as_os_str().is_empty() {
        return Ok(root_directory);
    }
    match open(&root_directory, inside) {
        Err(Errno::NOENT) => {}
        opened => return opened,
    }
    let (mut at, mut directory) = (PathBuf::new(), root_directory.try_clone().map_err(|_| Errno::MFILE)?);
    for component in inside.components() {
        at.push(component);
        directory = match open(&root_directory, &at) {
            Err(Errno::NOENT) => {
                match mkdirat(&directory, component.as_os_str(), MODE) {
                    // Somebody else has made it meanwhile.
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(errno),
                }
                open(&root_directory, &at)?
            }
            opened => opened?,
        };
    }
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn allowed() -> (tempfile::TempDir, Vec<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("allowed");
        fs::create_dir(&root).unwrap();
        (folder, vec![root])
    }

    #[track_caller]
    fn check(allowed: &[PathBuf], path: &str, expected: Result<&str, &str>) {
        let path = allowed[0].join(path);
        let found = directory(allowed, path.to_str().unwrap()).map_err(|error| crate::sentence::sentence(&error));
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, allowed[0].join(expected)),
            (Err(sentence), Err(expected)) => assert!(sentence.contains(expected), "{sentence}"),
            (found, expected) => panic!("{found:?} is not {expected:?}"),
        }
    }

    #[test]
    fn a_missing_directory_is_made_inside_an_allowed_one() {
        let (_folder, allowed) = allowed();
        check(&allowed, "a/b", Ok("a/b"));
        let mode = fs::metadata(allowed[0].join("a/b")).unwrap().permissions().mode();
        assert_eq!(mode & 0o700, 0o700);
        check(&allowed, "a/b", Ok("a/b"));
        let none = allowed[0].join("none");
        check(&[none], "a", Err("No such file"));
    }

    #[test]
    fn a_link_does_not_lead_out() {
        let (folder, allowed) = allowed();
        fs::create_dir_all(allowed[0].join("a/b")).unwrap();
        symlink("a/b", allowed[0].join("inside")).unwrap();
        symlink(folder.path(), allowed[0].join("out")).unwrap();
        symlink("../..", allowed[0].join("a/up")).unwrap();
        check(&allowed, "inside", Ok("a/b"));
        for path in ["out", "out/x", "a/up", "a/up/x"] {
            check(&allowed, path, Err("leads out"));
        }
        assert!(!folder.path().join("x").exists());
    }

    #[test]
    fn what_is_no_directory_or_not_allowed_is_refused() {
        let (_folder, allowed) = allowed();
        fs::write(allowed[0].join("file"), "").unwrap();
        check(&allowed, "file", Err("Not a directory"));
        check(&allowed, "/etc", Err("--allow-host-path"));
        check(&allowed, "../allowed", Err("absolute path"));
    }
}
