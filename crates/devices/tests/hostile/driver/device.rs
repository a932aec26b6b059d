//! Each device, and the requests that its drivers make.

use std::io;
use std::num::NonZeroU64;

use devices::balloon::Balloon;
use devices::block::Block;
use devices::block::backend::{Backend, Concatenation, CopyOnWrite, Part, RawFile};
use devices::device::VirtioDevice;
use devices::fs::Fs;
use devices::limit::{Limit, Rates};
use devices::memory::Memory;
use devices::memory::region::{BLOCK_BYTES, LINUX_SECTION_BYTES, Region};
use devices::net::Net;
use devices::pmem::Pmem;
use devices::rng::Rng;
use devices::vsock::Vsock;

use super::bytes::Bytes;
use super::host::{DISK_BYTES, Host, Nothing};

/// Where the memory device's region begins.
const REGION: u64 = 4 << 30;
/// The guest's address.
const GUEST_CID: u32 = 3;

/// A kind of device, as a guest may have it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Device {
    /// A balloon.
    Balloon,
    /// A disk that the guest may change.
    Block,
    /// A disk that is shared, with what the guest has written since.
    BlockShared,
    /// A disk of files, whose requests wait for their turn.
    BlockLimited,
    /// A directory of the host.
    Fs,
    /// Memory to be plugged.
    Memory,
    /// A network interface.
    Net,
    /// A network interface whose frames wait for their turn.
    NetLimited,
    /// A read-only window.
    Pmem,
    /// Random bytes.
    Rng,
    /// Sockets.
    Vsock,
}

impl Device {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Balloon,
        Self::Block,
        Self::BlockShared,
        Self::BlockLimited,
        Self::Fs,
        Self::Memory,
        Self::Net,
        Self::NetLimited,
        Self::Pmem,
        Self::Rng,
        Self::Vsock,
    ];

    pub(super) const fn queues(self) -> u8 {
        match self {
            Self::Balloon | Self::Vsock => 3,
            Self::Fs | Self::Net | Self::NetLimited => 2,
            _ => 1,
        }
    }

    /// The most entries of all its queues.
    pub(super) const fn entries(self) -> u16 {
        8
    }

    pub(super) fn make(self, host: &mut Host) -> Box<dyn VirtioDevice> {
        match self {
            Self::Balloon => Box::new(Balloon::new(Box::new(Nothing))),
            Self::Block => Box::new(disk(Backend::RawFile(RawFile::new(host.file()).expect("a file")))),
            Self::BlockShared => {
                let files = CopyOnWrite::new(host.file(), host.empty_file());
                Box::new(disk(Backend::CopyOnWrite(files.expect("two files"))))
            }
            Self::BlockLimited => {
                let part = Part {
                    file: host.file(),
                    bytes: DISK_BYTES,
                };
                let files = Concatenation::new(vec![part]).expect("a file");
                Box::new(disk(Backend::Concatenation(files)).limited(limit()))
            }
            Self::Fs => Box::new(Fs::new("hostile", host.directory())),
            Self::Memory => {
                let region = Region {
                    start: REGION,
                    bytes: 2 * LINUX_SECTION_BYTES,
                    requested_bytes: 3 * BLOCK_BYTES,
                };
                Box::new(Memory::new(region, Box::new(Nothing)).expect("a region"))
            }
            Self::Net => Box::new(Net::new([2, 0, 0, 0, 0, 1], host.wire())),
            Self::NetLimited => Box::new(Net::new([2, 0, 0, 0, 0, 1], host.wire()).limited(NonZeroU64::new(1000))),
            Self::Pmem => Box::new(Pmem::new(8 << 30, 256 << 20)),
            Self::Rng => Box::new(Rng::new(io::repeat(0xab))),
            Self::Vsock => Box::new(Vsock::new(GUEST_CID, host.services(), host.listener()).expect("a listener")),
        }
    }

    /// The begin of a request, of which the script says what matters.
    pub(super) fn request(self, script: &mut Bytes<'_>) -> Vec<u8> {
        if script.below(16) == 15 {
            return script.array::<64>().to_vec();
        }
        match self {
            Self::Balloon => (0..script.below(16))
                .flat_map(|_| u32::from(script.u8()).to_le_bytes())
                .collect(),
            Self::Block | Self::BlockShared | Self::BlockLimited => block_request(script),
            Self::Fs => fs_request(script),
            Self::Memory => memory_request(script),
            Self::Net | Self::NetLimited => frame(script),
            Self::Pmem => vec![0; 4],
            Self::Rng => Vec::new(),
            Self::Vsock => packet(script),
        }
    }
}

