//! The scratch disk as it is before anybody writes to it: a sparse ext4 file system, made once. Tasks see it through a copy-on-write view.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// Changes whenever [`OPTIONS`] do: templates of another version are not used.
const VERSION: u32 = 1;

/// A file system that lasts as long as its task: no journal, no reserved blocks, no room to grow, and nothing to be zeroed later, for the file
/// is sparse. All metadata lies together at the front, so that a copy is a few hundred KiB in a few extents.
const OPTIONS: [&str; 11] = [
    "-q",
    "-F",
    "-t",
    "ext4",
    "-m",
    "0",
    "-O",
    "^has_journal,^resize_inode,sparse_super2",
    "-E",
    "lazy_itable_init=1,nodiscard,assume_storage_prezeroed=1,packed_meta_blocks=1,num_backup_sb=0",
    "--",
];

/// Where `mke2fs` is on the systems there are: not always on the search path of a service.
const SEARCH_PATH: &str = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin";

/// What went wrong with a scratch disk.
#[derive(Debug, thiserror::Error)]
pub enum ScratchError {
    /// The formatting program.
    #[error("cannot run mke2fs, which formats scratch disks: install e2fsprogs")]
    Mke2fs(#[source] io::Error),
    /// It failed.
    #[error("mke2fs cannot format {}: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its words.
        message: String,
    },
    /// A file.
    #[error("cannot {attempted} the scratch disk {}", path.display())]
    Io {
        /// `make`, `copy`, `remove`, …
        attempted: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The formatted disk of one size.
#[derive(Debug)]
pub struct ScratchDisk {
    directory: PathBuf,
    size_mib: u32,
    inodes: Option<u32>,
    // Shared by all who start; whoever comes first formats, the others wait for that.
    made: Mutex<Option<Arc<Path>>>,
}

/// A file that goes with its guard unless it becomes what it was made for.
struct Unfinished<'a>(&'a Path);

impl ScratchDisk {
    /// A disk of `size_mib`, kept in `directory`. It has as many inodes as is usual for the size, or about `inodes`: each group of its blocks has
    /// as many as all others, and whole blocks of them.
    #[must_use]
    pub const fn new(directory: PathBuf, size_mib: u32, inodes: Option<u32>) -> Self {
        Self {
            directory,
            size_mib,
            inodes,
            made: Mutex::new(None),
        }
    }

    /// The directory that it is in: where there is room for what is written to it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file that nobody writes to; formatted by whoever asks first.
    pub fn base(&self) -> Result<Arc<Path>, ScratchError> {
        // A holder that panicked left nothing half-changed.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &*made {
            return Ok(path.clone());
        }
        let inodes = self.inodes.map(|inodes| format!("-{inodes}")).unwrap_or_default();
        let name = format!("template-v{VERSION}-{}{inodes}.ext4", self.size_mib);
        let path: Arc<Path> = self.directory.join(name).into();
        if !path.exists() {
            self.format_as(&path)?;
        }
        *made = Some(path.clone());
        Ok(path)
    }

    fn format_as(&self, path: &Path) -> Result<(), ScratchError> {
        let failed = |source| ScratchError::Io {
            attempted: "make",
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(&self.directory).map_err(failed)?;
        let part = self.directory.join("template.part");
        let unfinished = Unfinished(&part);
        format(&part, self.size_mib, self.inodes)?;
        // A name that outlives a loss of power must not be that of an empty file.
        File::open(&part).and_then(|file| file.sync_all()).map_err(failed)?;
        fs::rename(&part, path).map_err(failed)?;
        std::mem::forget(unfinished);
        Ok(())
    }

    /// Copies it to `path`, as sparse as it is.
    pub fn copy_to(&self, path: &Path) -> Result<(), ScratchError> {
        let base = self.base()?;
        let failed = |source| ScratchError::Io {
            attempted: "copy",
            path: path.to_owned(),
            source,
        };
        let mut source = File::open(&base).map_err(failed)?;
        let mut options = File::options();
        options.read(true).write(true).create_new(true).mode(0o600);
        let mut target = options.open(path).map_err(failed)?;
        let unfinished = Unfinished(path);
        clone_or_copy(&mut source, &mut target).map_err(failed)?;
        std::mem::forget(unfinished);
        Ok(())
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::error!(path = %self.0.display(), "a scratch disk is left over: {error}");
        }
    }
}

