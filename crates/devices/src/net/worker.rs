//! The half of the device that serves its queues: frames both ways, on the device thread.
//!
//! The link is watched for changes only (edge-triggered): that it may have a frame is written down here, so a driver without room
//! costs nothing until it has some. A frame is read straight into the driver's buffers; only what does not fit into those that were
//! expected to do goes by way of a buffer of the host's.

use std::os::fd::AsRawFd;
use std::sync::Arc;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use vm_memory::GuestMemoryMmap;

use crate::interrupt::Interrupt;
use crate::limit::Cost;
use crate::limit::turn::Turn;
use crate::meter::Meter;
use crate::net::backend::Link;
use crate::net::header::{self, FRAME_BYTES_MAX, HEADER_BYTES, Offloads};
use crate::net::room::Room;
use crate::net::vectored::{self, STRETCHES_MAX, Vectors};
use crate::ring::buffers::Buffers;
use crate::ring::{BrokenRing, Chain, Ring};

const RECEIVE: u32 = 0;
const TRANSMIT: u32 = 1;
const LINK: u32 = 2;
const RECEIVE_TURN: u32 = 3;
const TRANSMIT_TURN: u32 = 4;

/// The most frames of one direction before the other devices have their turn.
const FRAMES_PER_TURN_MAX: usize = 64;

/// Room for a frame of so many bytes is taken off the ring although there may be no frame: to look first costs as much.
const IN_VAIN_MAX: usize = 4096;

/// What a worker is made of.
pub(super) struct Parts {
    pub(super) memory: Arc<GuestMemoryMmap>,
    /// Buffers for frames to the guest.
    pub(super) receive: Ring,
    /// Frames from the guest.
    pub(super) transmit: Ring,
    pub(super) interrupt: Interrupt,
    pub(super) link: Option<Arc<dyn Link>>,
    /// Where frames are counted.
    pub(super) meter: Meter,
    /// What frames to the guest may have to wait for.
    pub(super) receive_turn: Option<Turn>,
    /// What frames from the guest may have to wait for.
    pub(super) transmit_turn: Option<Turn>,
    /// What the guest may leave to us.
    pub(super) sends: Offloads,
    /// Whether a frame may lie in several chains.
    pub(super) merges: bool,
}

/// The worker.
pub(super) struct Wire {
    parts: Parts,
    /// The link may have a frame.
    readable: bool,
    /// How long the last frame for the guest was: the next one is likely to be no longer.
    expected_bytes: usize,
    /// What did not fit into the driver's buffers.
    rest: Vec<u8>,
    /// The length of a frame that is in `rest` as a whole, since the driver had no room for it.
    kept: Option<usize>,
    vectors: Vectors,
    broken: bool,
}

/// What came of an attempt to get a frame to the guest.
enum Outcome {
    /// The driver has it, or nobody: the next one.
    Done,
    /// There is none, or no room.
    Pause,
}

