//! What the process of a container does between its fork and its program.
//!
//! It makes everything ready that does not depend on the container, and waits for its [`Order`]. Then it prepares itself, says so, and waits to
//! be released.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use protocol::frame;
use protocol::guest::{Container, StartFailure};
use protocol::usual;
use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags, fchown};
use rustix::io::{Errno, read, write};
use rustix::mount::{MountFlags, mount};
use rustix::process::{Gid, Uid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stderr, stdout};
use rustix::thread::CapabilitySet;

use super::report::{Order, RELEASE, Report};
use super::stage::Stage;
use super::streams::Ends;
use super::user::{Databases, Identity};
use super::{ContainerError, layer, privileges, program, report, stage};
use crate::disks;
use crate::failure::{Attempt, StepError, sentence};
use crate::frames::Frames;
use crate::sys::{self, doorbell};
use crate::warm;
use program::{Program, Refusal};
use protocol::vmm::standing;

/// The longest message that is reported, in bytes: what it quotes may be as long as a frame, and must fit into one.
const MESSAGE_LEN_MAX: usize = 4096;

/// Where the writable layer is when it is in memory.
const MEMORY: &str = "/memory";

/// What a process is born with.
#[derive(Debug)]
pub struct Birth {
    /// Its number, by which its layer is called.
    pub number: u32,
    /// The capabilities that it can ever have.
    pub bounding: CapabilitySet,
    /// Whether its layer is to be made on the standing scratch disk in advance.
    pub prepares_layer: bool,
    /// Its ends of its streams.
    pub ends: Ends,
    /// Where it reports, and gets its order and its release.
    pub socket: OwnedFd,
}

/// What is ready when the order comes.
#[derive(Debug)]
struct Readiness {
    stage: Stage,
    stdin: OwnedFd,
    number: u32,
    bounding: CapabilitySet,
    has_layer: bool,
}

/// Makes ready, waits, prepares, waits, executes. Never returns into the guest agent's code, of which this process is a copy.
pub fn run(birth: Birth) -> ! {
    let Birth {
        number,
        bounding,
        prepares_layer,
        ends,
        socket,
    } = birth;
    let refusal = match make_ready(number, bounding, prepares_layer, ends, &socket) {
        Ok(readiness) => {
            let mut orders = Frames::default();
            let _ = warm::rehearse(&mut orders, &report::sample());
            tell(&socket, &Report::Ready);
            let Some(order) = receive(&socket, &mut orders) else {
                // No container was for this process, or the guest agent is gone.
                sys::process::exit_now(1)
            };
            match prepare(order, readiness) {
                Ok(program) => {
                    tell(&socket, &Report::Prepared);
                    if !is_released(&socket) {
                        sys::process::exit_now(1);
                    }
                    program.execute()
                }
                Err(error) => other(&error),
            }
        }
        Err(error) => other(&error.into()),
    };
    let Refusal { reason, mut message } = refusal;
    message.truncate(message.floor_char_boundary(MESSAGE_LEN_MAX));
    tell(&socket, &Report::Refused { reason, message });
    sys::process::exit_now(1);
}

/// The refusal of whatever fails before the program.
fn other(error: &ContainerError) -> Refusal {
    Refusal {
        reason: StartFailure::Other,
        message: sentence(error),
    }
}

/// Reports. Where nobody listens there is nobody else to tell: the end of this process tells all.
fn tell(socket: &OwnedFd, report: &Report) {
    if let Ok(bytes) = frame::encode(report) {
        let _ = write(socket, &bytes);
    }
}