fn format(path: &Path, size_mib: u32, inodes: Option<u32>) -> Result<(), ScratchError> {
    let inodes = inodes.map(|inodes| format!("-N{inodes}"));
    let output = Command::new("mke2fs")
        .env("PATH", SEARCH_PATH)
        .args(inodes)
        .args(OPTIONS)
        .arg(path)
        .arg(format!("{size_mib}M"))
        .stdin(Stdio::null())
        .output()
        .map_err(ScratchError::Mke2fs)?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(ScratchError::Format {
        path: path.to_owned(),
        message,
    })
}

/// Shares the blocks where the file system can, and copies what is not a hole where it cannot.
fn clone_or_copy(source: &mut File, target: &mut File) -> io::Result<()> {
    if rustix::fs::ioctl_ficlone(&*target, &*source).is_ok() {
        return Ok(());
    }
    let len = source.metadata()?.len();
    target.set_len(len)?;
    let mut offset = 0;
    while offset < len {
        let start = match rustix::fs::seek(&*source, SeekFrom::Data(offset)) {
            Ok(start) => start,
            // Only a hole is left (lseek(2), ENXIO).
            Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno.into()),
        };
        let end = rustix::fs::seek(&*source, SeekFrom::Hole(start))?;
        copy_range(source, target, start, end)?;
        offset = end;
    }
    Ok(())
}

fn copy_range(source: &mut File, target: &mut File, start: u64, end: u64) -> io::Result<()> {
    let (mut from, mut to) = (start, start);
    while from < end {
        let want = usize::try_from(end - from).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(source.as_fd(), Some(&mut from), target.as_fd(), Some(&mut to), want) {
            Ok(0) => break,
            Ok(_) => {}
            // Older kernels and some file systems have no such call.
            Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    if from < end {
        source.seek(io::SeekFrom::Start(from))?;
        target.seek(io::SeekFrom::Start(from))?;
        io::copy(&mut Read::take(&*source, end - from), target)?;
        target.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, MetadataExt};

    #[test]
    fn a_disk_has_its_whole_size_and_takes_little_room() {
        let state = tempfile::tempdir().unwrap();
        let disk = ScratchDisk::new(state.path().to_owned(), 20 << 10, None);
        let copy = state.path().join("copy");
        disk.copy_to(&copy).unwrap();
        let metadata = fs::metadata(&copy).unwrap();
        assert_eq!(metadata.len(), 20 << 30);
        assert!(
            metadata.blocks() * 512 < 4 << 20,
            "{} bytes are allocated",
            metadata.blocks() * 512
        );
        let checked = Command::new("e2fsck")
            .env("PATH", SEARCH_PATH)
            .args(["-fn"])
            .arg(&copy)
            .output()
            .unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }

    #[test]
    fn it_is_formatted_once() {
        let state = tempfile::tempdir().unwrap();
        let made = |disk: &ScratchDisk| fs::metadata(disk.base().unwrap()).unwrap().ino();
        let disk = ScratchDisk::new(state.path().to_owned(), 64, None);
        assert_eq!(made(&disk), made(&disk));
        assert_eq!(made(&disk), made(&ScratchDisk::new(state.path().to_owned(), 64, None)));
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_number_of_inodes_is_about_what_is_asked_for() {
        let state = tempfile::tempdir().unwrap();
        for (size_mib, inodes, expected) in [(64, 64, 64), (64, 1000, 1024), (1024, 1 << 18, 1 << 18)] {
            let base = ScratchDisk::new(state.path().to_owned(), size_mib, Some(inodes))
                .base()
                .unwrap();
            // The superblock begins with it (Documentation/filesystems/ext4/globals.rst, "Super Block").
            let mut count = [0; 4];
            File::open(&base).unwrap().read_exact_at(&mut count, 1024).unwrap();
            assert_eq!(u32::from_le_bytes(count), expected);
        }
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_size_that_cannot_be_formatted_leaves_nothing() {
        let state = tempfile::tempdir().unwrap();
        let disk = ScratchDisk::new(state.path().to_owned(), 0, None);
        assert!(matches!(disk.base(), Err(ScratchError::Format { .. })));
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
    }
}
