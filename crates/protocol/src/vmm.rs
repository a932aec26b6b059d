//! Host agent ⇄ VMM: the configuration that a VMM starts with, and its control socket.
//!
//! A VMM runs one microVM and knows nothing of what is in it. It reads one [`Config`], then reports on its control socket
//! what happens ([`Event`]) and takes [`Request`]s. Every connection gets every event again from the start, so that a host agent
//! that was restarted knows what its predecessor knew. The process's exit code says how the microVM ended ([`ExitCode`]).

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::jail::Confinement;

/// The number of slots: virtio-mmio windows on the kernel's command line.
pub const SLOTS: usize = 16;

/// The memory that every guest boots with, in MiB. What it has beyond is plugged into the running guest.
pub const BASE_MEMORY_MIB: u32 = 64;

/// What memory grows by, in MiB: the block of virtio-mem.
pub const GROWTH_STEP_MIB: u32 = 2;

/// The most that memory grows by, in MiB.
pub const GROWTH_MIB_MAX: u32 = 96 << 10;

/// The most vCPUs of a guest. Every guest boots with one; the others are brought online in the running guest.
pub const VCPUS_MAX: u8 = 16;

/// The largest rootfs snapshot that fits into the window of the standing [`Device::Pmem`], in bytes.
pub const PMEM_WINDOW_BYTES: u64 = 256 << 20;

/// The context id of the guest at its standing vsock device. Every microVM has a device of its own, so all have the same.
pub const GUEST_CID: u32 = 3;

/// The slots of the standing devices: they are in every guest from its boot on, so that a clone's drivers know them already, and are
/// empty where the [`Shape`] puts nothing behind them. All further slots are free for any device; the guest binds these late.
pub mod standing {
    /// virtio-vsock: [`super::Device::Vsock`].
    pub const VSOCK: u8 = 0;
    /// virtio-pmem for a rootfs snapshot: [`super::Device::Pmem`], at most [`super::PMEM_WINDOW_BYTES`].
    pub const PMEM: u8 = 1;
    /// virtio-blk, read-only, for a rootfs snapshot: [`super::Device::BlockConcatenation`].
    pub const DISK: u8 = 2;
    /// virtio-blk, writable, for the scratch file system, which a template's guest has mounted: [`super::Device::BlockCopyOnWrite`] or
    /// [`super::Device::BlockFile`].
    pub const SCRATCH: u8 = 3;
    /// virtio-mem: grows by [`super::Shape::growth_mib`], and is not named in the slots.
    pub const MEMORY: u8 = 4;
    /// virtio-balloon with free page reporting; is not named in the slots.
    pub const BALLOON: u8 = 5;
    /// virtio-net: [`super::Device::Network`].
    pub const NETWORK: u8 = 6;
    /// The first slot that holds no standing device.
    pub const FIRST_FREE: u8 = 7;
}

/// What a VMM is to run: one strict JSON document. Unknown members are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the guest comes from.
    pub origin: Origin,
    /// What the microVM is to be. Without it, the VMM prepares all that needs no shape, and waits for one [`Request::Run`].
    #[serde(default)]
    pub shape: Option<Shape>,
    /// A file in which the VMM counts what its devices move: [`Counters`]. It is made where there is none.
    #[serde(default)]
    pub counters: Option<PathBuf>,
    /// The socket on which the VMM takes control connections.
    pub control: Control,
    /// What it confines itself with.
    #[serde(default)]
    pub jail: Confinement,
}

/// What the file [`Config::counters`] holds: sums since the VMM began, which only grow. They survive the VMM as long as the file does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes of the frames that came for the guest.
    pub received_bytes: u64,
    /// Bytes of the frames that came from it.
    pub sent_bytes: u64,
    /// Bytes that the guest read of its disks. What it reads of a rootfs snapshot that is mapped into its memory is not among them.
    pub read_bytes: u64,
    /// Bytes that it wrote to them.
    pub written_bytes: u64,
}

/// The length of [`Counters`] in its file.
pub const COUNTERS_LEN: usize = 32;

