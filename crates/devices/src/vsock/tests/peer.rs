//! The guest's end of the sockets for tests: packets out, packets in, and the host programs they are for.

use std::collections::HashMap;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::{io, iter};

use vm_memory::{Bytes, GuestAddress};

use crate::slots::testing::queue::{DriverQueue, into, out};
use crate::slots::testing::{BUFFERS, Guest, MEMORY_BYTES};
use crate::vsock::{HostSide, Vsock};

pub(super) const REQUEST: u16 = 1;
pub(super) const RESPONSE: u16 = 2;
pub(super) const RST: u16 = 3;
pub(super) const SHUTDOWN: u16 = 4;
pub(super) const RW: u16 = 5;
pub(super) const CREDIT_UPDATE: u16 = 6;
pub(super) const CREDIT_REQUEST: u16 = 7;

pub(super) const RECEIVE: u32 = 1;
pub(super) const SEND: u32 = 2;

pub(super) const GUEST_CID: u32 = 3;
/// A host port behind which there is nobody.
pub(super) const NOBODY: u32 = 1;
/// The guest's end of most connections.
pub(super) const LOCAL: u32 = 1024;
/// The host's end of most connections.
pub(super) const SERVICE: u32 = 80;

const RX: u32 = 0;
const TX: u32 = 1;
/// They lie in front of the packet that the guest sends.
const RX_BUFFERS: u64 = 8;
const RX_BUFFER_BYTES: u32 = 4096;
const TX_HEADER: u64 = 0xc000;
const TX_PAYLOAD: u64 = 0xc100;
/// The largest payload a test sends in one packet.
pub(super) const PAYLOAD_MAX: usize = MEMORY_BYTES - 0xc100;

/// A packet's header, from the guest's point of view.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Header {
    pub(super) from: (u64, u32),
    pub(super) to: (u64, u32),
    pub(super) bytes: u32,
    pub(super) kind: u16,
    pub(super) operation: u16,
    pub(super) flags: u32,
    pub(super) buffer_bytes: u32,
    pub(super) forwarded: u32,
}

impl Header {
    /// Of a packet to the host on the usual connection; the guest has much room.
    pub(super) fn new(operation: u16) -> Self {
        Self {
            from: (GUEST_CID.into(), LOCAL),
            to: (2, SERVICE),
            bytes: 0,
            kind: 1,
            operation,
            flags: 0,
            buffer_bytes: 1 << 20,
            forwarded: 0,
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.from.0.to_le_bytes());
        bytes.extend(self.to.0.to_le_bytes());
        bytes.extend(self.from.1.to_le_bytes());
        bytes.extend(self.to.1.to_le_bytes());
        bytes.extend(self.bytes.to_le_bytes());
        bytes.extend(self.kind.to_le_bytes());
        bytes.extend(self.operation.to_le_bytes());
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.buffer_bytes.to_le_bytes());
        bytes.extend(self.forwarded.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Self {
        let u16_at = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap());
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        Self {
            from: (u64_at(0), u32_at(16)),
            to: (u64_at(8), u32_at(20)),
            bytes: u32_at(24),
            kind: u16_at(28),
            operation: u16_at(30),
            flags: u32_at(32),
            buffer_bytes: u32_at(36),
            forwarded: u32_at(40),
        }
    }
}

/// A packet that has come from the host.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) header: Header,
    pub(super) payload: Vec<u8>,
}

struct Services(Sender<UnixStream>);

