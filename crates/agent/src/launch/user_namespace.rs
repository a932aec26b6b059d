//! The namespace of users that VMMs enter. It knows their users and no other: no right in it reaches what is root's.

use std::fs;
use std::fs::File;
use std::io::{self, PipeWriter, Read};
use std::os::fd::{AsRawFd, OwnedFd};

use libc::{CLONE_NEWUSER, PR_SET_PDEATHSIG, SIGKILL, c_int, pid_t};

use crate::config::Users;

/// A process that is in a namespace of users of its own, and waits for its end.
struct Holder(pid_t);

/// A new namespace, in which `users` have the numbers that they have here, and so have their groups. Takes root.
///
/// # Errors
/// The system's: where it has no such namespaces, or was told to allow no more of them (`user.max_user_namespaces`).
pub fn make(users: Users) -> io::Result<OwnedFd> {
    // A process with several threads cannot enter one (user_namespaces(7)), so another one does.
    let (mut told, tells) = io::pipe()?;
    let holder = Holder::start(&tells)?;
    drop(tells);
    let mut error = [0; size_of::<c_int>()];
    told.read_exact(&mut error)?;
    match c_int::from_ne_bytes(error) {
        0 => {}
        error => return Err(io::Error::from_raw_os_error(error)),
    }
    let Users { first, count } = users;
    for map in ["uid_map", "gid_map"] {
        fs::write(holder.path(map), format!("{first} {first} {count}\n"))?;
    }
    File::open(holder.path("ns/user")).map(OwnedFd::from)
}

impl Holder {
    fn start(tells: &PipeWriter) -> io::Result<Self> {
        let tells = tells.as_raw_fd();
        // SAFETY: the child makes calls of the system alone, until it is killed: nothing that another thread had locked is touched.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => hold(tells),
            child => Ok(Self(child)),
        }
    }

    fn path(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.0)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // SAFETY: these calls touch no memory of ours. The child is not waited for elsewhere, so the number is its own.
        unsafe {
            libc::kill(self.0, SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

/// The life of the child: it tells whether it is in a new namespace.
fn hold(tells: c_int) -> ! {
    // SAFETY: the calls get numbers, and the address of what outlives the call.
    unsafe {
        libc::prctl(PR_SET_PDEATHSIG, SIGKILL);
        let error = match libc::unshare(CLONE_NEWUSER) {
            0 => 0,
            _ => *libc::__errno_location(),
        };
        libc::write(tells, (&raw const error).cast(), size_of::<c_int>());
        loop {
            libc::pause();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_knows_the_users_and_no_other() {
        let users = Users { first: 5000, count: 10 };
        let namespace = make(users).unwrap();
        let inside = |command: &str| {
            let entered = format!("nsenter --user=/proc/self/fd/0 --preserve-credentials {command}");
            let output = std::process::Command::new("sh")
                .args(["-c", &entered])
                .stdin(namespace.try_clone().unwrap())
                .output()
                .unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        for map in ["uid_map", "gid_map"] {
            let map = inside(&format!("cat /proc/self/{map}"));
            let words: Vec<&str> = map.split_whitespace().collect();
            assert_eq!(words, ["5000", "5000", "10"]);
        }
        // Root is nobody there.
        assert_eq!(inside("id -u").trim(), "65534");
    }
}