impl Counters {
    /// The file's content: the members in their order, each 8 bytes in the host's byte order. `None` where it is too short.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (numbers, _) = bytes.get(..COUNTERS_LEN)?.as_chunks::<8>();
        let [received_bytes, sent_bytes, read_bytes, written_bytes] =
            <[[u8; 8]; 4]>::try_from(numbers).ok()?.map(u64::from_ne_bytes);
        Some(Self {
            received_bytes,
            sent_bytes,
            read_bytes,
            written_bytes,
        })
    }
}

/// Where a guest comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Origin {
    /// Its kernel is booted.
    Boot(Boot),
    /// It is a copy-on-write clone of the template in this directory.
    Template(PathBuf),
}

/// A kernel and what it boots with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boot {
    /// The guest kernel: an uncompressed x86-64 ELF image.
    pub kernel: PathBuf,
    /// The initramfs that carries the guest agent.
    pub initramfs: PathBuf,
    /// Appended to the VMM's own kernel command line.
    #[serde(default)]
    pub command_line: String,
    /// A file that gets what the guest writes to its first serial port, for debugging; none leaves the port out.
    #[serde(default)]
    pub serial: Option<PathBuf>,
    /// An existing, empty directory into which the guest is saved as a template when it rings [`crate::guest::DOORBELL_BOOTED`];
    /// the VMM then exits with [`ExitCode::Saved`]. The scratch disk is no part of the template: it is the file that the shape named,
    /// and clones need a copy-on-write view of it as it is then.
    #[serde(default)]
    pub save: Option<PathBuf>,
}

/// The file in a template's directory that names the pages which every start of a clone writes: ranges, each as the number of the first page and
/// the number of pages of base memory, both `u32`, little endian. It may be missing. A clone that has the pages copied at once saves the faults
/// that would copy them one by one.
pub const TOUCHED_FILE: &str = "touched";

/// The file beside [`TOUCHED_FILE`], in the same form, that names the pages which every start of a clone reads or writes. A clone that
/// has them mapped at once saves a VM exit for each.
pub const MAPPED_FILE: &str = "mapped";

/// The size of the pages that [`TOUCHED_FILE`] and [`MAPPED_FILE`] count, in bytes.
pub const PAGE_BYTES: u64 = 4096;

/// The most ranges in [`TOUCHED_FILE`] and [`Event::Touched`].
pub const TOUCHED_RANGES_MAX: usize = 4096;

/// What distinguishes one microVM from another of the same origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// The number of vCPUs, at most [`VCPUS_MAX`]. One runs at once; the others when the guest rings [`crate::guest::DOORBELL_VCPUS`].
    pub vcpus: u8,
    /// The memory beyond [`BASE_MEMORY_MIB`], in MiB; a multiple of [`GROWTH_STEP_MIB`]. A clone gets it when it rings
    /// [`crate::guest::DOORBELL_MEMORY`].
    pub growth_mib: u32,
    /// What is plugged, by slot.
    pub slots: BTreeMap<u8, Device>,
    /// How much of it may be used in a second.
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
}

/// What the guest's devices may do in a second, beside one second's worth that they may do at once. What exceeds it waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes read and written, of all its block devices together. A rootfs snapshot that is mapped into its memory is none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<NonZeroU64>,
    /// Requests to all its block devices together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_operations: Option<NonZeroU64>,
    /// Bytes of frames, in each direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_bytes: Option<NonZeroU64>,
}

