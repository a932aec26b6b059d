//! The manifest of a template: a checksum for each of its files, so that a damaged one is not cloned.
//!
//! A file counts by its non-zero pages and its length: its holes are not read, and it does not matter which zeros happen to be holes.
//! Reading a hole of a file on tmpfs fills it with zeros, and clones read.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use image::Stamp;
use protocol::vmm::{MAPPED_FILE, TOUCHED_FILE};
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::hexadecimal;

/// The manifest's own name. It is written last: a template without one was not finished.
pub const NAME: &str = "manifest";

/// What is compared with zeros and counted, in bytes.
const PAGE_LEN: usize = 4096;

/// What is read at once, in bytes.
const READ_LEN: usize = 256 * PAGE_LEN;

/// What is wrong with the files of a template.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// One of them cannot be read, written, made, …
    #[error("cannot {attempted} {}", path.display())]
    Io {
        /// `read`, `write`, `look at`, …
        attempted: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It has other files, or a file has other contents.
    #[error("the checksums of the template {} do not match", directory.display())]
    Mismatch {
        /// The template.
        directory: PathBuf,
    },
}

/// Writes down the checksums of all files in `directory`.
pub fn write(directory: &Path) -> Result<(), FilesError> {
    let text = describe(directory)?;
    let path = directory.join(NAME);
    let failed = |source| FilesError::Io {
        attempted: "write",
        path: path.clone(),
        source,
    };
    // Under another name until it is whole.
    let part = directory.join("manifest.part");
    fs::write(&part, text).map_err(failed)?;
    File::open(&part).and_then(|file| file.sync_all()).map_err(failed)?;
    fs::rename(&part, &path).map_err(failed)
}

/// Checks that all files in `directory` are as the manifest says, and that there are no others.
pub fn verify(directory: &Path) -> Result<(), FilesError> {
    let path = directory.join(NAME);
    let expected = fs::read_to_string(&path).map_err(|source| FilesError::Io {
        attempted: "read",
        path: path.clone(),
        source,
    })?;
    if describe(directory)? == expected {
        Ok(())
    } else {
        Err(FilesError::Mismatch {
            directory: directory.to_owned(),
        })
    }
}

/// What shows that nobody has touched the files in `directory` since: all that the manifest is about.
pub fn stamps(directory: &Path) -> io::Result<Vec<(PathBuf, Stamp)>> {
    let stamped = |name: PathBuf| {
        let path = directory.join(name);
        let stamp = Stamp::of(&fs::symlink_metadata(&path)?);
        Ok((path, stamp))
    };
    files(directory, Path::new(""))?.into_iter().map(stamped).collect()
}

/// The memory or disk space that the files in `directory` take, in bytes.
pub fn size_bytes(directory: &Path) -> u64 {
    let files = files(directory, Path::new("")).unwrap_or_default();
    let blocks = files.iter().filter_map(|name| fs::metadata(directory.join(name)).ok());
    blocks.map(|metadata| metadata.blocks() * 512).sum()
}

/// The files that are written after the manifest, which only say what is to be done early.
const LEARNED: [&str; 2] = [TOUCHED_FILE, MAPPED_FILE];

/// The manifest of `directory` as it is now: a line per file, sorted.
fn describe(directory: &Path) -> Result<String, FilesError> {
    let failed = |path: PathBuf| {
        move |source| FilesError::Io {
            attempted: "read",
            path,
            source,
        }
    };
    let mut lines = Vec::new();
    for name in files(directory, Path::new("")).map_err(failed(directory.to_owned()))? {
        let path = directory.join(&name);
        let (len, digest) = checksum(&path).map_err(failed(path))?;
        lines.push(format!("{digest} {len} {}\n", name.display()));
    }
    lines.sort();
    Ok(lines.concat())
}

/// The files below `directory` by their paths in it, but the manifest itself and what is learned after it was written, which only says what is to be
/// copied early.
fn files(directory: &Path, below: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory.join(below))? {
        let entry = entry?;
        let name = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            found.extend(files(directory, &name)?);
        } else if name != Path::new(NAME) && !LEARNED.iter().any(|learned| name.ends_with(learned)) {
            found.push(name);
        }
    }
    Ok(found)
}

