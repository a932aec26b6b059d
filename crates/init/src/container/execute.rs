//! A further process in a container that runs: it joins the container's namespaces and cgroup, and is held to what the container is held to.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use protocol::guest::{self, Execute};
use rustix::io::ioctl_fionbio;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer};
use rustix::thread::{CapabilitySet, ThreadNameSpaceType, move_into_thread_name_spaces};

use super::program::{Program, Refusal};
use super::state::State;
use super::streams::{Connections, pipe};
use super::user::Databases;
use super::{Container, ContainerError, Process, limits, privileges, process, standard, surroundings};
use crate::failure::{Attempt, StepError, sentence};
use crate::frames::Frames;
use crate::sys::doorbell;
use crate::sys::process::{Fork, close_all_but, fork_beside};
use crate::sys::signal;

/// The process's ends of its streams.
enum Ends {
    Pipes {
        stdin: Option<OwnedFd>,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    Terminal(OwnedFd),
}

/// Forks the process into `container`, whose own process is `leader`.
///
/// # Errors
/// The first step that failed. What fails in the process itself, it reports.
pub fn begin(execute: Execute, container: &Container, leader: Pid, index: usize) -> Result<Process, ContainerError> {
    let leader = pidfd_open(leader, PidfdFlags::empty()).attempting(|| "find the container's process")?;
    let (connections, ends) = streams(&execute, container)?;
    let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let (here, there) = pair.attempting(|| "make a pair of sockets")?;
    let memory_kills = container.cgroup.memory_kills();
    let number = execute.process;
    match fork_beside(leader.as_fd(), container.cgroup.as_fd()).attempting(|| "fork a process")? {
        Fork::Child => run(execute, &container.description, &leader, ends, &there),
        Fork::Parent(process) => Ok(Process {
            number,
            container: index,
            is_executed: true,
            // Nobody has to release it.
            state: State::Released,
            process: Some(process),
            socket: Some(here),
            reports: Frames::default(),
            connections,
            memory_kills,
        }),
    }
}

fn streams(execute: &Execute, container: &Container) -> Result<(Connections, Ends), StepError> {
    if let Some(size) = execute.terminal {
        let mut connections = Connections::of_terminal(&container.terminals, execute.stdin, size)?;
        connections.terminal_path = None;
        let master = connections.terminal.as_ref();
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let terminal = master.map(|master| ioctl_tiocgptpeer(master, flags));
        let missing = Err(rustix::io::Errno::NODEV);
        let terminal = terminal.unwrap_or(missing).attempting(|| "open a terminal")?;
        return Ok((connections, Ends::Terminal(terminal)));
    }
    let (stdout, stdout_there) = pipe()?;
    let (stderr, stderr_there) = pipe()?;
    let (stdin_there, stdin) = match execute.stdin {
        true => pipe().map(|(there, here)| (Some(there), Some(here)))?,
        false => (None, None),
    };
    for end in [Some(&stdout), Some(&stderr), stdin.as_ref()].into_iter().flatten() {
        ioctl_fionbio(end, true).attempting(|| "make a pipe not block")?;
    }
    let ends = Ends::Pipes {
        stdin: stdin_there,
        stdout: stdout_there,
        stderr: stderr_there,
    };
    Ok((Connections::of_pipes(stdout, stderr, stdin), ends))
}

/// Joins, and executes the program. Never returns into the guest agent's code, of which this process is a copy.
fn run(execute: Execute, container: &guest::Container, leader: &OwnedFd, ends: Ends, socket: &OwnedFd) -> ! {
    let refusal = match prepare(execute, container, leader, ends, socket) {
        Ok(program) => program.execute(),
        Err(error) => Refusal::other(sentence(&error)),
    };
    process::refuse(socket, refusal)
}

fn prepare(
    execute: Execute,
    container: &guest::Container,
    leader: &OwnedFd,
    ends: Ends,
    socket: &OwnedFd,
) -> Result<Program, ContainerError> {
    let kept = privileges::parse_capabilities(&container.capabilities)?;
    // Opened before the container could have put something else there.
    let nothing = standard::open("/dev/null")?;
    let joined = ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::CONTROL_GROUP;
    move_into_thread_name_spaces(leader.as_fd(), joined).attempting(|| "join the container's namespaces")?;
    doorbell::renounce().attempting(|| "give up the doorbell")?;
    privileges::set_limits()?;
    privileges::forgo(CapabilitySet::all().difference(kept))?;
    rustix::process::setsid().attempting(|| "begin a session")?;
    signal::reset().attempting(|| "reset the signals")?;
    let user = execute.user.as_deref().unwrap_or(&container.user);
    let identity = Databases::read()?.resolve(user)?;
    match ends {
        Ends::Terminal(terminal) => standard::take_terminal(&terminal, &identity)?,
        Ends::Pipes { stdin, stdout, stderr } => {
            standard::become_standard(Some(&nothing), Some(&stdout), Some(&stderr))?;
            standard::take(None, stdin.as_ref(), &identity)?;
        }
    }
    close_all_but(&[socket.as_raw_fd()]).attempting(|| "close descriptors")?;
    let directory = execute.working_directory.as_ref();
    surroundings::enter_working_directory(directory.unwrap_or(&container.working_directory))?;
    limits::set(&container.ulimits)?;
    privileges::reduce(&identity, kept, container.no_new_privileges)?;
    let environment = surroundings::overlaid(container.env.clone(), execute.env);
    let environment = surroundings::with_home(environment, &identity.home);
    Ok(Program::new(&execute.argv, &environment)?)
}