impl Wire {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            readable: parts.link.is_some(),
            parts,
            expected_bytes: HEADER_BYTES,
            rest: vec![0; HEADER_BYTES + FRAME_BYTES_MAX],
            kept: None,
            vectors: Vectors::default(),
            broken: false,
        }
    }

    /// Sends what the driver has.
    fn serve_guest(&mut self) -> Result<(), BrokenRing> {
        let memory = Arc::clone(&self.parts.memory);
        let mut served = 0;
        while let Some(chain) = self.parts.transmit.next(&memory)? {
            if !may_go(self.parts.transmit_turn.as_mut()) {
                self.parts.transmit.put_back();
                break;
            }
            let head = chain.head_index();
            self.send(&memory, chain);
            self.parts.transmit.complete(&memory, head, 0)?;
            served += 1;
            if served == FRAMES_PER_TURN_MAX {
                self.parts.transmit.kick_again();
                break;
            }
        }
        if served > 0 && self.parts.transmit.wants_interrupt(&memory)? {
            self.parts.interrupt.raise_queue();
        }
        Ok(())
    }

    /// Sends one frame. One that cannot be sent is lost, as on any wire.
    fn send(&mut self, memory: &GuestMemoryMmap, chain: Chain<'_>) {
        let (Some(link), Ok(buffers)) = (&self.parts.link, Buffers::parse(memory, chain)) else {
            return;
        };
        let (mut frame, mut bytes) = (buffers.readable, [0; HEADER_BYTES]);
        if frame.take_front(&mut bytes) < HEADER_BYTES || frame.slices().len() > STRETCHES_MAX {
            return;
        }
        if let Ok(header) = header::parse(&bytes, frame.len(), self.parts.sends) {
            // The header that was read, not the one that the guest may have made of it since.
            let _ = vectored::write(link.descriptor(), &header.bytes(), frame.slices(), &mut self.vectors);
            self.parts.meter.sent(frame.len());
            charge(self.parts.transmit_turn.as_ref(), frame.len());
        }
    }

    /// Gives the driver what the link has.
    fn fill_guest(&mut self) -> Result<(), BrokenRing> {
        let Some(link) = self.parts.link.clone() else {
            return Ok(());
        };
        let memory = Arc::clone(&self.parts.memory);
        let mut room = Room::default();
        let mut has_completed = false;
        for frame in 0.. {
            if frame == FRAMES_PER_TURN_MAX {
                self.parts.receive.kick_again();
                break;
            }
            if self.kept.is_none() && !self.readable {
                break;
            }
            if self.kept.is_none()
                && room.chains() == 0
                && self.expected_bytes > IN_VAIN_MAX
                && !has_frame(link.as_ref())
            {
                self.readable = false;
                break;
            }
            let chains_before = room.chains();
            let wanted = self.kept.unwrap_or(self.expected_bytes);
            has_completed |= self.gather(&mut room, &memory, wanted)?;
            let outcome = match self.kept {
                _ if room.chains() == 0 => Outcome::Pause,
                Some(bytes) => self.deliver_kept(&mut room, &memory, bytes)?,
                None => self.receive(link.as_ref(), &mut room, &memory)?,
            };
            has_completed |= room.chains() < chains_before || matches!(outcome, Outcome::Done);
            if let Outcome::Pause = outcome {
                break;
            }
        }
        room.release(&mut self.parts.receive);
        if has_completed && self.parts.receive.wants_interrupt(&memory)? {
            self.parts.interrupt.raise_queue();
        }
        Ok(())
    }

    fn gather<'m>(
        &mut self,
        room: &mut Room<'m>,
        memory: &'m GuestMemoryMmap,
        bytes: usize,
    ) -> Result<bool, BrokenRing> {
        let chains_max = if self.parts.merges {
            usize::from(self.parts.receive.size())
        } else {
            1
        };
        room.gather(&mut self.parts.receive, memory, bytes, chains_max)
    }

    /// Reads a frame into `room`, which is not empty.
    fn receive<'m>(
        &mut self,
        link: &dyn Link,
        room: &mut Room<'m>,
        memory: &'m GuestMemoryMmap,
    ) -> Result<Outcome, BrokenRing> {
        if !may_go(self.parts.receive_turn.as_mut()) {
            return Ok(Outcome::Pause);
        }
        let before = room.bytes();
        let read = vectored::read(link.descriptor(), room.slices(), &mut self.rest, &mut self.vectors);
        let bytes = match read {
            // Nothing has no header: the link's other end is gone.
            Err(_) | Ok(0) => {
                // Whatever the reason, there is no frame now; what changes that is an event.
                self.readable = false;
                return Ok(Outcome::Pause);
            }
            Ok(bytes) if bytes < HEADER_BYTES || bytes > self.rest.len() => return Ok(Outcome::Done),
            Ok(bytes) => bytes,
        };
        self.parts.meter.received(bytes - HEADER_BYTES);
        charge(self.parts.receive_turn.as_ref(), bytes - HEADER_BYTES);
        self.expected_bytes = bytes;
        if bytes > before {
            self.gather(room, memory, bytes)?;
            if bytes > room.bytes() {
                return Ok(self.keep(room, bytes, before));
            }
            room.write(before, &self.rest[..bytes - before]);
        }
        room.deliver(&mut self.parts.receive, memory, bytes)?;
        Ok(Outcome::Done)
    }

    /// Keeps the frame of which `front` bytes are in `room` until there is more room; if there can be.
    fn keep(&mut self, room: &Room<'_>, bytes: usize, front: usize) -> Outcome {
        if !self.can_have_more(room) {
            return Outcome::Done;
        }
        self.rest.copy_within(..bytes - front, front);
        room.read(&mut self.rest[..front]);
        self.kept = Some(bytes);
        Outcome::Pause
    }

    fn deliver_kept(
        &mut self,
        room: &mut Room<'_>,
        memory: &GuestMemoryMmap,
        bytes: usize,
    ) -> Result<Outcome, BrokenRing> {
        if bytes <= room.bytes() {
            room.write(0, &self.rest[..bytes]);
            room.deliver(&mut self.parts.receive, memory, bytes)?;
        } else if self.can_have_more(room) {
            return Ok(Outcome::Pause);
        }
        self.kept = None;
        Ok(Outcome::Done)
    }

    /// Whether the driver could add buffers to these for one frame.
    fn can_have_more(&self, room: &Room<'_>) -> bool {
        self.parts.merges && room.chains() < usize::from(self.parts.receive.size())
    }

    fn watch(&self, ops: &mut EventOps<'_>) -> Result<(), event_manager::Error> {
        self.parts.receive.watch(RECEIVE, ops)?;
        self.parts.transmit.watch(TRANSMIT, ops)?;
        if let Some(link) = &self.parts.link {
            let events = EventSet::IN | EventSet::EDGE_TRIGGERED;
            ops.add(Events::with_data_raw(link.descriptor().as_raw_fd(), LINK, events))?;
        }
        let turns = [
            (RECEIVE_TURN, &self.parts.receive_turn),
            (TRANSMIT_TURN, &self.parts.transmit_turn),
        ];
        for (token, turn) in turns {
            turn.as_ref().map_or(Ok(()), |turn| turn.watch(token, ops))?;
        }
        Ok(())
    }

    fn turn(&mut self, token: u32) -> Result<(), BrokenRing> {
        match token {
            TRANSMIT | TRANSMIT_TURN => self.serve_guest(),
            _ => self.fill_guest(),
        }
    }

    fn break_down(&mut self) {
        self.broken = true;
        self.parts.interrupt.request_reset();
    }
}

