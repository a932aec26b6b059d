//! Confinement: what this process can do once it has its files, and before it has seen anything of a guest.
//!
//! [`enter`] goes one way only: empty namespaces with an empty root, a user of its own, no privileges, few resources, few system calls.
//! [`seccomp`] has the lists of system calls, by thread; [`system`] is the calls themselves.

mod landlock;
mod lists;
mod seccomp;
mod system;

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use protocol::jail::{CallList, Confinement, load};

use lists::Who;
use seccomp::Allowed;

/// Open files that a VMM can have: what comes with a shape, the guest's connections, and what its devices need.
const FILES_MAX: u64 = 8192;

/// The same for one that serves directories of the host, of which a guest may have many files open.
const SERVED_FILES_MAX: u64 = 1 << 20;

/// Why a process could not be confined.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempted}")]
pub struct JailError {
    attempted: &'static str,
    source: io::Error,
}

fn failed(attempted: &'static str) -> impl FnOnce(io::Error) -> JailError {
    move |source| JailError { attempted, source }
}

/// The confinement of this process, for what follows in it.
#[derive(Clone, Copy, Debug)]
pub struct Jail {
    serves_directories: bool,
}

/// Confines the process, which has one thread, and which `serves_directories` or never will.
///
/// # Errors
/// Where the system refuses something: the process is then not to go on.
pub fn enter(confinement: &Confinement, serves_directories: bool) -> Result<Jail, JailError> {
    let jail = Jail { serves_directories };
    system::bound_allocator();
    for namespace in &confinement.namespaces {
        system::enter_namespace(*namespace).map_err(failed("enter an empty namespace"))?;
    }
    if let Some(namespace) = confinement.user_namespace {
        system::enter_namespace(namespace).map_err(failed("enter the namespace of VMMs' users"))?;
    }
    let files_max = if serves_directories {
        SERVED_FILES_MAX
    } else {
        FILES_MAX
    };
    for (resource, most) in [
        (libc::RLIMIT_NOFILE, files_max),
        (libc::RLIMIT_CORE, 0),
        (libc::RLIMIT_MEMLOCK, 0),
        (libc::RLIMIT_MSGQUEUE, 0),
    ] {
        system::limit(resource, most).map_err(failed("limit a resource"))?;
    }
    let kept = if serves_directories {
        system::FOR_ANY_OWNER
    } else {
        system::NO_CAPABILITY
    };
    if confinement.has_bounding_set() {
        system::empty_bounding_set().map_err(failed("keep capabilities from what it executes"))?;
    }
    if let Some(user) = confinement.user {
        system::become_user(user, kept).map_err(failed("become a user of its own"))?;
    }
    system::keep_capabilities(kept).map_err(failed("drop privileges"))?;
    system::seal_process().map_err(failed("give up privileges for good"))?;
    if !serves_directories {
        landlock::deny_everything().map_err(failed("give up the file system"))?;
    }
    let list = jail.list();
    let program = if confinement.was_born_with_list {
        seccomp::compile_rest(&list, &lists::at_birth(list.clone()))
    } else {
        seccomp::compile(&list)
    };
    load(&program).map_err(failed("allow few system calls"))?;
    Ok(jail)
}

impl Jail {
    /// Confines the file system to what is below these directories; called before anything is served, in a process that serves directories.
    ///
    /// # Errors
    /// Where the system has such confinement, and refuses it.
    pub fn confine_to(self, directories: &[impl AsFd]) -> Result<(), JailError> {
        if !self.serves_directories {
            return Ok(());
        }
        landlock::allow_below(directories).map_err(failed("confine the file system to the directories that are served"))
    }

    /// Confines the calling thread, and those that it starts, to what running a vCPU takes.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn enter_vcpu(self) -> Result<(), JailError> {
        let list = lists::of(Who::VCPU, std::process::id());
        let program = seccomp::compile_rest(&list, &self.list());
        load(&program).map_err(failed("allow a vCPU's thread few system calls"))
    }

    /// What the process may do.
    fn list(self) -> Allowed {
        let who = if self.serves_directories {
            Who::PROCESS | Who::DIRECTORIES
        } else {
            Who::PROCESS
        };
        lists::of(who, std::process::id())
    }
}

/// The list that a VMM can be born under.
pub fn birth_list() -> CallList {
    // Of a process that is not born yet.
    seccomp::compile(&lists::at_birth(lists::of(Who::PROCESS, 0)))
}

/// Where this process's descriptors can be named, for one that serves directories.
///
/// # Errors
/// Where the system does not show them.
pub fn descriptors() -> io::Result<OwnedFd> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options.read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY);
    options.open("/proc/self/fd").map(OwnedFd::from)
}
