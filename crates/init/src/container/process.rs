//! What the process of a container does between its fork and its program.
//!
//! It makes everything ready that does not depend on the container, and waits for its [`Order`]. Then it prepares itself, says so, and waits to
//! be released.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use protocol::frame;
use protocol::guest::Container;
use protocol::usual;
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, read, write};
use rustix::thread::CapabilitySet;

use super::report::{Order, RELEASE, Report};
use super::stage::Stage;
use super::streams::Ends;
use super::user::Databases;
use super::{
    ContainerError, layer, limits, mounts, privileges, program, report, stage, standard, surroundings, sysctls,
};
use crate::disks;
use crate::failure::{Attempt, StepError, sentence};
use crate::frames::Frames;
use crate::sys::{self, doorbell};
use crate::warm;
use program::{Program, Refusal};
use protocol::vmm::standing;

/// The longest message that is reported, in bytes: what it quotes may be as long as a frame, and must fit into one.
const MESSAGE_LEN_MAX: usize = 4096;

/// What a process is born with.
#[derive(Debug)]
pub struct Birth {
    /// The number by which its layer is called.
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
    /// Where the layer is on the standing scratch disk: whether it was made for this process.
    layer: Option<bool>,
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
    refuse(&socket, refusal)
}

/// Says why the program does not run, and ends.
pub fn refuse(socket: impl AsFd, refusal: Refusal) -> ! {
    let Refusal { reason, mut message } = refusal;
    message.truncate(message.floor_char_boundary(MESSAGE_LEN_MAX));
    tell(socket, &Report::Refused { reason, message });
    sys::process::exit_now(1);
}

/// The refusal of whatever fails before the program.
pub fn other(error: &ContainerError) -> Refusal {
    Refusal::other(sentence(error))
}

/// Reports. Where nobody listens there is nobody else to tell: the end of this process tells all.
pub fn tell(socket: impl AsFd, report: &Report) {
    if let Ok(bytes) = frame::encode(report) {
        let _ = write(socket, &bytes);
    }
}

/// Waits for the order; nothing where none will come.
fn receive(socket: &OwnedFd, orders: &mut Frames<Order<'static>>) -> Option<Order<'static>> {
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
    standard::become_standard(None, Some(&stdout), Some(&stderr))?;
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
    let layer = if prepares_layer {
        Some(layer::prepare(&layer_of(number, Some(standing::SCRATCH)))?)
    } else {
        None
    };
    rustix::process::setsid().attempting(|| "begin a session")?;
    standard::become_standard(Some(&standard::open("/dev/null")?), None, None)?;
    sys::signal::reset().attempting(|| "reset the signals")?;
    warm::touch_stack();
    Ok(Readiness {
        stage,
        stdin,
        number,
        bounding,
        layer,
    })
}

/// Where the layer of the process with this number is.
fn layer_of(number: u32, scratch_slot: Option<u8>) -> PathBuf {
    let disk = scratch_slot.map_or_else(|| disks::memory(number), disks::place);
    disk.join(number.to_string())
}

/// Everything up to the program, in the order in which one step needs the other.
fn prepare(order: Order<'static>, readiness: Readiness) -> Result<Program, ContainerError> {
    let Order {
        container,
        place,
        terminal,
    } = order;
    let container = container.into_owned();
    let Readiness {
        stage,
        stdin,
        number,
        bounding,
        layer,
    } = readiness;
    let kept = privileges::parse_capabilities(&container.capabilities)?;
    privileges::forgo(bounding.difference(kept))?;
    let hostname = &place.hostname;
    rustix::system::sethostname(hostname.as_bytes()).attempting(|| format!("set the host name {hostname}"))?;
    let image = disks::place(container.rootfs_slot);
    let path = layer_of(number, container.scratch_slot);
    let is_new = match layer {
        Some(is_new) if container.scratch_slot == Some(standing::SCRATCH) => is_new,
        _ => layer::prepare(&path)?,
    };
    if is_new {
        layer::adapt(&path, &image)?;
    }
    let sources = mounts::open(&container.mounts, &place.volumes)?;
    stage.enter(&image, &path, &place, &container)?;
    mounts::attach(&container.mounts, sources)?;
    if let Some(bytes) = container.shared_memory_bytes {
        mounts::resize_shared_memory(bytes)?;
    }
    let identity = Databases::read()?.resolve(&container.user)?;
    let stdin = container.stdin.then_some(&stdin);
    standard::take(terminal, stdin, &identity)?;
    sysctls::write_in_container(&place.sysctls)?;
    adjust_paths(&container)?;
    surroundings::enter_working_directory(&container.working_directory)?;
    if container.read_only {
        mounts::make_root_read_only()?;
    }
    limits::set(&container.ulimits)?;
    privileges::reduce(&identity, kept, container.no_new_privileges)?;
    let environment = surroundings::with_home(container.env, &identity.home);
    Ok(Program::new(&container.argv, &environment)?.led(container.has_init_process))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

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
        assert_eq!(layer_of(7, None), Path::new("/disks/memory-7/7"));
    }
}
