//! What the new process of a container does between its fork and its program.
//!
//! It tells the guest agent about itself through the report pipe, in the host's own messages, and waits at the release pipe.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use protocol::frame;
use protocol::guest::{Container, StartFailure, ToHost};
use rustix::fs::{Mode, OFlags, fchown};
use rustix::process::{Gid, Uid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::ContainerError;
use super::streams::{Given, Standard};
use super::user::{Databases, Identity};
use super::{mounts, names, privileges, program};
use crate::failure::{Attempt, StepError, sentence};
use crate::sys;
use program::{Program, Refusal};

/// The longest message that is reported, in bytes: what it quotes may be as long as a frame, and must fit into one.
const MESSAGE_LEN_MAX: usize = 4096;

/// What the process needs beside the description of its container.
#[derive(Debug)]
pub struct Inheritance {
    /// Its root, as mounted by the guest agent.
    pub root: PathBuf,
    /// The name of the microVM.
    pub hostname: String,
    /// Its ends of its streams.
    pub given: Given,
    /// Where it reports.
    pub report: OwnedFd,
    /// Where it waits to be released.
    pub release: OwnedFd,
}

/// Prepares, reports, waits, executes. Never returns into the guest agent's code, of which this process is a copy.
pub fn run(container: &Container, inheritance: Inheritance) -> ! {
    let Inheritance {
        root,
        hostname,
        given,
        report,
        release,
    } = inheritance;
    let mut report = File::from(report);
    let kept = descriptors(&given, &report, &release);
    let refusal = match sys::process::close_all_but(&kept)
        .attempting(|| "close descriptors")
        .map_err(ContainerError::from)
        .and_then(|()| prepare(container, &root, &hostname, given))
    {
        Ok(program) => {
            let prepared = ToHost::Prepared {
                container: container.name.clone(),
            };
            if frame::write(&mut report, &prepared).is_err() || !is_released(release) {
                // The guest agent is gone, and with it everybody who could be told.
                sys::process::exit_now(1);
            }
            program.execute()
        }
        Err(error) => Refusal {
            reason: StartFailure::Other,
            message: sentence(&error),
        },
    };
    let Refusal { reason, mut message } = refusal;
    message.truncate(message.floor_char_boundary(MESSAGE_LEN_MAX));
    let failed = ToHost::StartFailed {
        container: container.name.clone(),
        reason,
        message,
    };
    // There is nobody else to tell.
    let _ = frame::write(&mut report, &failed).map(|()| report.flush());
    sys::process::exit_now(1);
}

/// The descriptors that this process uses before its program.
fn descriptors(given: &Given, report: &File, release: &OwnedFd) -> Vec<RawFd> {
    let mut kept = vec![given.terminals.as_raw_fd(), report.as_raw_fd(), release.as_raw_fd()];
    if let Standard::Pipes { stdin, stdout, stderr } = &given.standard {
        kept.extend(stdin.iter().chain([stdout, stderr]).map(AsRawFd::as_raw_fd));
    }
    kept
}

/// Waits for the release; `false` where there is nobody any more to give it.
fn is_released(release: OwnedFd) -> bool {
    matches!(File::from(release).read(&mut [0; 1]), Ok(1))
}

/// Everything up to the program, in the order in which one step needs the other.
fn prepare(container: &Container, root: &Path, hostname: &str, given: Given) -> Result<Program, ContainerError> {
    let kept = privileges::parse_capabilities(&container.capabilities)?;
    privileges::set_limits()?;
    // The process is in its cgroup only since it exists, so this namespace could not come with the others.
    sys::process::unshare_cgroup().attempting(|| "make a cgroup namespace")?;
    rustix::system::sethostname(hostname.as_bytes()).attempting(|| format!("set the host name {hostname}"))?;
    mounts::enter(root)?;
    mounts::set_up(given.terminals)?;
    names::write(hostname)?;
    let identity = Databases::read()?.resolve(&container.user)?;
    take_streams(given.standard, &identity)?;
    container
        .read_only_paths
        .iter()
        .try_for_each(|path| mounts::make_read_only(path))?;
    container.masked_paths.iter().try_for_each(|path| mounts::mask(path))?;
    enter_working_directory(&container.working_directory)?;
    privileges::reduce(&identity, kept, container.no_new_privileges)?;
    let program = Program::new(&container.argv, &with_home(&container.env, &identity.home))?;
    sys::signal::reset().attempting(|| "reset the signals")?;
    Ok(program)
}

/// Begins a session, with the terminal as its controlling one where there is one, and makes the streams the standard ones.
fn take_streams(standard: Standard, identity: &Identity) -> Result<(), StepError> {
    rustix::process::setsid().attempting(|| "begin a session")?;
    let open = |path: &Path| {
        let opened = rustix::fs::open(path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty());
        opened.attempting(|| format!("open {}", path.display()))
    };
    match standard {
        Standard::Terminal(path) => {
            mounts::bind_console(&path)?;
            let terminal = open(&path)?;
            rustix::process::ioctl_tiocsctty(&terminal).attempting(|| "take the terminal")?;
            give(&terminal, identity, None)?;
            become_standard(&terminal, &terminal, &terminal)
        }
        Standard::Pipes { stdin, stdout, stderr } => {
            for pipe in stdin.iter().chain([&stdout, &stderr]) {
                give(pipe, identity, Some(identity.gid))?;
            }
            let stdin = stdin.map_or_else(|| open(Path::new("/dev/null")), Ok)?;
            become_standard(&stdin, &stdout, &stderr)
        }
    }
}

/// Makes the user the owner of a stream, without which `/dev/stdout` and its like could not be opened.
fn give(stream: &OwnedFd, identity: &Identity, group: Option<u32>) -> Result<(), StepError> {
    fchown(stream, Some(Uid::from_raw(identity.uid)), group.map(Gid::from_raw))
        .attempting(|| "give a stream to the user")
}

/// Puts the streams at descriptors 0, 1 and 2.
fn become_standard(stdin: impl AsFd, stdout: impl AsFd, stderr: impl AsFd) -> Result<(), StepError> {
    let moved = dup2_stdin(stdin)
        .and_then(|()| dup2_stdout(stdout))
        .and_then(|()| dup2_stderr(stderr));
    moved.attempting(|| "set the standard streams")
}

/// Enters the working directory, which is made where it is missing.
fn enter_working_directory(path: &str) -> Result<(), StepError> {
    let path = Path::new("/").join(path);
    match fs::create_dir_all(&path) {
        // Something else is there: entering it gives the better reason.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other.attempting(|| format!("create the working directory {}", path.display()))?,
    }
    std::env::set_current_dir(&path).attempting(|| format!("enter the working directory {}", path.display()))
}

/// The environment with `HOME` in it.
fn with_home(environment: &[String], home: &str) -> Vec<String> {
    let mut environment = environment.to_vec();
    if program::variable(&environment, "HOME").is_none() {
        environment.push(format!("HOME={home}"));
    }
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_is_added_only_where_it_is_missing() {
        let environment = ["HOMEPAGE=x".to_owned()];
        assert_eq!(with_home(&environment, "/root"), ["HOMEPAGE=x", "HOME=/root"]);
        let environment = ["HOME=/h".to_owned()];
        assert_eq!(with_home(&environment, "/root"), environment);
    }
}
