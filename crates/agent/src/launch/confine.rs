//! What VMMs are confined with: namespaces that all of them enter, and a user for each.
//!
//! The namespaces are made once: what is shared is nothing, and to make a network namespace costs more than to start a microVM. A VMM has no
//! interface to send by, no socket to make one with, and no file to leave there.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_move, unmount};
use rustix::process::{chdir, chroot, geteuid, pivot_root};
use rustix::thread::UnshareFlags;

use super::{owners, user_namespace};
use crate::config::Users;

/// A step towards empty namespaces failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempted}")]
struct StepError {
    attempted: &'static str,
    source: io::Error,
}

/// What the host agent can confine its VMMs with.
#[derive(Debug)]
pub struct Cells {
    namespaces: Vec<Arc<OwnedFd>>,
    user_namespace: Option<Arc<OwnedFd>>,
    users: Option<Arc<UserPool>>,
}

/// The users of a range that no microVM has.
#[derive(Debug)]
pub struct UserPool {
    range: Users,
    // Shared by all that start and end; locked for moments.
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    users: BTreeSet<u32>,
    /// Where the next one is looked for: one that was given back is not taken again at once.
    next: u32,
}

/// A user that no other microVM has as long as this value lives.
#[derive(Debug)]
pub struct User {
    number: u32,
    pool: Arc<UserPool>,
}

impl Cells {
    /// Without any right to confine: VMMs do by themselves what they can.
    #[must_use]
    pub fn none() -> Self {
        Self {
            namespaces: Vec::new(),
            user_namespace: None,
            users: None,
        }
    }

    /// Makes empty namespaces, whose root is on a file system mounted at `place`, where nobody else sees it. What cannot be had is told once.
    #[must_use]
    pub fn prepare(place: &Path, users: Users) -> Self {
        if !geteuid().is_root() {
            tracing::warn!(
                "without root, VMMs have no user of their own and stay in the host's namespaces: they are confined by seccomp and Landlock; `mote doctor --security` tells more"
            );
            return Self::none();
        }
        owners::warn(users);
        let place = place.to_owned();
        // On a thread of its own, which ends in these namespaces.
        let made = thread::Builder::new().spawn(move || empty_namespaces(&place));
        let made = made
            .map_err(|error| error.to_string())
            .and_then(|made| match made.join() {
                Ok(made) => made.map_err(|error| crate::sentence::sentence(&error)),
                Err(_) => Err("the thread that makes them panicked".to_owned()),
            });
        let namespaces = made.unwrap_or_else(|error| {
            tracing::warn!("VMMs stay in the host's namespaces: {error}; `mote doctor --security` tells more");
            Vec::new()
        });
        let user_namespace = user_namespace::make(users).inspect_err(|error| {
            tracing::warn!("VMMs stay in the host's namespace of users: {error}; `mote doctor --security` tells more");
        });
        Self {
            namespaces: namespaces.into_iter().map(Arc::new).collect(),
            user_namespace: user_namespace.ok().map(Arc::new),
            users: Some(Arc::new(UserPool {
                range: users,
                used: Mutex::default(),
            })),
        }
    }

    /// The namespaces that hold nothing.
    #[must_use]
    pub fn namespaces(&self) -> &[Arc<OwnedFd>] {
        &self.namespaces
    }

    /// The namespace that knows the users of VMMs and no other; whoever is to act for any owner of a file cannot enter it.
    #[must_use]
    pub const fn user_namespace(&self) -> Option<&Arc<OwnedFd>> {
        self.user_namespace.as_ref()
    }

    /// A user for a microVM; none where VMMs have none of their own, or all are taken.
    #[must_use]
    pub fn take_user(&self) -> Option<User> {
        let pool = self.users.as_ref()?;
        let user = pool.take();
        if user.is_none() {
            tracing::warn!("all users for VMMs are taken: give a larger range with --vmm-users");
        }
        user
    }

    /// The user of a microVM that an earlier host agent has started.
    #[must_use]
    pub fn find_user(&self, process: u32) -> Option<User> {
        let pool = self.users.as_ref()?;
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        pool.note(user_in(&status)?)
    }
}