/// Whether there is something to be read, be it an error.
fn has_frame(link: &dyn Link) -> bool {
    let descriptor = link.descriptor();
    let mut asked = [PollFd::new(&descriptor, PollFlags::IN)];
    // A system that does not say is asked by reading.
    poll(&mut asked, Some(&Timespec::default())).map_or(true, |ready| ready > 0)
}

/// Whether the next frame may go. How long it is, is only known then, and paid for by those behind it.
fn may_go(turn: Option<&mut Turn>) -> bool {
    turn.is_none_or(|turn| turn.may_go(Cost::default()))
}

fn charge(turn: Option<&Turn>, bytes: usize) {
    if let Some(turn) = turn {
        turn.charge(Cost::of_bytes(bytes as u64));
    }
}

impl MutEventSubscriber for Wire {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        if self.watch(ops).is_err() {
            return self.break_down();
        }
        // Frames may be waiting already: a clone's driver may have kicked before the clone was made. A look into a queue at rest
        // would write to it, and so copy a page that the clone shares with its template.
        let memory = Arc::clone(&self.parts.memory);
        for ring in [&self.parts.receive, &self.parts.transmit] {
            if !ring.is_at_rest(&memory) {
                ring.kick_again();
            }
        }
    }

    fn process(&mut self, events: Events, _ops: &mut EventOps<'_>) {
        match events.data() {
            RECEIVE => self.parts.receive.clear_kick(),
            TRANSMIT => self.parts.transmit.clear_kick(),
            LINK => self.readable = true,
            _ => {}
        }
        if !self.broken && self.turn(events.data()).is_err() {
            self.break_down();
        }
    }
}
