//! Host agent ⇄ VMM: the configuration that a VMM starts with, and its control socket.
//!
//! A VMM runs one microVM and knows nothing of what is in it. It reads one [`Config`], then reports on its control socket
//! what happens ([`Event`]) and takes [`Request`]s. Every connection gets every event again from the start, so that a host agent
//! that was restarted knows what its predecessor knew. The process's exit code says how the microVM ended ([`ExitCode`]).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The number of slots: virtio-mmio windows on the kernel's command line.
pub const SLOTS: usize = 16;

/// What a VMM is to run: one strict JSON document. Unknown members are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The guest kernel: an uncompressed x86-64 ELF image.
    pub kernel: PathBuf,
    /// The initramfs that carries the guest agent.
    pub initramfs: PathBuf,
    /// Appended to the VMM's own kernel command line.
    #[serde(default)]
    pub command_line: String,
    /// Number of vCPUs.
    pub vcpus: u8,
    /// Guest memory, in MiB.
    pub memory_mib: u32,
    /// What is plugged into the slots, in order; at most [`SLOTS`].
    pub slots: Vec<Device>,
    /// The socket on which the VMM takes control connections.
    pub control: Control,
    /// A file that gets what the guest writes to its first serial port, for debugging; none leaves the port out.
    #[serde(default)]
    pub serial: Option<PathBuf>,
}

/// Where a VMM's control socket comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Control {
    /// A listening unix stream socket that the VMM inherited under this descriptor number: it can be connected to before the VMM runs.
    Descriptor(i32),
    /// A path that the VMM binds.
    Path(PathBuf),
}

/// A device in a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Device {
    /// virtio-vsock.
    Vsock {
        /// The guest's context id, at least 3.
        guest_cid: u32,
        /// The unix socket that leads to the guest: a host process connects and sends `CONNECT <port>\n`. A guest that connects
        /// to the host's port N reaches the unix socket at this path with `_N` appended.
        socket: PathBuf,
    },
    /// virtio-blk, read-only: the parts one behind the other, each beginning at the next multiple of 4096 bytes.
    BlockConcatenation {
        /// The files.
        parts: Vec<PathBuf>,
    },
    /// virtio-blk, writable: one raw file.
    BlockFile {
        /// The file.
        path: PathBuf,
    },
    /// virtio-rng, fed from the host's entropy.
    Rng,
}

/// From the host agent to a VMM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Request {
    /// End the microVM at once, as if its power was cut.
    Stop,
}

/// From a VMM to the host agent. Times are the host's `CLOCK_MONOTONIC` in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Event {
    /// Everything is set up and the first vCPU is about to run.
    VcpuRunnable {
        /// When.
        monotonic_ns: u64,
    },
    /// The guest agent executed its first instruction.
    GuestBooted {
        /// When.
        monotonic_ns: u64,
    },
    /// The microVM ended; the process is about to exit with this code.
    Ended {
        /// How.
        exit: ExitCode,
        /// One sentence for a person.
        message: String,
    },
}

/// The exit code of a VMM process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum ExitCode {
    /// The guest shut itself down.
    GuestShutdown = 0,
    /// The VMM failed, or its configuration is unusable; the reason is on standard error.
    Failure = 1,
    /// The guest's kernel panicked or its CPU can not go on.
    GuestPanic = 3,
    /// A [`Request::Stop`] or a termination signal ended it.
    Stopped = 4,
}

impl From<ExitCode> for i32 {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"{
        "kernel": "/k", "initramfs": "/i", "vcpus": 1, "memory_mib": 64, "control": {"descriptor": 3},
        "slots": [{"vsock": {"guest_cid": 3, "socket": "/v"}}, {"block_concatenation": {"parts": ["/a", "/b"]}}, "rng"]
    }"#;

    #[test]
    fn a_config_is_read_back_as_written() {
        let config: Config = serde_json::from_str(MINIMAL).unwrap();
        assert_eq!(config.slots.len(), 3);
        let again = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
        assert_eq!(config, again);
    }

    #[test]
    fn an_unknown_member_is_refused_by_name() {
        let text = MINIMAL.replacen('{', r#"{"turbo": true,"#, 1);
        let error = serde_json::from_str::<Config>(&text).unwrap_err();
        assert!(error.to_string().contains("unknown field `turbo`"), "{error}");
    }
}
