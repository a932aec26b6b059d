//! A guest with an interface, and the other end of its wire: a pair of datagram sockets, which keep frames apart as a TAP interface does.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};

use vm_memory::{Bytes, GuestAddress};

use crate::meter::{Counters, Meter};
use crate::net::header::HEADER_BYTES;
use crate::net::{Link, Net, Offloads};
use crate::slots::testing::queue::{DriverQueue, into, out};
use crate::slots::testing::{BUFFERS, Guest, STATUS};

/// The header of a frame that asks for nothing.
pub(super) const HEADER: [u8; HEADER_BYTES] = [0; HEADER_BYTES];
/// `VIRTIO_NET_F_MRG_RXBUF`.
pub(super) const MERGES: u64 = 1 << 15;
/// Where frames to be sent are put together.
pub(super) const FRAME_AT: u64 = BUFFERS;
/// Where buffers for frames are: each entry of the ring has its own place.
const ROOM_AT: u64 = BUFFERS + 0x4000;
const ROOM_BYTES: u64 = 0x800;

const MAC: [u8; 6] = [2, 1, 2, 3, 4, 5];

struct Socket {
    socket: UnixDatagram,
    offloads: Arc<Mutex<Offloads>>,
}

impl Link for Socket {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn set_offloads(&self, offloads: Offloads) -> io::Result<()> {
        *self.offloads.lock().unwrap() = offloads;
        Ok(())
    }
}

pub(super) struct Peer {
    pub(super) guest: Guest,
    pub(super) rx: DriverQueue,
    pub(super) tx: DriverQueue,
    /// The other end of the wire.
    pub(super) link: UnixDatagram,
    /// How many buffers the received frames had.
    pub(super) counts: Vec<u16>,
    features: u64,
    offloads: Arc<Mutex<Offloads>>,
    /// Offered buffers, in order: head, place, length.
    offered: VecDeque<(u16, u64, u32)>,
    places: VecDeque<u64>,
}

fn connected() -> (Net, UnixDatagram, Arc<Mutex<Offloads>>) {
    let (link, socket) = UnixDatagram::pair().unwrap();
    socket.set_nonblocking(true).unwrap();
    link.set_nonblocking(true).unwrap();
    let offloads = Arc::default();
    let device = Net::new(
        MAC,
        Socket {
            socket,
            offloads: Arc::clone(&offloads),
        },
    );
    (device, link, offloads)
}

impl Peer {
    /// A driver that wants these features, as far as there are.
    pub(super) fn new(features: u64) -> Self {
        let (device, link, offloads) = connected();
        Self::with(Guest::with(device), features, link, offloads)
    }

    /// The same, and where its frames are counted.
    pub(super) fn metered() -> (Self, &'static Counters) {
        let (device, link, offloads) = connected();
        let counters = Counters::of_test();
        let guest = Guest::with(device.metered(Meter::of(counters)));
        (Self::with(guest, u64::MAX, link, offloads), counters)
    }

    /// The same, of whose frames so many bytes pass in a second.
    pub(super) fn limited(bytes_per_second: u64) -> Self {
        let (device, link, offloads) = connected();
        let guest = Guest::with(device.limited(NonZeroU64::new(bytes_per_second)));
        Self::with(guest, u64::MAX, link, offloads)
    }

    pub(super) fn unconnected() -> Self {
        let (link, _) = UnixDatagram::pair().unwrap();
        Self::with(Guest::with(Net::unconnected()), u64::MAX, link, Arc::default())
    }

    fn with(mut guest: Guest, features: u64, link: UnixDatagram, offloads: Arc<Mutex<Offloads>>) -> Self {
        let [rx, tx] = guest.bring_up(features).try_into().unwrap();
        Self {
            guest,
            rx,
            tx,
            link,
            counts: Vec::new(),
            features,
            offloads,
            offered: VecDeque::new(),
            places: (0..16).map(|index| ROOM_AT + index * ROOM_BYTES).collect(),
        }
    }

    /// The same guest with a link.
    pub(super) fn restored(self) -> Self {
        let (device, link, offloads) = connected();
        Self {
            guest: self.guest.restored(device),
            link,
            offloads,
            ..self
        }
    }

    pub(super) fn restart(&mut self) {
        self.guest.write(STATUS, 0);
        let [rx, tx] = self.guest.bring_up(self.features).try_into().unwrap();
        (self.rx, self.tx) = (rx, tx);
        self.offered.clear();
        self.places = (0..16).map(|index| ROOM_AT + index * ROOM_BYTES).collect();
    }

    pub(super) fn offloads(&self) -> Offloads {
        *self.offloads.lock().unwrap()
    }

    /// Takes the other end of the wire away.
    pub(super) fn cut(&mut self) {
        self.link = UnixDatagram::unbound().unwrap();
    }

    /// Sends a frame in pieces of these lengths; the chain comes back at once.
    pub(super) fn send(&mut self, header: &[u8], frame: &[u8], pieces: &[u32]) {
        let bytes = [header, frame].concat();
        self.guest.memory.write_slice(&bytes, GuestAddress(FRAME_AT)).unwrap();
        let mut at = FRAME_AT;
        let mut chain = Vec::new();
        for &piece in pieces {
            chain.push(out(at, piece));
            at += u64::from(piece);
        }
        let head = self.tx.add(&chain);
        self.guest.kick(1);
        assert_eq!(self.tx.take_used(), Some((head, 0)));
    }

    /// What arrived at the other end.
    pub(super) fn sent(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 70_000];
        let count = self.link.recv(&mut bytes).ok()?;
        bytes.truncate(count);
        Some(bytes)
    }

    /// Makes buffers of these lengths available, one by one.
    pub(super) fn offer(&mut self, lengths: &[u32]) {
        for &length in lengths {
            let place = self.places.pop_front().unwrap();
            let head = self.rx.add(&[into(place, length)]);
            self.offered.push_back((head, place, length));
        }
        self.guest.kick(0);
    }

    /// Has a frame come from the other end.
    pub(super) fn arrive(&mut self, frame: &[u8]) {
        self.link.send(&[&HEADER[..], frame].concat()).unwrap();
        self.guest.run();
    }

    /// Takes the frames that the device has delivered, without their headers.
    pub(super) fn received(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while let Some(first) = self.next_buffer() {
            let count = u16::from_le_bytes([first[10], first[11]]);
            let mut frame = first[HEADER_BYTES..].to_vec();
            for _ in 1..count {
                frame.extend(self.next_buffer().expect("all buffers of a frame come together"));
            }
            self.counts.push(count);
            frames.push(frame);
        }
        frames
    }

    fn next_buffer(&mut self) -> Option<Vec<u8>> {
        let (head, bytes) = self.rx.take_used()?;
        let (offered, place, length) = self.offered.pop_front().unwrap();
        assert_eq!(head, offered);
        assert!(bytes <= length);
        self.places.push_back(place);
        let mut content = vec![0; bytes as usize];
        self.guest.memory.read_slice(&mut content, GuestAddress(place)).unwrap();
        Some(content)
    }
}
