//! What a VMM holds on the host beside its process: it goes after it, and tells until then what was used.

use std::path::{Path, PathBuf};

use super::confine::User;
use super::directory::RuntimeDirectory;
use super::{COUNTERS, Cgroup, LaunchError, STDERR, Traces, VSOCK, door};

/// What a VMM holds on the host beside its process.
pub struct Held {
    /// What meters it.
    pub cgroup: Box<dyn Cgroup>,
    pub(super) directory: RuntimeDirectory,
    /// Who it is, until it is gone.
    pub(super) user: Option<User>,
}

/// Where the host sees a microVM, for who measures it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// The VMM's process.
    pub process: u32,
    /// Its cgroup.
    pub cgroup: PathBuf,
    /// The file in which it counts.
    pub counters: PathBuf,
}

impl Held {
    /// What is left of a microVM that ends.
    pub(super) fn found(cgroup: Box<dyn Cgroup>, directory: RuntimeDirectory) -> Self {
        Self {
            cgroup,
            directory,
            user: None,
        }
    }

    /// Where its sockets are.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The socket that leads to the guest, and that the VMM is to be given for its vsock device.
    #[must_use]
    pub fn vsock(&self) -> PathBuf {
        self.path().join(VSOCK)
    }

    /// Takes the guest's door away; the guest is about to be told what to be.
    pub fn close_door(&self) {
        door::remove(self.path());
    }

    /// Where the host sees the microVM whose VMM is `process`.
    #[must_use]
    pub fn whereabouts(&self, process: u32) -> Whereabouts {
        Whereabouts {
            process,
            cgroup: self.cgroup.path().to_owned(),
            counters: self.counters(),
        }
    }

    /// Where the VMM counts.
    pub(super) fn counters(&self) -> PathBuf {
        self.path().join(COUNTERS)
    }

    /// What the VMM says when it fails.
    #[must_use]
    pub fn stderr(&self) -> PathBuf {
        self.path().join(STDERR)
    }

    /// Where it will be told how the VMM ended.
    #[must_use]
    pub fn traces(&self) -> Traces {
        Traces {
            stderr: self.stderr(),
            cgroup: self.cgroup.path().to_owned(),
        }
    }

    /// Keeps all of it: a later host agent takes it over.
    pub fn leave(self) {
        let Self {
            mut cgroup, directory, ..
        } = self;
        cgroup.leave();
        directory.leave();
    }

    /// Removes all of it, whatever fails, and tells what did.
    pub async fn release(self, id: &str) {
        let Self {
            mut cgroup,
            directory,
            user,
        } = self;
        let released = tokio::task::spawn_blocking(move || {
            let cgroup = cgroup.remove().map_err(LaunchError::from);
            cgroup.and(directory.remove().map_err(LaunchError::from))
        });
        match released.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(
                microvm = id,
                "something is left over: {}",
                crate::sentence::sentence(&error)
            ),
            Err(error) => tracing::error!(microvm = id, "something may be left over: {error}"),
        }
        drop(user);
    }
}
