//! What exactly runs: an image's configuration and a container's plan, merged as Docker merges them.
//!
//! Everything is resolved here, so that the guest agent decides nothing: [`resolve`] is a pure function of both. [`check`] refuses what no image could
//! make right, before the task is accepted.

mod check;
mod defaults;
mod environment;
mod limits;
mod signal;
#[cfg(test)]
mod tests;

use api::error::{ApiError, ErrorCode};
use protocol::guest::{Container, Mount, MountSource, TerminalSize, Ulimit};
use protocol::usual;
use protocol::vmm::{PMEM_WINDOW_BYTES, SLOTS, standing};

use crate::images::{ImageConfig, RunnableImage};
use crate::names;
use crate::record::{ContainerPlan, MountPlan, Plan};
use crate::sizing::{self, Sizing};

pub use check::check;
pub use signal::{SIGTERM, parse as parse_signal};

/// The name of the only container of a task that was not made from a definition.
pub const CONTAINER: &str = "main";

/// Room that the bootstrap message needs beside the containers, in bytes of its JSON: entropy, clock, network and member names.
const START_REST_LEN: usize = 4096;

/// A container, and how it is asked to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The container.
    pub container: Container,
    /// The number of the signal that asks its process to end.
    pub stop_signal: u8,
}

/// What a container runs, as far as its plan does not say it.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The image's configuration.
    pub config: &'a ImageConfig,
    /// The slot of its rootfs snapshot.
    pub rootfs_slot: u8,
    /// The slot of the disk that its writable layer is on.
    pub scratch_slot: u8,
    /// The number of its first process.
    pub process: u32,
    /// The microVM's host name.
    pub hostname: &'a str,
    /// `NAME=value` of what is kept apart, and of what the host adds.
    pub secrets: &'a [String],
    /// The volumes that are directories of the host, and their slots.
    pub directories: &'a [(String, u8)],
    /// How big the task is.
    pub sizing: &'a Sizing,
    /// How many containers it has.
    pub containers: usize,
}

/// Merges `plan` into what is `given`.
///
/// # Errors
/// [`ErrorCode::InvalidParameter`] for what cannot be run, [`ErrorCode::InvalidImage`] where the image is to blame.
pub fn resolve(plan: &ContainerPlan, given: &Given<'_>) -> Result<Spec, ApiError> {
    let config = given.config;
    let env = [plan.env.as_slice(), given.secrets].concat();
    let own_memory_bytes = plan.memory_mib.map(|mib| u64::from(mib) << 20);
    let memory_bytes = own_memory_bytes
        .unwrap_or(u64::MAX)
        .min(given.sizing.container_memory_bytes);
    let container = Container {
        name: plan.name.clone(),
        process: given.process,
        rootfs_slot: given.rootfs_slot,
        scratch_slot: Some(given.scratch_slot),
        argv: argv(plan, config)?,
        env: environment::merge(&config.env, &env, given.hostname, plan.terminal.is_some())?,
        working_directory: working_directory(plan, config)?,
        user: plan.user.clone().unwrap_or_else(|| config.user.clone()),
        terminal: plan.terminal.map(|(columns, rows)| TerminalSize { columns, rows }),
        stdin: plan.stdin,
        capabilities: limits::capabilities(&plan.capabilities_added, &plan.capabilities_dropped)?,
        no_new_privileges: plan.no_new_privileges,
        masked_paths: owned(&usual::MASKED_PATHS),
        read_only_paths: owned(&usual::READ_ONLY_PATHS),
        memory_bytes_max: Some(memory_bytes),
        pids_max: plan.pids_max.map(u64::from),
        memory_bytes_low: plan.memory_reservation_mib.map(|mib| u64::from(mib) << 20),
        // A share means something only against others.
        cpu_weight: (given.containers > 1).then(|| limits::cpu_weight(plan.cpu_units)),
        read_only: plan.is_read_only,
        has_init_process: plan.has_init_process,
        shared_memory_bytes: plan.shared_memory_mib.map(|mib| u64::from(mib) << 20),
        mounts: plan.mounts.iter().map(|plan| mount(plan, given.directories)).collect(),
        ulimits: plan.ulimits.iter().map(ulimit).collect(),
        hosts: plan.hosts.clone(),
    };
    check_texts(&container)?;
    let stop_signal = match config.stop_signal.as_str() {
        "" => signal::SIGTERM,
        name => signal::parse(name).ok_or_else(|| ApiError {
            code: ErrorCode::InvalidImage,
            message: format!("the image's stop signal {name:?} is unknown"),
        })?,
    };
    Ok(Spec { container, stop_signal })
}

/// Checks that the only container of `plan` can be resolved with `image`.
///
/// # Errors
/// As [`resolve`].
pub fn check_resolved(plan: &Plan, image: &RunnableImage) -> Result<(), ApiError> {
    let size = sizing::size(plan.vcpu_milli, plan.memory_mib).map_err(|error| refusal(error.to_string()))?;
    let given = Given {
        config: &image.config,
        rootfs_slot: standing::PMEM,
        scratch_slot: standing::SCRATCH,
        process: 0,
        hostname: "",
        secrets: &[],
        directories: &[],
        sizing: &size,
        containers: 1,
    };
    plan.containers
        .iter()
        .try_for_each(|container| resolve(container, &given).map(drop))
}

