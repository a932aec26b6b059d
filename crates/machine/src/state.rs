//! What a running machine keeps on the host: one directory, one lock.
//!
//! The supervisor holds the lock for as long as the machine exists, and a second one while it starts or ends: others wait for that. So whether a machine runs is never guessed from process numbers, and what
//! a killed supervisor left behind is known to be rubbish.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::name::MachineName;
use crate::options::Options;
use crate::wire::{TOKEN_LEN, Token};

/// Files that only mean something while the machine runs.
const LOCK: &str = "lock";
const CHANGING: &str = "changing";
const RECORD: &str = "machine.json";
const TOKEN: &str = "token";
/// Files that outlive a machine that ended by itself.
const LOG: &str = "machine.log";
const CONSOLE: &str = "console.log";

/// The directory of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDirectory {
    path: PathBuf,
}

/// What is known of a machine that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What it was started with.
    pub options: Options,
    /// Port of the host's loopback that leads to the relay.
    pub relay_port: u16,
    /// Process of the supervisor.
    pub supervisor_pid: u32,
    /// Process of QEMU.
    pub qemu_pid: u32,
    /// When it became ready.
    pub ready_at: SystemTime,
    /// From QEMU's start to readiness, in milliseconds.
    pub boot_ms: u64,
}

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// An operation on one of the files failed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The record is not ours.
    #[error("{} is malformed", path.display())]
    Malformed {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Adds to an I/O error what was done to what.
fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    move |source| StateError::Io {
        operation,
        path: path.to_owned(),
        source,
    }
}

/// The directory that holds the state of all machines: `$XDG_RUNTIME_DIR/mote/machine`, or below `/run`.
pub fn base_directory() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty());
    runtime
        .map_or_else(|| PathBuf::from("/run"), PathBuf::from)
        .join("mote/machine")
}

impl StateDirectory {
    /// The directory of the machine `name`; nothing is created.
    pub fn of(name: &MachineName) -> Self {
        Self {
            path: base_directory().join(name.as_str()),
        }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What QEMU and virtiofsd say.
    pub fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// Where the console goes unless the options say otherwise.
    pub fn console(&self) -> PathBuf {
        self.path.join(CONSOLE)
    }

    /// Creates the directory, readable for its owner alone.
    pub fn create(&self) -> Result<(), StateError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .map_err(failed("create", &self.path))
    }