/// Waits for the order; nothing where none will come.
fn receive(socket: &OwnedFd, orders: &mut Frames<Order>) -> Option<Order> {
    loop {
        match read(socket, spare_capacity(orders.room())) {
            Ok(0) => return None,
            Ok(_) => {
                if let Some(order) = orders.take().ok()? {
                    return Some(order);
                }
            }
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

/// Waits for the release; `false` where there is nobody any more to give it.
fn is_released(socket: &OwnedFd) -> bool {
    let mut byte = [0];
    loop {
        match read(socket, &mut byte) {
            Err(Errno::INTR) => {}
            result => return result == Ok(1) && byte == [RELEASE],
        }
    }
}

/// Everything that does not depend on the container.
fn make_ready(
    number: u32,
    bounding: CapabilitySet,
    prepares_layer: bool,
    ends: Ends,
    socket: &OwnedFd,
) -> Result<Readiness, StepError> {
    let Ends {
        terminals,
        stdin,
        stdout,
        stderr,
    } = ends;
    become_standard(None, Some(&stdout), Some(&stderr))?;
    drop((stdout, stderr));
    let kept = [terminals.as_raw_fd(), stdin.as_raw_fd(), socket.as_raw_fd()];
    sys::process::close_all_but(&kept).attempting(|| "close descriptors")?;
    doorbell::renounce().attempting(|| "give up the doorbell")?;
    // The process is in its cgroup only since it exists, so this namespace could not come with the others.
    sys::process::unshare_cgroup().attempting(|| "make a cgroup namespace")?;
    privileges::set_limits()?;
    privileges::forgo(CapabilitySet::all().difference(bounding))?;
    let stage = Stage::build(terminals)?;
    usual::READ_ONLY_PATHS
        .iter()
        .try_for_each(|path| stage::make_read_only(path))?;
    usual::MASKED_PATHS.iter().try_for_each(|path| stage::mask(path))?;
    if prepares_layer {
        layer::prepare(&layer_of(number, Some(standing::SCRATCH)))?;
    }
    rustix::process::setsid().attempting(|| "begin a session")?;
    become_standard(Some(&open("/dev/null")?), None, None)?;
    sys::signal::reset().attempting(|| "reset the signals")?;
    warm::touch_stack();
    Ok(Readiness {
        stage,
        stdin,
        number,
        bounding,
        has_layer: prepares_layer,
    })
}

/// Where the layer of the process with this number is.
fn layer_of(number: u32, scratch_slot: Option<u8>) -> PathBuf {
    let disk = scratch_slot.map_or_else(|| MEMORY.into(), disks::place);
    disk.join(number.to_string())
}

/// Everything up to the program, in the order in which one step needs the other.
fn prepare(order: Order, readiness: Readiness) -> Result<Program, ContainerError> {
    let Order {
        container,
        hostname,
        terminal,
    } = order;
    let Readiness {
        stage,
        stdin,
        number,
        bounding,
        has_layer,
    } = readiness;
    let kept = privileges::parse_capabilities(&container.capabilities)?;
    privileges::forgo(bounding.difference(kept))?;
    rustix::system::sethostname(hostname.as_bytes()).attempting(|| format!("set the host name {hostname}"))?;
    let image = disks::place(container.rootfs_slot);
    let layer = layer_of(number, container.scratch_slot);
    if container.scratch_slot.is_none() {
        fs::create_dir(MEMORY).attempting(|| format!("create {MEMORY}"))?;
        mount("tmpfs", MEMORY, "tmpfs", MountFlags::empty(), None).attempting(|| format!("mount tmpfs at {MEMORY}"))?;
    }
    if (has_layer && container.scratch_slot == Some(standing::SCRATCH)) || layer::prepare(&layer)? {
        layer::adapt(&layer, &image)?;
    }
    stage.enter(&image, &layer, &hostname)?;
    let identity = Databases::read()?.resolve(&container.user)?;
    take_streams(&container, terminal, stdin, &identity)?;
    adjust_paths(&container)?;
    enter_working_directory(&container.working_directory)?;
    privileges::reduce(&identity, kept, container.no_new_privileges)?;
    Ok(Program::new(
        &container.argv,
        &with_home(container.env, &identity.home),
    )?)
}

/// Hides and protects what is to be hidden and protected, where it differs from what is so already.
fn adjust_paths(container: &Container) -> Result<(), StepError> {
    let Container {
        read_only_paths,
        masked_paths,
        ..
    } = container;
    for path in missing(&usual::READ_ONLY_PATHS, read_only_paths).chain(missing(&usual::MASKED_PATHS, masked_paths)) {
        stage::restore(path)?;
    }
    missing(read_only_paths, &usual::READ_ONLY_PATHS).try_for_each(stage::make_read_only)?;
    missing(masked_paths, &usual::MASKED_PATHS).try_for_each(stage::mask)
}

/// What is in `these` and not in `those`.
fn missing<'a>(these: &'a [impl AsRef<str>], those: &'a [impl AsRef<str>]) -> impl Iterator<Item = &'a str> {
    let these = these.iter().map(AsRef::as_ref);
    these.filter(move |this| !those.iter().any(|that| that.as_ref() == *this))
}

/// Takes the terminal as the session's, where there is one, or standard input, and makes the user the owner of the streams, without which
/// `/dev/stdout` and its like could not be opened.
fn take_streams(
    container: &Container,
    terminal: Option<String>,
    input: OwnedFd,
    identity: &Identity,
) -> Result<(), StepError> {
    if let Some(path) = terminal {
        stage::bind_console(Path::new(&path))?;
        let terminal = open(&path)?;
        rustix::process::ioctl_tiocsctty(&terminal).attempting(|| "take the terminal")?;
        // Its group stays that of all terminals.
        give(&terminal, identity, None)?;
        return become_standard(Some(&terminal), Some(&terminal), Some(&terminal));
    }
    if container.stdin {
        give(&input, identity, Some(identity.gid))?;
        become_standard(Some(&input), None, None)?;
    }
    give(stdout(), identity, Some(identity.gid))?;
    give(stderr(), identity, Some(identity.gid))
}

/// Makes the user the owner of a stream, which is root's.
fn give(stream: impl AsFd, identity: &Identity, group: Option<u32>) -> Result<(), StepError> {
    if identity.uid == 0 && group.unwrap_or(0) == 0 {
        return Ok(());
    }
    fchown(stream, Some(Uid::from_raw(identity.uid)), group.map(Gid::from_raw))
        .attempting(|| "give a stream to the user")
}

/// Puts streams at descriptors 0, 1 and 2.
fn become_standard(
    input: Option<&OwnedFd>,
    output: Option<&OwnedFd>,
    errors: Option<&OwnedFd>,
) -> Result<(), StepError> {
    let moved = input
        .map_or(Ok(()), dup2_stdin)
        .and_then(|()| output.map_or(Ok(()), dup2_stdout))
        .and_then(|()| errors.map_or(Ok(()), dup2_stderr));
    moved.attempting(|| "set the standard streams")
}

fn open(path: &str) -> Result<OwnedFd, StepError> {
    let opened = rustix::fs::open(path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty());
    opened.attempting(|| format!("open {path}"))
}

/// Enters the working directory, which is made where it is missing. This process is in the root directory.
fn enter_working_directory(path: &str) -> Result<(), StepError> {
    let path = Path::new("/").join(path);
    if path == Path::new("/") {
        return Ok(());
    }
    if std::env::set_current_dir(&path).is_ok() {
        return Ok(());
    }
    match fs::create_dir_all(&path) {
        // Something else is there: entering it gives the better reason.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other.attempting(|| format!("create the working directory {}", path.display()))?,
    }
    std::env::set_current_dir(&path).attempting(|| format!("enter the working directory {}", path.display()))
}

/// The environment with `HOME` in it.
fn with_home(mut environment: Vec<String>, home: &str) -> Vec<String> {
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
        let environment = vec!["HOMEPAGE=x".to_owned()];
        assert_eq!(with_home(environment, "/root"), ["HOMEPAGE=x", "HOME=/root"]);
        let environment = vec!["HOME=/h".to_owned()];
        assert_eq!(with_home(environment.clone(), "/root"), environment);
    }

    #[test]
    fn what_differs_from_the_usual_is_told_apart() {
        let asked = ["/proc/keys".to_owned(), "/mine".to_owned()];
        assert_eq!(missing(&asked, &usual::MASKED_PATHS).collect::<Vec<_>>(), ["/mine"]);
        let rest = missing(&usual::MASKED_PATHS, &asked).count();
        assert_eq!(rest, usual::MASKED_PATHS.len() - 1);
    }

    #[test]
    fn a_layer_is_on_its_disk_or_in_memory() {
        assert_eq!(layer_of(7, Some(3)), Path::new("/disks/3/7"));
        assert_eq!(layer_of(7, None), Path::new("/memory/7"));
    }
}
