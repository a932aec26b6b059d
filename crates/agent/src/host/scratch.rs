//! Scratch disks: a sparse ext4 file system per task, copied from a template that is made once.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

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

/// The formatted disks that others are copied from.
#[derive(Debug)]
pub struct Templates {
    directory: PathBuf,
    // Tasks that start at the same time share one formatting.
    making: Mutex<()>,
}

/// The scratch disk of a task; the file goes when this value goes.
#[derive(Debug)]
pub struct Scratch {
    path: Option<PathBuf>,
}

impl Templates {
    /// Templates, and the disks of tasks, in `directory`.
    #[must_use]
    pub const fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            making: Mutex::new(()),
        }
    }

    /// A disk of `size_mib` for the task `id`.
    pub fn copy(&self, id: &str, size_mib: u32) -> Result<Scratch, ScratchError> {
        let template = self.template(size_mib)?;
        let path = disks_directory(&self.directory).join(id);
        let failed = |source| ScratchError::Io {
            attempted: "make",
            path: path.clone(),
            source,
        };
        fs::create_dir_all(disks_directory(&self.directory)).map_err(failed)?;
        let mut source = File::open(&template).map_err(failed)?;
        let mut target = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        // From here on the file goes with its guard.
        let scratch = Scratch {
            path: Some(path.clone()),
        };
        clone_or_copy(&mut source, &mut target).map_err(failed)?;
        Ok(scratch)
    }

    fn template(&self, size_mib: u32) -> Result<PathBuf, ScratchError> {
        let path = self.directory.join(format!("template-v{VERSION}-{size_mib}.ext4"));
        // The lock guards no data: a holder that panicked left nothing half-changed.
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if path.exists() {
            return Ok(path);
        }
        fs::create_dir_all(&self.directory).map_err(|source| ScratchError::Io {
            attempted: "make",
            path: path.clone(),
            source,
        })?;
        let unfinished = Scratch {
            path: Some(self.directory.join("template.part")),
        };
        format(unfinished.path(), size_mib)?;
        fs::rename(unfinished.path(), &path).map_err(|source| ScratchError::Io {
            attempted: "make",
            path: path.clone(),
            source,
        })?;
        unfinished.forget();
        Ok(path)
    }
}

impl Scratch {
    /// Where the file is.
    pub fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// Removes the file.
    pub fn remove(mut self) -> Result<(), ScratchError> {
        match self.path.take() {
            Some(path) => fs::remove_file(&path).map_err(|source| ScratchError::Io {
                attempted: "remove",
                path,
                source,
            }),
            None => Ok(()),
        }
    }

    fn forget(mut self) {
        self.path = None;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(path) = &self.path
            && let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::error!(path = %path.display(), "a scratch disk is left over: {error}");
        }
    }
}

/// Where the disks of tasks are, below the directory of [`Templates`].
pub fn disks_directory(directory: &Path) -> PathBuf {
    directory.join("tasks")
}

fn format(path: &Path, size_mib: u32) -> Result<(), ScratchError> {
    let output = Command::new("mke2fs")
        .env("PATH", SEARCH_PATH)
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
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_disk_has_its_whole_size_and_takes_little_room() {
        let state = tempfile::tempdir().unwrap();
        let templates = Templates::new(state.path().to_owned());
        let scratch = templates.copy("one", 20 << 10).unwrap();
        let metadata = fs::metadata(scratch.path()).unwrap();
        assert_eq!(metadata.len(), 20 << 30);
        assert!(
            metadata.blocks() * 512 < 4 << 20,
            "{} bytes are allocated",
            metadata.blocks() * 512
        );
        let checked = Command::new("e2fsck")
            .env("PATH", SEARCH_PATH)
            .args(["-fn"])
            .arg(scratch.path())
            .output()
            .unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }

    #[test]
    fn a_disk_goes_with_its_guard_and_its_template_stays() {
        let state = tempfile::tempdir().unwrap();
        let templates = Templates::new(state.path().to_owned());
        drop(templates.copy("one", 64).unwrap());
        templates.copy("two", 64).unwrap().remove().unwrap();
        assert_eq!(fs::read_dir(disks_directory(state.path())).unwrap().count(), 0);
        assert!(templates.template(64).unwrap().exists());
    }

    #[test]
    fn a_size_that_cannot_be_formatted_leaves_nothing() {
        let state = tempfile::tempdir().unwrap();
        let templates = Templates::new(state.path().to_owned());
        assert!(matches!(templates.copy("one", 0), Err(ScratchError::Format { .. })));
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
    }
}
