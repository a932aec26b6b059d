//! What the guest has open, each by the number that it was given.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use rustix::io::Errno;

/// The most files and directories that a guest can have open.
const HANDLES_MAX: usize = 1 << 16;

/// The open files and directories.
#[derive(Debug, Default)]
pub(super) struct Handles {
    open: HashMap<u64, Arc<File>>,
    next: u64,
}

impl Handles {
    /// Whether there is no room for one more.
    pub(super) fn check_room(&self) -> Result<(), Errno> {
        if self.open.len() < HANDLES_MAX {
            Ok(())
        } else {
            Err(Errno::NFILE)
        }
    }

    /// Gives an open file its number.
    pub(super) fn open(&mut self, file: File) -> u64 {
        self.next += 1;
        self.open.insert(self.next, Arc::new(file));
        self.next
    }

    pub(super) fn get(&self, handle: u64) -> Result<Arc<File>, Errno> {
        self.open.get(&handle).cloned().ok_or(Errno::BADF)
    }

    pub(super) fn close(&mut self, handle: u64) {
        self.open.remove(&handle);
    }
}
