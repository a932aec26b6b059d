//! What the image has in the place of a volume, copied into a volume that is still empty, as Docker does.
//!
//! Everything is looked up from open directories, and no symbolic link is followed: an image cannot lead the copy elsewhere.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags, chownat,
    fchmod, fchown, fgetxattr, flistxattr, flock, fsetxattr, fstat, futimens, mkdirat, mknodat, openat, readlinkat,
    statat, symlinkat, utimensat,
};
use rustix::io::Errno;

use crate::failure::{Attempt, StepError};

/// How deep directories may be in each other: bounds the stack and the open files.
const DEPTH_MAX: usize = 128;

/// The longest list of names and the longest value of an extended attribute, in bytes (the kernel's limits).
const ATTRIBUTE_LEN_MAX: usize = 64 << 10;

/// Fills `volume` with what is at `target`, a directory, unless it has something.
///
/// # Errors
/// The kernel's.
pub fn fill(volume: BorrowedFd<'_>, target: &str) -> Result<(), StepError> {
    let filled = || -> io::Result<()> {
        let volume = open_directory(volume, ".")?;
        // Two containers may have the same volume: the second finds what the first one has copied.
        flock(&volume, FlockOperation::LockExclusive)?;
        if !is_empty(&volume)? {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let source = rustix::fs::open(target, flags, Mode::empty())?;
        copy_directory(&source, &volume, 0)
    };
    filled().attempting(|| format!("copy what the image has at {target} into the volume"))
}

fn is_empty(directory: &OwnedFd) -> io::Result<bool> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !is_itself_or_parent(entry.file_name()) && entry.file_name() != c"lost+found" {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_itself_or_parent(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

/// Copies what is in a directory, then what the directory itself is like.
fn copy_directory(source: &OwnedFd, target: &OwnedFd, depth: usize) -> io::Result<()> {
    if depth == DEPTH_MAX {
        return Err(io::Error::other("directories are too deep in each other"));
    }
    for entry in Dir::read_from(source)? {
        let entry = entry?;
        let name = entry.file_name();
        if !is_itself_or_parent(name) {
            copy_entry(source, target, name, depth)?;
        }
    }
    copy_attributes(source, target, &fstat(source)?)
}

fn copy_entry(source: &OwnedFd, target: &OwnedFd, name: &CStr, depth: usize) -> io::Result<()> {
    let stat = statat(source, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    match kind {
        FileType::Directory => {
            mkdirat(target, name, Mode::RWXU)?;
            copy_directory(
                &open_directory(source, name)?,
                &open_directory(target, name)?,
                depth + 1,
            )
        }
        FileType::RegularFile => {
            let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let from = openat(source, name, read, Mode::empty())?;
            let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let to = openat(target, name, write, Mode::RUSR | Mode::WUSR)?;
            io::copy(&mut File::from(from.try_clone()?), &mut File::from(to.try_clone()?))?;
            copy_attributes(&from, &to, &stat)
        }
        FileType::Symlink => {
            symlinkat(&readlinkat(source, name, Vec::new())?, target, name)?;
            copy_owner_and_times(target, name, &stat)
        }
        FileType::Socket => Ok(()),
        _ => {
            let mode = Mode::from_raw_mode(stat.st_mode);
            mknodat(target, name, kind, mode, stat.st_rdev)?;
            rustix::fs::chmodat(target, name, mode, AtFlags::empty())?;
            copy_owner_and_times(target, name, &stat)
        }
    }
}

/// Owner, extended attributes, mode and times, in the order in which one does not undo the other.
fn copy_attributes(source: &OwnedFd, target: &OwnedFd, stat: &Stat) -> io::Result<()> {
    fchown(
        target,
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
    )?;
    copy_extended(source.as_fd(), target.as_fd())?;
    fchmod(target, Mode::from_raw_mode(stat.st_mode))?;
    Ok(futimens(target, &times(stat)?)?)
}

fn copy_owner_and_times(directory: &OwnedFd, name: &CStr, stat: &Stat) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    chownat(directory, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(utimensat(directory, name, &times(stat)?, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn times(stat: &Stat) -> io::Result<Timestamps> {
    let time = |seconds, nanoseconds: u64| {
        Ok::<_, io::Error>(Timespec {
            tv_sec: seconds,
            tv_nsec: i64::try_from(nanoseconds).map_err(io::Error::other)?,
        })
    };
    Ok(Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec)?,
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec)?,
    })
}

fn copy_extended(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let mut names = vec![0; ATTRIBUTE_LEN_MAX];
    let len = match flistxattr(source, names.as_mut_slice()) {
        Ok(len) => len,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if len == 0 {
        return Ok(());
    }
    let mut value = vec![0; ATTRIBUTE_LEN_MAX];
    for name in names[..len].split_inclusive(|byte| *byte == 0) {
        let name = CStr::from_bytes_with_nul(name).map_err(io::Error::other)?;
        let len = fgetxattr(source, name, value.as_mut_slice())?;
        fsetxattr(target, name, &value[..len], XattrFlags::empty())?;
    }
    Ok(())
}

/// Opens a directory, which is not to be a symbolic link, below `parent`.
fn open_directory(parent: impl AsFd, name: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::Path;

    fn fill_directory(volume: &Path, target: &Path) {
        let volume = File::open(volume).unwrap();
        fill(volume.as_fd(), target.to_str().unwrap()).unwrap();
    }

    /// An image's directory with one of everything that needs no privilege.
    fn image() -> tempfile::TempDir {
        let image = tempfile::tempdir().unwrap();
        let at = |name: &str| image.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        fs::write(at("sub/file"), "content").unwrap();
        fs::set_permissions(at("sub/file"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("/etc/passwd", at("link")).unwrap();
        fs::set_permissions(image.path(), fs::Permissions::from_mode(0o751)).unwrap();
        image
    }

    #[test]
    fn an_empty_volume_gets_what_the_image_has() {
        let (image, volume) = (image(), tempfile::tempdir().unwrap());
        fill_directory(volume.path(), image.path());
        let at = |name: &str| volume.path().join(name);
        assert_eq!(fs::read_to_string(at("sub/file")).unwrap(), "content");
        let modes = [at("sub/file"), at("")].map(|path| fs::metadata(path).unwrap().mode() & 0o7777);
        assert_eq!(modes, [0o640, 0o751]);
        assert_eq!(fs::read_link(at("link")).unwrap(), Path::new("/etc/passwd"));
        let times =
            [image.path().join("sub/file"), at("sub/file")].map(|path| fs::metadata(path).unwrap().mtime_nsec());
        assert_eq!(times[0], times[1]);
    }

    #[test]
    fn a_volume_with_something_stays_as_it_is() {
        let (image, volume) = (image(), tempfile::tempdir().unwrap());
        fs::write(volume.path().join("mine"), "").unwrap();
        fill_directory(volume.path(), image.path());
        assert_eq!(fs::read_dir(volume.path()).unwrap().count(), 1);
    }
}
