//! Whether published files are as they were published: a seal beside them tells their digests, and what shows that nobody has touched them.
//!
//! A digest over an image at each start would cost more than the start. So contents are read again only where a file's inode, length,
//! times, owner or mode are others than when it was sealed: where a store was copied, they are, and the contents decide.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, HashingReader};
use crate::stamp::Stamp;

/// The seal's name beside what it seals.
const NAME: &str = "seal.json";

/// Published files are their owner's to read, and nobody's to write.
const MODE: u32 = 0o400;

/// Read size for digests.
const BUFFER_BYTES: usize = 256 << 10;

/// What is known of a sealed file.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    digest: Digest,
    stamp: Stamp,
}

/// Makes a file that is to be published.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(MODE).open(path)
}

/// Makes the files `names` of a working directory last, and seals them. They must not be written any more.
pub(crate) fn close(work: &Path, names: &[&str]) -> io::Result<()> {
    let mut seal = BTreeMap::new();
    for name in names {
        let file = File::open(work.join(name))?;
        let digest = thread::scope(|scope| {
            // Written to the disk while it is read from memory.
            let synced = scope.spawn(|| file.sync_all());
            let digest = digest(&work.join(name));
            synced.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            digest
        })?;
        let stamp = Stamp::of(&file.metadata()?);
        seal.insert((*name).to_owned(), Sealed { digest, stamp });
    }
    let mut file = create(&work.join(NAME))?;
    file.write_all(&serde_json::to_vec_pretty(&seal)?)?;
    file.sync_all()
}

fn digest(path: &Path) -> io::Result<Digest> {
    let mut reader = HashingReader::new(File::open(path)?);
    let mut buffer = vec![0; BUFFER_BYTES];
    while reader.read(&mut buffer)? > 0 {}
    Ok(reader.finish().0)
}

/// What this process knows of sealed files. Shared by the threads that give files out, and by the sweep.
#[derive(Debug, Default)]
pub(crate) struct Seals(Mutex<HashMap<PathBuf, Stamp>>);

impl Seals {
    /// Whether a published file is there and as it was published.
    ///
    /// # Errors
    /// If that cannot be told.
    pub fn is_sound(&self, path: &Path) -> io::Result<bool> {
        // Not where a link leads.
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let stamp = Stamp::of(&metadata);
        if self.lock().get(path) == Some(&stamp) {
            return Ok(true);
        }
        let is_sound = metadata.is_file() && is_as_sealed(path, &stamp)?;
        if is_sound {
            self.lock().insert(path.into(), stamp);
        }
        Ok(is_sound)
    }

    /// Whether a published file is the one that this process has found sound before, and nobody has touched it since.
    pub fn is_known(&self, path: &Path) -> bool {
        let stamp = fs::symlink_metadata(path).map(|metadata| Stamp::of(&metadata));
        stamp.is_ok_and(|stamp| self.lock().get(path) == Some(&stamp))
    }

    /// A directory of published files is gone.
    pub fn forget(&self, directory: &Path) {
        self.lock().retain(|path, _| !path.starts_with(directory));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Stamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_as_sealed(path: &Path, stamp: &Stamp) -> io::Result<bool> {
    let seal = match fs::read(path.with_file_name(NAME)) {
        Ok(seal) => seal,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut seal: BTreeMap<String, Sealed> = serde_json::from_slice(&seal).unwrap_or_default();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(sealed) = seal.remove(name) else {
        return Ok(false);
    };
    Ok(sealed.stamp == *stamp || digest(path)? == sealed.digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A sealed file with these contents.
    fn sealed(directory: &Path) -> PathBuf {
        let path = directory.join("data");
        create(&path).unwrap().write_all(b"contents").unwrap();
        close(directory, &["data"]).unwrap();
        path
    }

    /// Whether a process that knows nothing of it takes it for sound, and one that has seen it before.
    fn check(act: impl FnOnce(&Path), expected: bool) {
        let directory = tempfile::tempdir().unwrap();
        let path = sealed(directory.path());
        let seen = Seals::default();
        assert!(seen.is_sound(&path).unwrap());
        act(&path);
        assert!(expected || !seen.is_known(&path));
        assert_eq!(seen.is_sound(&path).unwrap(), expected);
        assert_eq!(seen.is_known(&path), expected);
        assert_eq!(Seals::default().is_sound(&path).unwrap(), expected);
    }

    /// Overwrites the file as root can, keeping length and time of the last change.
    fn overwrite(path: &Path) {
        let modified = fs::metadata(path).unwrap().modified().unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(path, b"CONTENTS").unwrap();
        File::open(path).unwrap().set_modified(modified).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(MODE)).unwrap();
    }

    #[test]
    fn what_nobody_touched_is_sound() {
        check(|_| {}, true);
    }

    #[test]
    fn changed_contents_are_found() {
        check(overwrite, false);
    }

    #[test]
    fn a_copy_in_its_place_is_judged_by_its_contents() {
        let replace = |contents: &'static [u8]| {
            move |path: &Path| {
                fs::remove_file(path).unwrap();
                create(path).unwrap().write_all(contents).unwrap();
            }
        };
        check(replace(b"contents"), true);
        check(replace(b"conTents"), false);
    }

    #[test]
    fn a_link_and_nothing_are_not_sound() {
        check(
            |path| {
                fs::rename(path, path.with_file_name("moved")).unwrap();
                symlink("moved", path).unwrap();
            },
            false,
        );
        check(|path| fs::remove_file(path).unwrap(), false);
    }

    #[test]
    fn without_its_seal_nothing_is_trusted() {
        let directory = tempfile::tempdir().unwrap();
        let path = sealed(directory.path());
        fs::remove_file(path.with_file_name(NAME)).unwrap();
        assert!(!Seals::default().is_sound(&path).unwrap());
        fs::write(path.with_file_name(NAME), "{").unwrap();
        assert!(!Seals::default().is_sound(&path).unwrap());
    }
}