/// The effective user in `/proc/PID/status`.
fn user_in(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

impl UserPool {
    fn take(self: &Arc<Self>) -> Option<User> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let count = self.range.count;
        let offset = (0..count)
            .map(|step| (used.next + step) % count)
            .find(|offset| !used.users.contains(&(self.range.first + offset)))?;
        used.next = (offset + 1) % count;
        let number = self.range.first + offset;
        used.users.insert(number);
        Some(User {
            number,
            pool: self.clone(),
        })
    }

    /// One that somebody has; none where it is not of the range.
    fn note(self: &Arc<Self>, number: u32) -> Option<User> {
        let is_ours = number.checked_sub(self.range.first)? < self.range.count;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        (is_ours && used.users.insert(number)).then(|| User {
            number,
            pool: self.clone(),
        })
    }
}

impl User {
    /// Its number, and that of its group.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let mut used = self.pool.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.users.remove(&self.number);
    }
}

/// Namespaces of the calling thread alone: for the network, for messages, for the host's name, and for mounts, with an empty root.
fn empty_namespaces(place: &PathBuf) -> Result<Vec<OwnedFd>, StepError> {
    let step = |attempted: &'static str| {
        move |errno: rustix::io::Errno| StepError {
            attempted,
            source: errno.into(),
        }
    };
    let flags = UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS | UnshareFlags::NEWNS;
    #[expect(deprecated, reason = "unsafe is only what concerns descriptors")]
    rustix::thread::unshare(flags).map_err(step("make namespaces"))?;
    let recursively = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", recursively).map_err(step("part with the host's mounts"))?;
    let mut namespaces = vec![];
    for name in ["net", "ipc", "uts", "mnt"] {
        let path = format!("/proc/thread-self/ns/{name}");
        let opened = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        namespaces.push(opened.map_err(step("open a namespace"))?);
    }
    rustix::system::sethostname(b"").map_err(step("forget the host's name"))?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let options = Some(c"mode=0555,size=4k,nr_inodes=1");
    mount("none", place, "tmpfs", flags, options).map_err(step("mount an empty root"))?;
    chdir(place).map_err(step("enter the empty root"))?;
    if pivot_root(".", ".").is_ok() {
        unmount(".", UnmountFlags::DETACH).map_err(step("unmount the host's root"))?;
    } else {
        // A host that still is on the file system that its kernel began with: that one cannot go, and is covered.
        mount_move(".", "/").map_err(step("cover the host's root"))?;
        chroot(".").map_err(step("enter the empty root"))?;
    }
    Ok(namespaces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(first: u32, count: u32) -> Arc<UserPool> {
        Arc::new(UserPool {
            range: Users { first, count },
            used: Mutex::default(),
        })
    }

    #[test]
    fn a_user_is_given_once_and_not_again_at_once() {
        let pool = pool(1000, 3);
        let first = pool.take().unwrap();
        assert_eq!(first.number(), 1000);
        drop(first);
        let others: Vec<User> = (0..3).filter_map(|_| pool.take()).collect();
        let numbers: Vec<u32> = others.iter().map(User::number).collect();
        assert_eq!(numbers, [1001, 1002, 1000]);
        assert!(pool.take().is_none());
    }

    #[test]
    fn a_user_that_somebody_has_is_not_given() {
        let pool = pool(1000, 2);
        let found = pool.note(1000).unwrap();
        assert!(pool.note(1000).is_none() && pool.note(7).is_none() && pool.note(1002).is_none());
        assert_eq!(pool.take().unwrap().number(), 1001);
        drop(found);
        assert!(pool.note(1000).is_some());
    }

    #[test]
    fn the_user_of_a_process_is_read() {
        assert_eq!(
            user_in("Name:\tx\nUid:\t0\t1879048193\t0\t0\nGid:\t0\n"),
            Some(1_879_048_193)
        );
        assert_eq!(user_in("Name:\tx\n"), None);
    }
}
