//! What exactly runs: the image's configuration and the request, merged as Docker merges them.
//!
//! Everything is resolved here, so that the guest agent decides nothing: [`resolve`] is a pure function of both.

mod defaults;
mod environment;
mod signal;
#[cfg(test)]
mod tests;

use api::error::{ApiError, ErrorCode};
use api::task::RunRequest;
use protocol::guest::{Container, Start, TerminalSize};
use protocol::vmm::{PMEM_WINDOW_BYTES, standing};

use crate::images::ImageConfig;
use crate::names;
use crate::sizing::Sizing;

/// The name of a task's only container.
pub const CONTAINER: &str = "main";

/// The longest host name (Linux's `__NEW_UTS_LEN`).
const HOSTNAME_LEN_MAX: usize = 64;

/// Room that the bootstrap message needs beside the container, in bytes of its JSON: entropy, clock and member names.
const START_REST_LEN: usize = 1024;

/// What runs in a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The microVM's host name.
    pub hostname: String,
    /// The container.
    pub container: Container,
    /// The number of the signal that asks its process to end.
    pub stop_signal: u8,
    /// Whether its process starts only when all its vCPUs are online.
    pub waits_for_vcpus: bool,
}

impl Spec {
    /// The bootstrap message, with what only the moment knows.
    #[must_use]
    pub fn start(&self, sizing: &Sizing, entropy: Vec<u8>, wall_clock_ns: u64) -> Start {
        Start {
            hostname: self.hostname.clone(),
            entropy,
            wall_clock_ns,
            vcpus: sizing.vcpus,
            waits_for_vcpus: self.waits_for_vcpus,
            growth_mib: sizing.growth_mib,
            containers: vec![self.container.clone()],
        }
    }
}

/// What a task runs, as far as its request does not say it.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The image's configuration.
    pub config: &'a ImageConfig,
    /// The size of the image's rootfs snapshot: of all its parts, each rounded up to a whole block.
    pub rootfs_bytes: u64,
    /// The task's id.
    pub id: &'a str,
    /// How big it is.
    pub sizing: &'a Sizing,
}

/// Merges `request` into what is `given`.
///
/// # Errors
/// [`ErrorCode::InvalidParameter`] for what cannot be run, [`ErrorCode::InvalidImage`] where the image is to blame.
pub fn resolve(request: &RunRequest, given: &Given<'_>) -> Result<Spec, ApiError> {
    let config = given.config;
    let hostname = hostname(request, given.id)?;
    let container = Container {
        name: CONTAINER.to_owned(),
        rootfs_slot: rootfs_slot(given.rootfs_bytes),
        scratch_slot: Some(standing::SCRATCH),
        argv: argv(request, config)?,
        env: environment::merge(&config.env, &request.env, &hostname, request.terminal.is_some())?,
        working_directory: working_directory(request, config)?,
        user: request.user.clone().unwrap_or_else(|| config.user.clone()),
        terminal: request.terminal.map(|size| TerminalSize {
            columns: size.columns,
            rows: size.rows,
        }),
        stdin: request.stdin,
        capabilities: owned(&defaults::CAPABILITIES),
        no_new_privileges: request.no_new_privileges,
        masked_paths: owned(&defaults::MASKED_PATHS),
        read_only_paths: owned(&defaults::READ_ONLY_PATHS),
        memory_bytes_max: Some(given.sizing.container_memory_bytes),
        pids_max: None,
    };
    check_texts(&container)?;
    let stop_signal = match config.stop_signal.as_str() {
        "" => signal::SIGTERM,
        name => signal::parse(name).ok_or_else(|| ApiError {
            code: ErrorCode::InvalidImage,
            message: format!("the image's stop signal {name:?} is unknown"),
        })?,
    };
    Ok(Spec {
        hostname,
        container,
        stop_signal,
        waits_for_vcpus: request.waits_for_vcpus,
    })
}

/// A snapshot that fits is mapped into the guest, which then shares the host's page cache; a larger one is a disk.
const fn rootfs_slot(rootfs_bytes: u64) -> u8 {
    if rootfs_bytes <= PMEM_WINDOW_BYTES {
        standing::PMEM
    } else {
        standing::DISK
    }
}

/// The entrypoint, then the command; another entrypoint takes the image's command away with it.
fn argv(request: &RunRequest, config: &ImageConfig) -> Result<Vec<String>, ApiError> {
    let (entrypoint, default_command) = match &request.entrypoint {
        Some(entrypoint) => (entrypoint, &[][..]),
        None => (&config.entrypoint, config.command.as_slice()),
    };
    let command = if request.command.is_empty() {
        default_command
    } else {
        &request.command
    };
    let argv = [entrypoint.as_slice(), command].concat();
    match argv.first().map(String::as_str) {
        None => invalid("no command specified: the request names none and neither does the image".to_owned()),
        Some("") => invalid("the command's first word is empty, so there is no program to run".to_owned()),
        Some(_) => Ok(argv),
    }
}

fn hostname(request: &RunRequest, id: &str) -> Result<String, ApiError> {
    let Some(hostname) = &request.hostname else {
        return Ok(names::short(id).to_owned());
    };
    let fits = |character: char| character.is_ascii_alphanumeric() || character == '-' || character == '.';
    if hostname.is_empty() || hostname.len() > HOSTNAME_LEN_MAX || !hostname.chars().all(fits) {
        return invalid(format!(
            "{hostname:?} is no host name: it must be 1 to {HOSTNAME_LEN_MAX} letters, digits, '-' and '.'"
        ));
    }
    Ok(hostname.clone())
}

fn working_directory(request: &RunRequest, config: &ImageConfig) -> Result<String, ApiError> {
    match &request.working_directory {
        Some(path) if path.starts_with('/') => Ok(path.clone()),
        Some(path) => invalid(format!("the working directory {path:?} is not an absolute path")),
        None if config.working_directory.starts_with('/') => Ok(config.working_directory.clone()),
        None => Ok(format!("/{}", config.working_directory)),
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

fn invalid<T>(message: String) -> Result<T, ApiError> {
    Err(ApiError {
        code: ErrorCode::InvalidParameter,
        message,
    })
}