impl Limits {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
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
        /// The unix socket that leads to the guest: a host process connects and sends `CONNECT <port>\n`.
        socket: PathBuf,
        /// Ports of the host that the guest can connect to, each once: port N is a connection to the unix socket at the path above with `_N`
        /// appended, which is made when the microVM gets its shape.
        #[serde(default)]
        host_ports: Vec<u32>,
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
    /// virtio-blk, writable: a raw file that is never written, and a nameless file for what the guest writes.
    BlockCopyOnWrite {
        /// The file that is never written.
        base: PathBuf,
        /// The directory on whose file system the nameless file is.
        directory: PathBuf,
    },
    /// virtio-pmem, read-only: the parts as in [`Self::BlockConcatenation`], mapped into the guest's address space.
    Pmem {
        /// The files.
        parts: Vec<PathBuf>,
    },
    /// virtio-mem: memory that the guest plugs as soon as it has bound the device.
    Memory {
        /// How much, in MiB; a multiple of [`GROWTH_STEP_MIB`].
        mib: u32,
    },
    /// virtio-balloon, for free page reporting: the host gets back what the guest does not use.
    Balloon,
    /// virtio-net, on a TAP interface that exists.
    Network {
        /// The interface's name.
        tap: String,
        /// The guest's address.
        mac: [u8; 6],
    },
    /// virtio-rng, fed from the host's entropy.
    Rng,
    /// virtio-fs: a directory of the host, under the name that [`directory_tag`] gives it.
    Directory {
        /// The directory, without a symbolic link in its path.
        path: PathBuf,
        /// Whether the guest cannot change anything in it.
        read_only: bool,
    },
}

/// The name by which a guest mounts the [`Device::Directory`] in `slot`.
#[must_use]
pub fn directory_tag(slot: u8) -> String {
    format!("slot-{slot}")
}

/// From the host agent to a VMM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Request {
    /// End the microVM at once, as if its power was cut.
    Stop,
    /// Be this, and run. For a VMM that was started without a shape, once.
    Run(Box<Shape>),
    /// Tell which pages of base memory this clone has written so far, with [`Event::Touched`]; once.
    Observe,
}

/// From a VMM to the host agent. Times are the host's `CLOCK_MONOTONIC` in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Event {
    /// The VMM was started without a shape, has prepared everything else and waits for [`Request::Run`].
    Waiting {
        /// When its guest had come to where it waits as well: a clone's to the read of its doorbell. Absent where it has yet to boot.
        guest_waits_ns: Option<u64>,
    },
    /// The microVM has its shape and its first vCPU may run.
    VcpuRunnable {
        /// When.
        monotonic_ns: u64,
    },
    /// The guest agent executed its first instruction for this microVM: it reads which slots are plugged.
    GuestBooted {
        /// When.
        monotonic_ns: u64,
    },
    /// What [`Request::Observe`] asked for.
    Touched {
        /// What was written. Ranges of pages of base memory: the number of the first, and how many; at most [`TOUCHED_RANGES_MAX`].
        written: Vec<(u32, u32)>,
        /// What was written or read, in the same form.
        mapped: Vec<(u32, u32)>,
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
    /// It was saved as a template.
    Saved = 5,
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
        "origin": {"boot": {"kernel": "/k", "initramfs": "/i"}}, "control": {"descriptor": 3},
        "shape": {"vcpus": 1, "growth_mib": 0, "slots": {
            "0": {"vsock": {"guest_cid": 3, "socket": "/v"}}, "2": {"block_concatenation": {"parts": ["/a", "/b"]}}, "7": "rng"}}
    }"#;

    #[test]
    fn a_config_is_read_back_as_written() {
        let config: Config = serde_json::from_str(MINIMAL).unwrap();
        let shape = config.shape.as_ref().unwrap();
        assert_eq!(shape.slots.keys().copied().collect::<Vec<_>>(), [0, 2, 7]);
        let again = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
        assert_eq!(config, again);
    }

    #[test]
    fn limits_are_said_where_there_are_any() {
        let mut config: Config = serde_json::from_str(MINIMAL).unwrap();
        assert!(!serde_json::to_string(&config).unwrap().contains("limits"));
        let limits = Limits {
            disk_operations: NonZeroU64::new(7),
            ..Limits::default()
        };
        config.shape.as_mut().unwrap().limits = limits;
        let text = serde_json::to_string(&config).unwrap();
        assert!(text.contains(r#""limits":{"disk_operations":7}"#), "{text}");
        assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
        assert!(serde_json::from_str::<Config>(&text.replace(":7}", ":0}")).is_err());
    }

    #[test]
    fn an_unknown_member_is_refused_by_name() {
        let text = MINIMAL.replacen('{', r#"{"turbo": true,"#, 1);
        let error = serde_json::from_str::<Config>(&text).unwrap_err();
        assert!(error.to_string().contains("unknown field `turbo`"), "{error}");
    }
}