fn disk(backend: Backend) -> Block {
    Block::new(backend, "hostile")
}

fn limit() -> Option<Limit> {
    Limit::of(Rates {
        bytes: NonZeroU64::new(4096),
        operations: NonZeroU64::new(2),
    })
}

/// `struct virtio_blk_req` and one range (virtio 1.2, 5.2.6).
fn block_request(script: &mut Bytes<'_>) -> Vec<u8> {
    let (kind, sector) = (u32::from(script.below(15)), u64::from(script.u8()));
    let mut bytes = Vec::new();
    bytes.extend(kind.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(sector.to_le_bytes());
    if kind > 10 {
        bytes.extend(u64::from(script.u8()).to_le_bytes());
        bytes.extend(u32::from(script.u8()).to_le_bytes());
        bytes.extend(u32::from(script.below(4)).to_le_bytes());
    }
    bytes
}

/// `struct fuse_in_header` and what follows it (Linux's `fuse.h`).
fn fs_request(script: &mut Bytes<'_>) -> Vec<u8> {
    let body: Vec<u8> = match script.below(4) {
        0 => b"file\0directory\0link\0"[..usize::from(script.below(21))].to_vec(),
        1 => script.array::<8>().to_vec(),
        2 => script.array::<64>().to_vec(),
        _ => {
            let (handle, offset, bytes) = (script.below(4), script.u8(), script.u16());
            let numbers = [u64::from(handle), u64::from(offset), u64::from(bytes), 0, 0];
            numbers.map(u64::to_le_bytes).concat()
        }
    };
    let length = u32::try_from(40 + body.len()).unwrap_or(0);
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend(u32::from(script.below(54)).to_le_bytes());
    bytes.extend(77u64.to_le_bytes());
    bytes.extend(u64::from(script.below(5)).to_le_bytes());
    bytes.extend([0; 16]);
    bytes.extend(body);
    bytes
}

/// `struct virtio_mem_req` (virtio 1.2, 5.15.6).
fn memory_request(script: &mut Bytes<'_>) -> Vec<u8> {
    let (kind, block, count) = (
        u16::from(script.below(5)),
        u64::from(script.u8()),
        u16::from(script.u8()),
    );
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend([0; 6]);
    bytes.extend((REGION + block * BLOCK_BYTES).to_le_bytes());
    bytes.extend(count.to_le_bytes());
    bytes.extend([0; 6]);
    bytes
}

/// `struct virtio_net_hdr` (virtio 1.2, 5.1.6) and the addresses behind it.
fn frame(script: &mut Bytes<'_>) -> Vec<u8> {
    let mut bytes = script.array::<12>().to_vec();
    if script.bool() {
        bytes.fill(0);
    }
    bytes.extend(script.array::<14>());
    bytes
}

/// `struct virtio_vsock_hdr` (virtio 1.2, 5.10.6), between few ports.
fn packet(script: &mut Bytes<'_>) -> Vec<u8> {
    let (from, to) = (1024 + u32::from(script.below(4)), 79 + u32::from(script.below(3)));
    let credit = match script.below(3) {
        0 => 0,
        1 => u32::from(script.u16()),
        _ => 1 << 20,
    };
    let mut bytes = u64::from(GUEST_CID).to_le_bytes().to_vec();
    bytes.extend(2u64.to_le_bytes());
    // The other end of a connection that the host has asked for has a port from 2^30 on.
    let to = if script.bool() { to } else { (1 << 30) + to % 3 };
    bytes.extend([from.to_le_bytes(), to.to_le_bytes()].concat());
    bytes.extend(u32::from(script.u16()).to_le_bytes());
    bytes.extend(1u16.to_le_bytes());
    bytes.extend(u16::from(script.below(9)).to_le_bytes());
    bytes.extend(u32::from(script.below(4)).to_le_bytes());
    bytes.extend(credit.to_le_bytes());
    bytes.extend(u32::from(script.u16()).to_le_bytes());
    bytes
}