impl HostSide for Services {
    fn connect(&mut self, port: u32) -> io::Result<UnixStream> {
        if port == NOBODY {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (near, far) = UnixStream::pair()?;
        self.0.send(far).map_err(io::Error::other)?;
        Ok(near)
    }
}

pub(super) struct Peer {
    pub(super) guest: Guest,
    pub(super) rx: DriverQueue,
    pub(super) tx: DriverQueue,
    /// Whether buffers go back to the device once they were read.
    pub(super) refills: bool,
    rx_buffers: HashMap<u16, u64>,
    services: Receiver<UnixStream>,
    directory: tempfile::TempDir,
}

impl Peer {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("vsock")).unwrap();
        let (sender, services) = mpsc::channel();
        let mut guest = Guest::with(Vsock::new(GUEST_CID, Services(sender), listener).unwrap());
        let mut queues = guest.bring_up(u64::MAX);
        let tx = queues.remove(1);
        let rx = queues.remove(0);
        let mut peer = Self {
            guest,
            rx,
            tx,
            refills: true,
            rx_buffers: HashMap::new(),
            services,
            directory,
        };
        for buffer in 0..RX_BUFFERS {
            peer.post(BUFFERS + buffer * u64::from(RX_BUFFER_BYTES));
        }
        peer.guest.kick(RX);
        peer
    }

    /// Brings the device up once more, after a reset.
    pub(super) fn restart(&mut self) {
        let mut queues = self.guest.bring_up(u64::MAX);
        self.tx = queues.remove(1);
        self.rx = queues.remove(0);
        for address in std::mem::take(&mut self.rx_buffers).into_values() {
            self.post(address);
        }
        self.guest.kick(RX);
    }

    fn post(&mut self, address: u64) {
        let head = self.rx.add(&[into(address, RX_BUFFER_BYTES)]);
        self.rx_buffers.insert(head, address);
    }

    /// Takes every buffer away from the device, the packets in them with them.
    pub(super) fn starve(&mut self) {
        self.refills = false;
        let mut pings = 0;
        // Each answered by a reset in a buffer.
        while pings < RX_BUFFERS {
            self.send(
                Header {
                    to: (2, 9),
                    ..Header::new(CREDIT_UPDATE)
                },
                &[],
            );
            pings += 1;
        }
    }

    /// Gives the buffers back that hold packets which were not read, and reads them.
    pub(super) fn feed(&mut self) -> Vec<Seen> {
        self.refills = true;
        self.receive()
    }

    pub(super) fn put(&self, at: u64, bytes: &[u8]) {
        self.guest.memory.write_slice(bytes, GuestAddress(at)).unwrap();
    }

    /// Sends a packet with its true length.
    pub(super) fn send(&mut self, header: Header, payload: &[u8]) {
        self.send_raw(
            Header {
                bytes: u32::try_from(payload.len()).unwrap(),
                ..header
            },
            payload,
        );
    }

    /// Sends a packet as it is, in two buffers, and sees it taken.
    pub(super) fn send_raw(&mut self, header: Header, payload: &[u8]) {
        self.send_unseen(header, payload);
        assert!(self.tx.take_used().is_some(), "the packet was not taken");
    }

    /// Sends a packet that may not be taken yet.
    pub(super) fn send_unseen(&mut self, header: Header, payload: &[u8]) {
        self.put(TX_HEADER, &header.encode());
        self.put(TX_PAYLOAD, payload);
        let mut chain = vec![out(TX_HEADER, 44)];
        if !payload.is_empty() {
            chain.push(out(TX_PAYLOAD, u32::try_from(payload.len()).unwrap()));
        }
        self.tx.add(&chain);
        self.guest.kick(TX);
    }

    /// Sends an operation without payload on the usual connection.
    pub(super) fn say(&mut self, operation: u16) {
        self.send(Header::new(operation), &[]);
    }

    /// Says that the guest is done with a direction.
    pub(super) fn shut(&mut self, flags: u32) {
        self.send(
            Header {
                flags,
                ..Header::new(SHUTDOWN)
            },
            &[],
        );
    }

    /// All packets that have come.
    pub(super) fn receive(&mut self) -> Vec<Seen> {
        self.guest.run();
        let mut seen = Vec::new();
        while let Some((head, bytes)) = self.rx.take_used() {
            let address = self.rx_buffers.remove(&head).unwrap();
            let mut packet = vec![0; usize::try_from(bytes).unwrap()];
            self.guest
                .memory
                .read_slice(&mut packet, GuestAddress(address))
                .unwrap();
            let header = Header::decode(&packet);
            assert_eq!(packet.len(), 44 + usize::try_from(header.bytes).unwrap(), "{header:?}");
            assert_eq!((header.from.0, header.to.0), (2, GUEST_CID.into()));
            seen.push(Seen {
                header,
                payload: packet.split_off(44),
            });
            if self.refills {
                self.post(address);
                self.guest.kick(RX);
            } else {
                self.rx_buffers
                    .insert(u16::MAX - u16::try_from(self.rx_buffers.len()).unwrap(), address);
            }
        }
        seen
    }

    /// The operations of all packets that have come.
    pub(super) fn operations(&mut self) -> Vec<u16> {
        self.receive().iter().map(|seen| seen.header.operation).collect()
    }

    /// The bytes that have come, and the operations of the other packets.
    pub(super) fn data(&mut self) -> (Vec<u8>, Vec<u16>) {
        let seen = self.receive();
        let others = seen
            .iter()
            .map(|seen| seen.header.operation)
            .filter(|&operation| operation != RW)
            .collect();
        (seen.into_iter().flat_map(|seen| seen.payload).collect(), others)
    }

    /// Connects to a service; returns the service's end.
    pub(super) fn connect(&mut self) -> UnixStream {
        self.connect_with(Header::new(REQUEST))
    }

    pub(super) fn connect_with(&mut self, request: Header) -> UnixStream {
        self.send(request, &[]);
        let seen = self.receive();
        assert_eq!(
            seen.iter().map(|seen| seen.header.operation).collect::<Vec<_>>(),
            [RESPONSE]
        );
        assert_eq!(seen[0].header.forwarded, 0);
        self.service()
    }

    /// The service's end of the connection that was made last.
    pub(super) fn service(&self) -> UnixStream {
        self.try_service().unwrap()
    }

    pub(super) fn try_service(&self) -> Option<UnixStream> {
        self.services.try_recv().ok()
    }

    /// A host program that comes in; it has not said anything yet.
    pub(super) fn client(&self) -> UnixStream {
        UnixStream::connect(self.socket()).unwrap()
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.directory.path().join("vsock")
    }
}

/// Bytes in which every loss and every change of order shows.
pub(super) fn pattern(from: usize, bytes: usize) -> Vec<u8> {
    iter::successors(Some(from), |at| Some(at + 1))
        .take(bytes)
        .map(|at| u8::try_from((at ^ (at >> 8) ^ (at >> 16)) & 0xff).unwrap())
        .collect()
}