    /// Takes the machine's lock, or says that somebody has it. Creates the directory.
    pub fn lock(&self) -> Result<Option<Lock>, StateError> {
        let path = self.path.join(LOCK);
        loop {
            self.create()?;
            let opened = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(&path);
            let file = match opened {
                // The machine that had it is just removing the directory.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(failed("open", &path))?,
            };
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(error) => return Err(failed("lock", &path)(error.into())),
            }
            // A lock on a file that was removed in the meantime keeps nobody out.
            if is_still_at(&file, &path) {
                return Ok(Some(Lock { _file: file }));
            }
        }
    }

    /// Whether somebody has the machine's lock. Creates nothing.
    pub fn is_locked(&self) -> Result<bool, StateError> {
        let path = self.path.join(LOCK);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened.map_err(failed("open", &path))?,
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(failed("lock", &path)(error.into())),
        }
    }

    /// Marks the machine as starting or ending for as long as the value lives. The caller holds the lock.
    pub fn mark_changing(&self) -> Result<Lock, StateError> {
        let path = self.path.join(CHANGING);
        let open = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path);
        let file = open.map_err(failed("open", &path))?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| failed("lock", &path)(error.into()))?;
        Ok(Lock { _file: file })
    }

    /// Waits while the machine is starting or ending.
    pub fn wait_until_settled(&self) -> Result<(), StateError> {
        let path = self.path.join(CHANGING);
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed("open", &path)(error)),
            Ok(file) => flock(&file, FlockOperation::LockShared).map_err(|error| failed("lock", &path)(error.into())),
        }
    }

    /// Keeps the token, for its owner alone.
    pub fn write_token(&self, token: &Token) -> Result<(), StateError> {
        self.write_private(TOKEN, token)
    }

    /// The token that opens the machine's relay, if there is one.
    pub fn read_token(&self) -> Result<Option<Token>, StateError> {
        let path = self.path.join(TOKEN);
        let wrong = |_| failed("read", &path)(io::Error::other(format!("a token has {TOKEN_LEN} bytes")));
        match fs::read(&path) {
            Ok(bytes) => Token::try_from(bytes.as_slice()).map(Some).map_err(wrong),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    /// Keeps the record.
    pub fn write_record(&self, record: &Record) -> Result<(), StateError> {
        let path = self.path.join(RECORD);
        let json = serde_json::to_vec(record).map_err(|source| StateError::Malformed {
            path: path.clone(),
            source,
        })?;
        // Readers see a whole record or none.
        let temporary = "machine.json.new";
        self.write_private(temporary, &json)?;
        fs::rename(self.path.join(temporary), &path).map_err(failed("create", &path))
    }

    /// The record, if there is one.
    pub fn read_record(&self) -> Result<Option<Record>, StateError> {
        let path = self.path.join(RECORD);
        match fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json)
                .map(Some)
                .map_err(|source| StateError::Malformed { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    fn write_private(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let path = self.path.join(name);
        let open = File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&path);
        open.and_then(|mut file| file.write_all(bytes))
            .map_err(failed("write", &path))
    }

    /// Removes what an earlier machine left. The caller holds the lock.
    pub fn clear(&self) -> Result<(), StateError> {
        self.remove_files(&[LOCK])
    }

    /// Removes everything but, if `keep_logs` says so, the logs; the lock last, and the directory if it is empty then.
    pub fn remove(&self, lock: Lock, keep_logs: bool) -> Result<(), StateError> {
        let removed = self.remove_files(if keep_logs { &[LOCK, LOG, CONSOLE] } else { &[LOCK] });
        let path = self.path.join(LOCK);
        fs::remove_file(&path).map_err(failed("remove", &path))?;
        // Logs, or a machine that is being started, may keep it.
        let _ = fs::remove_dir(&self.path);
        drop(lock);
        removed
    }

    fn remove_files(&self, but: &[&str]) -> Result<(), StateError> {
        for entry in fs::read_dir(&self.path).map_err(failed("list", &self.path))? {
            let entry = entry.map_err(failed("list", &self.path))?;
            if !but.iter().any(|name| entry.file_name() == *name) {
                fs::remove_file(entry.path()).map_err(failed("remove", &entry.path()))?;
            }
        }
        Ok(())
    }

    /// The log of a machine that ended by itself, if there is one.
    pub fn log_left(&self) -> Option<PathBuf> {
        Some(self.log()).filter(|log| log.exists())
    }
}

fn is_still_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// The lock of a machine; held until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> (tempfile::TempDir, StateDirectory) {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("mote/machine/test");
        (temporary, StateDirectory { path })
    }

    fn record() -> Record {
        Record {
            options: Options::default(),
            relay_port: 4000,
            supervisor_pid: 10,
            qemu_pid: 11,
            ready_at: SystemTime::UNIX_EPOCH,
            boot_ms: 7000,
        }
    }

    #[test]
    fn a_lock_is_had_once() {
        let (_keep, state) = directory();
        let lock = state.lock().unwrap();
        assert!(lock.is_some());
        assert!(state.is_locked().unwrap());
        assert!(state.lock().unwrap().is_none());
        drop(lock);
        assert!(!state.is_locked().unwrap());
    }

    #[test]
    fn a_change_is_waited_for() {
        let (_keep, state) = directory();
        state.wait_until_settled().unwrap();
        let _lock = state.lock().unwrap();
        let change = state.mark_changing().unwrap();
        let waiting = {
            let state = state.clone();
            std::thread::spawn(move || state.wait_until_settled().map(|()| state.read_record().unwrap()))
        };
        state.write_record(&record()).unwrap();
        drop(change);
        assert_eq!(waiting.join().unwrap().unwrap(), Some(record()));
    }

    #[test]
    fn asking_creates_nothing() {
        let (_keep, state) = directory();
        assert!(!state.is_locked().unwrap());
        assert_eq!(state.read_record().unwrap(), None);
        assert!(!state.path().exists());
    }

    #[test]
    fn a_record_reads_back_as_written() {
        let (_keep, state) = directory();
        state.create().unwrap();
        state.write_record(&record()).unwrap();
        assert_eq!(state.read_record().unwrap(), Some(record()));
    }

    #[test]
    fn the_record_of_another_version_can_be_read() {
        let (_keep, state) = directory();
        state.create().unwrap();
        state.write_record(&record()).unwrap();
        let path = state.path().join(RECORD);
        let json = fs::read_to_string(&path).unwrap();
        let other = json.replace("\"cpus\":", "\"gpus\":");
        assert_ne!(other, json);
        fs::write(&path, other).unwrap();
        assert_eq!(state.read_record().unwrap(), Some(record()));
    }

    #[test]
    fn the_token_is_for_its_owner_alone() {
        let (_keep, state) = directory();
        state.create().unwrap();
        state.write_token(&[9; TOKEN_LEN]).unwrap();
        assert_eq!(state.read_token().unwrap(), Some([9; TOKEN_LEN]));
        assert_eq!(fs::metadata(state.path().join(TOKEN)).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn removing_leaves_the_logs_when_asked_and_nothing_otherwise() {
        let (_keep, state) = directory();
        let lock = state.lock().unwrap().unwrap();
        state.write_token(&[0; TOKEN_LEN]).unwrap();
        fs::write(state.log(), "log").unwrap();
        state.remove(lock, true).unwrap();
        let left: Vec<_> = fs::read_dir(state.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, [LOG]);
        let lock = state.lock().unwrap().unwrap();
        state.remove(lock, false).unwrap();
        assert!(!state.path().exists());
    }
}
