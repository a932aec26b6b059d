//! Archives on this host's side.

use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Bytes of an archive that are sent at once.
const PIECE_LEN: usize = 64 << 10;

/// Where an archive goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Into this directory, under the names that it has.
    Into(PathBuf),
    /// The one thing in it under this path.
    As(PathBuf),
}

/// Unpacks an archive; nothing lands beside the target, whatever the archive names.
pub fn unpack(reader: impl Read, target: &Target) -> Result<()> {
    match target {
        Target::Into(directory) => {
            std::fs::create_dir_all(directory)
                .with_context(|| format!("cannot make the directory {}", directory.display()))?;
            unpack_into(reader, directory)
        }
        Target::As(path) => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = parent.unwrap_or(Path::new("."));
            let beside =
                tempfile::tempdir_in(parent).with_context(|| format!("cannot write to {}", parent.display()))?;
            unpack_into(reader, beside.path())?;
            let mut entries = std::fs::read_dir(beside.path()).context("cannot read what was copied")?;
            let Some(entry) = entries.next().transpose().context("cannot read what was copied")? else {
                bail!("nothing was copied");
            };
            std::fs::rename(entry.path(), path).with_context(|| format!("cannot make {}", path.display()))
        }
    }
}

fn unpack_into(mut reader: impl Read, directory: &Path) -> Result<()> {
    let mut archive = tar::Archive::new(&mut reader);
    archive.set_overwrite(true);
    archive
        .unpack(directory)
        .with_context(|| format!("cannot copy to {}", directory.display()))?;
    // Behind its end an archive is filled up, and who writes it waits until all is read.
    io::copy(&mut reader, &mut io::sink()).context("cannot read the archive to its end")?;
    Ok(())
}

/// Packs a file or directory under the name that it is to have.
pub fn pack(writer: impl Write, source: &Path, name: &str) -> Result<()> {
    let found = source
        .symlink_metadata()
        .with_context(|| format!("cannot copy {}", source.display()))?;
    let mut archive = tar::Builder::new(BufWriter::with_capacity(PIECE_LEN, writer));
    archive.follow_symlinks(false);
    let packed = if found.is_dir() {
        archive.append_dir_all(name, source)
    } else {
        archive.append_path_with_name(source, name)
    };
    packed.with_context(|| format!("cannot copy {}", source.display()))?;
    let mut writer = archive.into_inner().context("cannot send the archive")?;
    writer.flush().context("cannot send the archive")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn packed(source: &Path, name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        pack(&mut bytes, source, name).unwrap();
        bytes
    }

    #[test]
    fn a_directory_lands_in_another_or_under_a_new_name() {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        fs::create_dir_all(at("site/sub")).unwrap();
        fs::write(at("site/sub/a"), "1").unwrap();
        let archive = packed(&at("site"), "site");
        fs::create_dir(at("into")).unwrap();
        unpack(&archive[..], &Target::Into(at("into"))).unwrap();
        assert_eq!(fs::read_to_string(at("into/site/sub/a")).unwrap(), "1");
        unpack(&archive[..], &Target::As(at("new"))).unwrap();
        assert_eq!(fs::read_to_string(at("new/sub/a")).unwrap(), "1");
    }

    #[test]
    fn a_file_takes_the_place_of_another() {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        fs::write(at("a"), "new").unwrap();
        fs::write(at("b"), "old").unwrap();
        unpack(&packed(&at("a"), "x")[..], &Target::As(at("b"))).unwrap();
        assert_eq!(fs::read_to_string(at("b")).unwrap(), "new");
    }

    #[test]
    fn the_content_of_a_directory_has_no_name_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        fs::create_dir(at("site")).unwrap();
        fs::write(at("site/a"), "1").unwrap();
        unpack(&packed(&at("site"), ".")[..], &Target::Into(at("into"))).unwrap();
        assert_eq!(fs::read_to_string(at("into/a")).unwrap(), "1");
    }

    #[test]
    fn an_archive_cannot_leave_its_target() {
        let directory = tempfile::tempdir().unwrap();
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        header.as_mut_bytes()[..9].copy_from_slice(b"../escape");
        header.set_cksum();
        archive.append(&header, &b"x"[..]).unwrap();
        let bytes = archive.into_inner().unwrap();
        let _ = unpack(&bytes[..], &Target::Into(directory.path().join("into")));
        assert!(!directory.path().join("escape").exists());
    }

    #[test]
    fn what_is_not_there_is_named() {
        let error = pack(io::sink(), Path::new("/nonexistent"), "a").unwrap_err();
        assert_eq!(error.to_string(), "cannot copy /nonexistent");
    }
}
