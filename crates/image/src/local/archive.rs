//! A tar archive as a table of its members, for reading them in any order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use super::LocalError;
use super::section::Section;
use crate::limits::Limits;
use crate::tar::{MemberKind, Reader};

/// The most members of an archive that are looked at.
pub const MEMBERS_MAX: usize = 100_000;
/// The longest path of a member that can be of interest.
pub const MEMBER_PATH_LEN_MAX: usize = 512;
/// The most symbolic links on the way to a member.
const LINKS_MAX: usize = 8;

/// An archive of images.
#[derive(Debug)]
pub struct Archive {
    file: Arc<File>,
    members: BTreeMap<String, Place>,
}

#[derive(Debug)]
enum Place {
    Data { offset: u64, len_bytes: u64 },
    Link { target: String },
}

impl Archive {
    /// Reads an uncompressed archive through once and remembers where its files are. Of two with one path the later
    /// counts. Fails if the archive is cut short inside a member.
    pub fn open(file: File) -> Result<Self, LocalError> {
        let len_bytes = file.metadata().map_err(LocalError::Read)?.len();
        let file = Arc::new(file);
        let limits = Limits {
            extended_header_bytes: 64 << 10,
            stream_bytes: u64::MAX,
            ..Limits::default()
        };
        let mut reader = Reader::new(Section::new(file.clone(), 0, len_bytes), &limits);
        let mut members = BTreeMap::new();
        let mut count = 0;
        while let Some(member) = reader.next_member().map_err(LocalError::Archive)? {
            count += 1;
            if count > MEMBERS_MAX {
                return Err(LocalError::TooManyMembers);
            }
            let Some(path) = plain_path(&member.path) else { continue };
            let place = match member.kind {
                MemberKind::Regular {
                    file_bytes,
                    segments: None,
                } => Place::Data {
                    offset: reader.position(),
                    len_bytes: file_bytes,
                },
                // The target of a hard link is a path from the archive's root, that of a symbolic link is relative.
                MemberKind::HardLink { target } => match plain_path(&target) {
                    Some(target) => Place::Link { target },
                    None => continue,
                },
                MemberKind::Symlink { target } => match relative_path(&path, &target) {
                    Some(target) => Place::Link { target },
                    None => continue,
                },
                _ => continue,
            };
            members.insert(path, place);
        }
        Ok(Self { file, members })
    }

    /// The file at `path`, links followed inside the archive.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<Section> {
        let mut path = plain_path(path.as_bytes())?;
        for _ in 0..=LINKS_MAX {
            match self.members.get(&path)? {
                Place::Data { offset, len_bytes } => return Some(Section::new(self.file.clone(), *offset, *len_bytes)),
                Place::Link { target } => path.clone_from(target),
            }
        }
        None
    }

    /// A small file as a whole.
    pub fn read(&self, path: &str, len_max: u64) -> Result<Vec<u8>, LocalError> {
        let section = self.find(path).ok_or_else(|| LocalError::missing(path))?;
        read_small(section, path, len_max)
    }
}

/// Reads a section of at most `len_max` bytes.
pub(super) fn read_small(mut section: Section, path: &str, len_max: u64) -> Result<Vec<u8>, LocalError> {
    if section.len_bytes() > len_max {
        return Err(LocalError::TooLarge {
            path: path.chars().take(MEMBER_PATH_LEN_MAX).collect(),
            len_max,
        });
    }
    let mut bytes = Vec::new();
    section.read_to_end(&mut bytes).map_err(LocalError::Read)?;
    Ok(bytes)
}

/// A path without `.` components and slashes at its ends. Nothing that could be of interest has `..` or odd bytes.
fn plain_path(path: &[u8]) -> Option<String> {
    if path.len() > MEMBER_PATH_LEN_MAX {
        return None;
    }
    let text = std::str::from_utf8(path).ok()?;
    let components: Vec<_> = text
        .split('/')
        .filter(|component| !matches!(*component, "" | "."))
        .collect();
    (!components.is_empty() && !components.contains(&"..")).then(|| components.join("/"))
}

/// Where a symbolic link at `path` leads, if it stays inside the archive.
fn relative_path(path: &str, target: &[u8]) -> Option<String> {
    let target = std::str::from_utf8(target).ok()?;
    if target.starts_with('/') || target.len() > MEMBER_PATH_LEN_MAX {
        return None;
    }
    let mut components: Vec<_> = path.split('/').collect();
    components.pop();
    for component in target.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()?),
            name => components.push(name),
        }
    }
    plain_path(components.join("/").as_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::tar::sample;

    fn archive(bytes: &[u8]) -> Result<Archive, LocalError> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Archive::open(file)
    }

    fn check(archive: &Archive, path: &str, expected: Option<&[u8]>) {
        let content = archive.read(path, 1 << 20).ok();
        assert_eq!(content.as_deref(), expected, "{path}");
    }

    #[test]
    fn members_are_found_by_any_spelling_and_through_links() {
        let bytes = sample::Archive::new()
            .file("./a", b"one")
            .directory("d/")
            .file("d/b", &[7; 1000])
            .symlink("d/link", "../a")
            .hard_link("hard", "d/b")
            .file("last", b"")
            .finish();
        let archive = archive(&bytes).unwrap();
        check(&archive, "a", Some(b"one"));
        check(&archive, "./d//b", Some(&[7; 1000]));
        check(&archive, "d/link", Some(b"one"));
        check(&archive, "hard", Some(&[7; 1000]));
        check(&archive, "last", Some(b""));
        check(&archive, "d", None);
        check(&archive, "b", None);
    }

    #[test]
    fn links_do_not_lead_out_or_round() {
        let bytes = sample::Archive::new()
            .symlink("out", "../../etc/passwd")
            .symlink("root", "/etc/passwd")
            .symlink("x", "y")
            .symlink("y", "x")
            .finish();
        let archive = archive(&bytes).unwrap();
        for path in ["out", "root", "x", "../etc/passwd"] {
            check(&archive, path, None);
        }
    }

    #[test]
    fn an_archive_that_is_cut_short_is_refused() {
        let bytes = sample::Archive::new().file("a", &[1; 5000]).finish();
        assert!(matches!(archive(&bytes[..3000]), Err(LocalError::Archive(_))));
        assert!(matches!(
            archive(b"no archive at all, only some text that goes on and on"),
            Err(LocalError::Archive(_))
        ));
    }
}
