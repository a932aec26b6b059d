//! A container: from its description to its process, and what is known of it until it has ended.
//!
//! In the order of its life: [`cgroup`], [`rootfs`], [`devices`], [`streams`], then in the new process [`process`], which uses
//! [`mounts`], [`names`], [`user`], [`privileges`] and [`program`]. [`state`] decides what each event means.

pub mod cgroup;
pub mod devices;
pub mod mounts;
pub mod names;
pub mod privileges;
pub mod process;
pub mod program;
pub mod rootfs;
pub mod state;
pub mod streams;
pub mod user;

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use protocol::guest::{self, ToHost};
use rustix::process::Pid;

use crate::failure::{Attempt, StepError};
use crate::frames::Frames;
use crate::mount::Mounted;
use crate::sys::process::{Fork, fork_container};
use cgroup::Cgroup;
use process::Inheritance;
use state::State;
use streams::Carried;

/// The longest name of a container, in bytes.
const NAME_LEN_MAX: usize = 255;

/// Why a container could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// Its name cannot be the name of a cgroup.
    #[error("{0:?} cannot be the name of a container")]
    Name(String),
    /// Its root file system.
    #[error(transparent)]
    Rootfs(#[from] rootfs::RootfsError),
    /// Its user.
    #[error(transparent)]
    User(#[from] user::UserError),
    /// Its capabilities.
    #[error(transparent)]
    Capability(#[from] privileges::UnknownCapability),
    /// Its program.
    #[error(transparent)]
    Program(#[from] program::ProgramError),
    /// A call to the kernel.
    #[error(transparent)]
    Step(#[from] StepError),
}

/// A container whose process was forked.
#[derive(Debug)]
pub struct Container {
    /// The name by which the host calls it.
    pub name: String,
    /// What it is at.
    pub state: State,
    /// Its first process, until it was reaped.
    pub process: Option<Pid>,
    /// Where its process reports, until the report's end.
    pub report: Option<File>,
    /// What its process reports, taken apart into messages.
    pub reported: Frames<ToHost>,
    /// The streams that are not carried yet.
    pub carried: Carried,
    /// Its cgroup.
    pub cgroup: Cgroup,
    release: Option<OwnedFd>,
}

impl Container {
    /// Mounts, limits, connects and forks: the process then prepares itself and reports. `directory` is for its mount points.
    ///
    /// # Errors
    /// [`ContainerError`]; nothing of the container runs then, while its mounts stay in `mounted`.
    pub fn start(
        description: &guest::Container,
        hostname: &str,
        directory: &Path,
        mounted: &mut Mounted,
    ) -> Result<Self, ContainerError> {
        let name = &description.name;
        if !is_name(name) {
            return Err(ContainerError::Name(name.clone()));
        }
        let guest::Container {
            rootfs_slot,
            scratch_slot,
            memory_bytes_max,
            pids_max,
            ..
        } = *description;
        // First, since it refuses a name that another container has before anything of that one is touched.
        let cgroup = Cgroup::create(Path::new(crate::guest::CGROUP_ROOT), name, memory_bytes_max, pids_max)?;
        let root = rootfs::mount(directory, name, rootfs_slot, scratch_slot, mounted)?;
        devices::restrict(cgroup.as_fd()).attempting(|| "restrict the devices")?;
        let (carried, given) = streams::connect(name, description.stdin, description.terminal)?;
        let (report, report_here) = streams::new_pipe()?;
        let (release_there, release) = streams::new_pipe()?;
        let inheritance = Inheritance {
            root,
            hostname: hostname.to_owned(),
            given,
            report: report_here,
            release: release_there,
        };
        match fork_container(cgroup.as_fd()).attempting(|| "fork a process")? {
            Fork::Child => process::run(description, inheritance),
            Fork::Parent(process) => Ok(Self {
                name: name.clone(),
                state: State::Preparing,
                process: Some(process),
                report: Some(File::from(report)),
                reported: Frames::default(),
                carried,
                cgroup,
                release: Some(release),
            }),
        }
    }

    /// Lets the process execute its program.
    ///
    /// # Errors
    /// The pipe's: the process is dead, which its end will tell too.
    pub fn let_go(&mut self) -> std::io::Result<()> {
        match self.release.take() {
            Some(release) => File::from(release).write_all(&[1]),
            None => Ok(()),
        }
    }
}

/// Whether this is `[A-Za-z0-9_.-]{1,255}` and no path of its own.
fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=NAME_LEN_MAX).contains(&name.len()) && name.bytes().all(is_allowed) && !matches!(name, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_component_of_a_path() {
        for name in ["web", "a.b-c_D9", &"x".repeat(NAME_LEN_MAX)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a b", "ä", &"x".repeat(NAME_LEN_MAX + 1)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
