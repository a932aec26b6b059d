//! How a VMM is confined: what the host agent has prepared for it. The rest a VMM does by itself, whoever starts it.

use std::io;

use libc::{sock_filter, sock_fprog};
use serde::{Deserialize, Serialize};

/// What the one that starts a VMM gives it to confine itself with. Without anything it still allows itself few system calls, no new privileges and
/// no file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confinement {
    /// Descriptors of namespaces, inherited under these numbers, which the VMM enters one after the other. They are empty: no interface, no
    /// file.
    #[serde(default)]
    pub namespaces: Vec<i32>,
    /// Descriptor, inherited as well, of a namespace of users that has no more than the users of VMMs. The VMM enters it behind the others; the rights that one
    /// has who enters are given up with all others. One that serves directories is given none: in there it could act for no other owner.
    #[serde(default)]
    pub user_namespace: Option<i32>,
    /// The number of the user and of the group that the VMM becomes; it stays who it is without.
    #[serde(default)]
    pub user: Option<u32>,
    /// Whether it is to serve directories of the host. Then it keeps what that takes: to open what is below them, and to act for any owner.
    #[serde(default)]
    pub serves_directories: bool,
    /// Whether it was born of a thread that the kernel judges by the list of this same program ([`BIRTH_LIST`]), and whose bounding set of capabilities
    /// is empty. Then it only gives up what it needed to begin.
    #[serde(default)]
    pub was_born_with_list: bool,
}

impl Confinement {
    /// Whether whoever is in the namespaces has a bounding set of capabilities to empty, and may: it is born without one, and gets a full one with
    /// the namespace of users.
    #[must_use]
    pub const fn has_bounding_set(&self) -> bool {
        self.user_namespace.is_some() || (self.user.is_some() && !self.was_born_with_list)
    }
}

/// A program by which the kernel decides on system calls (`struct sock_filter`: code, jump if true, jump if false, value).
pub type CallList = Vec<(u16, u8, u8, u32)>;

/// The argument with which a VMM tells, as JSON, the [`CallList`] that it can be born under, and ends. Whoever has VMMs born loads that once, into the
/// thread that does so: it is handed down.
pub const BIRTH_LIST: &str = "--birth-list";

/// Has the kernel judge the system calls of the calling thread, and of all that it starts from now on, by this program too. Whoever is not root has given up
/// new privileges before.
///
/// # Errors
/// Where the system refuses.
#[expect(unsafe_code, reason = "the call takes a pointer")]
pub fn load(list: &CallList) -> io::Result<()> {
    let steps = list.iter().map(|&(code, jt, jf, k)| sock_filter { code, jt, jf, k });
    let mut steps: Vec<sock_filter> = steps.collect();
    let description = sock_fprog {
        len: steps.len().try_into().map_err(io::Error::other)?,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: the system copies as many steps as the description says, which are there, and does not change them.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const description,
        )
    };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