/// The microVM's host name: the plan's, or the task's short id.
#[must_use]
pub fn hostname(plan: &Plan, id: &str) -> String {
    plan.hostname.clone().unwrap_or_else(|| names::short(id).to_owned())
}

/// The slots of the containers' rootfs snapshots, by their sizes in bytes. The first that fits is mapped into the guest, which then shares the host's
/// page cache; all others are disks.
///
/// # Errors
/// [`ErrorCode::InvalidParameter`] where there are more than slots.
pub fn rootfs_slots(rootfs_bytes: &[u64]) -> Result<Vec<u8>, ApiError> {
    let mapped = rootfs_bytes.iter().position(|bytes| *bytes <= PMEM_WINDOW_BYTES);
    let slots = u8::try_from(SLOTS).unwrap_or(u8::MAX);
    let mut disks = std::iter::once(standing::DISK).chain(standing::FIRST_FREE..slots);
    let slot = |index: usize| {
        if mapped == Some(index) {
            Some(standing::PMEM)
        } else {
            disks.next()
        }
    };
    let slots: Option<Vec<u8>> = (0..rootfs_bytes.len()).map(slot).collect();
    slots.ok_or_else(|| refusal("a task has more containers than a microVM has slots for disks".to_owned()))
}

/// The slots of `count` directories of the host, or of other devices, beside those that are `taken`.
///
/// # Errors
/// [`ErrorCode::InvalidParameter`] where there are more than slots.
pub fn free_slots(taken: &[u8], count: usize) -> Result<Vec<u8>, ApiError> {
    let slots = u8::try_from(SLOTS).unwrap_or(u8::MAX);
    let free = (standing::FIRST_FREE..slots).filter(|slot| !taken.contains(slot));
    let free: Vec<u8> = free.take(count).collect();
    if free.len() < count {
        return Err(refusal(
            "a task has more containers, directories of the host and disks than a microVM has slots for".to_owned(),
        ));
    }
    Ok(free)
}

/// The entrypoint, then the command; another entrypoint takes the image's command away with it.
fn argv(plan: &ContainerPlan, config: &ImageConfig) -> Result<Vec<String>, ApiError> {
    let (entrypoint, default_command) = match &plan.entrypoint {
        Some(entrypoint) => (entrypoint, &[][..]),
        None => (&config.entrypoint, config.command.as_slice()),
    };
    let command = match plan.command.as_deref() {
        None | Some([]) => default_command,
        Some(command) => command,
    };
    let argv = [entrypoint.as_slice(), command].concat();
    match argv.first().map(String::as_str) {
        None => invalid("no command specified: the request names none and neither does the image".to_owned()),
        Some("") => invalid("the command's first word is empty, so there is no program to run".to_owned()),
        Some(_) => Ok(argv),
    }
}

fn working_directory(plan: &ContainerPlan, config: &ImageConfig) -> Result<String, ApiError> {
    match &plan.working_directory {
        Some(path) if path.starts_with('/') => Ok(path.clone()),
        Some(path) => invalid(format!("the working directory {path:?} is not an absolute path")),
        None if config.working_directory.starts_with('/') => Ok(config.working_directory.clone()),
        None => Ok(format!("/{}", config.working_directory)),
    }
}

fn mount(plan: &MountPlan, directories: &[(String, u8)]) -> Mount {
    match plan {
        MountPlan::Volume {
            volume,
            path,
            is_read_only,
        } => Mount {
            source: match directories.iter().find(|(name, _)| name == volume) {
                Some((_, slot)) => MountSource::Directory(*slot),
                None => MountSource::Volume(volume.clone()),
            },
            target: path.clone(),
            read_only: *is_read_only,
        },
        MountPlan::Tmpfs {
            path,
            size_mib,
            options,
        } => Mount {
            source: MountSource::Tmpfs {
                bytes: u64::from(*size_mib) << 20,
                options: options.clone(),
            },
            target: path.clone(),
            read_only: false,
        },
    }
}

fn ulimit((name, soft, hard): &(String, Option<u64>, Option<u64>)) -> Ulimit {
    Ulimit {
        name: name.clone(),
        soft: *soft,
        hard: *hard,
    }
}

/// What `execve` and the bootstrap message can carry.
fn check_texts(container: &Container) -> Result<(), ApiError> {
    let texts = [
        ("command", container.argv.as_slice()),
        ("environment", &container.env),
        ("working directory", std::slice::from_ref(&container.working_directory)),
        ("user", std::slice::from_ref(&container.user)),
    ];
    for (what, texts) in texts {
        if texts.iter().any(|text| text.contains('\0')) {
            return invalid(format!("the {what} holds a NUL character"));
        }
    }
    match protocol::frame::encode(container) {
        Ok(bytes) if bytes.len() + START_REST_LEN <= protocol::frame::FRAME_LEN_MAX as usize => Ok(()),
        _ => invalid(format!(
            "the command and the environment are too long: together they may have about {} KiB",
            protocol::frame::FRAME_LEN_MAX >> 10
        )),
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn refusal(message: String) -> ApiError {
    ApiError {
        code: ErrorCode::InvalidParameter,
        message,
    }
}

fn invalid<T>(message: String) -> Result<T, ApiError> {
    Err(refusal(message))
}