/// A file's length, and the digest over its length and its non-zero pages, each with its place.
fn checksum(path: &Path) -> io::Result<(u64, String)> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut hasher = Sha256::new();
    hasher.update(len.to_le_bytes());
    let mut buffer = vec![0; READ_LEN];
    let mut offset = 0;
    while offset < len {
        let data = match rustix::fs::seek(&file, SeekFrom::Data(offset)) {
            Ok(data) => data,
            // Only a hole is left (lseek(2), ENXIO).
            Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno.into()),
        };
        let hole = rustix::fs::seek(&file, SeekFrom::Hole(data))?;
        // Whole pages, wherever the file system lets data begin and end.
        let (mut at, end) = (data - data % PAGE_LEN as u64, hole.next_multiple_of(PAGE_LEN as u64));
        while at < end {
            let want = usize::try_from(end - at).map_or(READ_LEN, |left| left.min(READ_LEN));
            let got = read_up_to(&file, &mut buffer[..want], at)?;
            for (index, page) in buffer[..got].chunks(PAGE_LEN).enumerate() {
                if page.iter().any(|byte| *byte != 0) {
                    hasher.update((at + (index * PAGE_LEN) as u64).to_le_bytes());
                    hasher.update(page);
                }
            }
            at += want as u64;
        }
        offset = end;
    }
    Ok((len, hexadecimal(&hasher.finalize())))
}

fn read_up_to(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read_at(&mut buffer[got..], at + got as u64)? {
            0 => break,
            len => got += len,
        }
    }
    Ok(got)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("guest")).unwrap();
        fs::write(directory.path().join("guest/state"), "registers").unwrap();
        let memory = File::create(directory.path().join("guest/memory")).unwrap();
        memory.set_len(64 << 20).unwrap();
        memory.write_all_at(b"kernel", 5 << 20).unwrap();
        write(directory.path()).unwrap();
        directory
    }

    /// Whether a template still counts as it was made after `change`.
    fn check(change: impl FnOnce(&Path)) -> bool {
        let directory = template();
        change(directory.path());
        verify(directory.path()).is_ok()
    }

    #[test]
    fn a_template_is_as_it_was_made() {
        assert!(check(|_| ()));
    }

    #[test]
    fn a_hole_that_was_filled_with_zeros_is_no_change() {
        assert!(check(|directory| {
            let memory = File::options()
                .write(true)
                .open(directory.join("guest/memory"))
                .unwrap();
            memory.write_all_at(&[0; 8192], 1 << 20).unwrap();
        }));
    }

    #[test]
    fn every_change_of_contents_shows() {
        let changes: [(&str, u64); 3] = [("guest/memory", 1 << 20), ("guest/memory", 5 << 20), ("guest/state", 0)];
        for (name, at) in changes {
            assert!(!check(|directory| {
                let file = File::options().write(true).open(directory.join(name)).unwrap();
                file.write_all_at(b"x", at).unwrap();
            }));
        }
        assert!(!check(|directory| {
            let memory = File::options()
                .write(true)
                .open(directory.join("guest/memory"))
                .unwrap();
            memory.set_len(65 << 20).unwrap();
        }));
    }

    #[test]
    fn a_page_that_moved_shows() {
        assert!(!check(|directory| {
            let memory = File::options()
                .write(true)
                .open(directory.join("guest/memory"))
                .unwrap();
            memory.write_all_at(&[0; 6], 5 << 20).unwrap();
            memory.write_all_at(b"kernel", 6 << 20).unwrap();
        }));
    }

    #[test]
    fn files_that_came_or_went_show() {
        assert!(!check(|directory| fs::write(directory.join("more"), "").unwrap()));
        assert!(!check(
            |directory| fs::remove_file(directory.join("guest/state")).unwrap()
        ));
        assert!(!check(|directory| fs::remove_file(directory.join(NAME)).unwrap()));
    }
}
