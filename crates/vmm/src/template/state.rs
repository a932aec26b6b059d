//! What a template holds beside the guest's memory, and its form in a file.

use devices::slots::{SLOT_COUNT, SavedQueue, SavedSlot, SlotIndex};

use crate::bytes::{Damaged, Reader, Writer};
use crate::x86_64::{ChipState, VcpuState};

/// The first bytes of the file. Changes with the format.
const MAGIC: [u8; 8] = *b"mote-t02";

/// Bytes in front of what the checksum covers.
const HEADER_LEN: usize = MAGIC.len() + size_of::<u32>();

/// The most queues of a device.
const QUEUES_MAX: usize = 16;

/// A guest at its doorbell, without its memory.
#[derive(Clone, Debug)]
pub struct State {
    /// The one vCPU that runs.
    pub vcpu: VcpuState,
    /// The interrupt controllers and the clock.
    pub chips: ChipState,
    /// What the drivers of the standing devices have set up.
    pub slots: Vec<(SlotIndex, SavedSlot)>,
}

/// Why a state cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// It is something else, or of another version.
    #[error("it is no template of this version")]
    Other,
    /// Its checksum is wrong.
    #[error("its checksum is wrong")]
    Checksum,
    /// It makes no sense.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

impl State {
    /// The state as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        self.vcpu.write(&mut writer);
        self.chips.write(&mut writer);
        writer.put(&u32::try_from(self.slots.len()).unwrap_or_default());
        for (index, slot) in &self.slots {
            write_slot(&mut writer, *index, slot);
        }
        let content = writer.finish();
        let mut bytes = MAGIC.to_vec();
        bytes.extend(crc32fast::hash(&content).to_le_bytes());
        bytes.extend(content);
        bytes
    }

    /// The state that was encoded as `bytes`.
    ///
    /// # Errors
    /// [`StateError`]
    pub fn parse(bytes: &[u8]) -> Result<Self, StateError> {
        let Some((header, content)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            return Err(StateError::Other);
        };
        let (magic, checksum) = header.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(StateError::Other);
        }
        if crc32fast::hash(content).to_le_bytes() != checksum {
            return Err(StateError::Checksum);
        }
        let mut reader = Reader::new(content);
        let vcpu = VcpuState::read(&mut reader)?;
        let chips = ChipState::read(&mut reader)?;
        let count = reader.take::<u32>()?;
        let slots = (0..count).map(|_| read_slot(&mut reader)).collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(Self { vcpu, chips, slots })
    }
}

fn write_slot(writer: &mut Writer, index: SlotIndex, slot: &SavedSlot) {
    // There are sixteen slots.
    writer.put(&u32::try_from(index.get()).unwrap_or_default());
    writer.put(&[
        slot.device_type,
        slot.status,
        slot.interrupt_status,
        u32::from(slot.is_kicked),
    ]);
    writer.put(&slot.features);
    writer.put(&u32::try_from(slot.queues.len()).unwrap_or_default());
    for queue in &slot.queues {
        writer.put(&[queue.size, u16::from(queue.ready)]);
        writer.put(&[queue.descriptors, queue.driver_ring, queue.device_ring]);
    }
}

fn read_slot(reader: &mut Reader<'_>) -> Result<(SlotIndex, SavedSlot), Damaged> {
    let number = usize::try_from(reader.take::<u32>()?).unwrap_or(SLOT_COUNT);
    let index = SlotIndex::new(number).ok_or(Damaged { at: number })?;
    let [device_type, status, interrupt_status, is_kicked] = reader.take::<[u32; 4]>()?;
    let features = reader.take()?;
    let count = usize::try_from(reader.take::<u32>()?).unwrap_or(usize::MAX);
    let queues = (0..count.min(QUEUES_MAX)).map(|_| {
        let [size, ready] = reader.take::<[u16; 2]>()?;
        let [descriptors, driver_ring, device_ring] = reader.take()?;
        Ok(SavedQueue {
            size,
            ready: ready != 0,
            descriptors,
            driver_ring,
            device_ring,
        })
    });
    let slot = SavedSlot {
        device_type,
        features,
        status,
        interrupt_status,
        is_kicked: is_kicked != 0,
        queues: queues.collect::<Result<_, Damaged>>()?,
    };
    Ok((index, slot))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let queue = SavedQueue {
            size: 8,
            ready: true,
            descriptors: 0x1000,
            driver_ring: 0x2000,
            device_ring: 0x3000,
        };
        let slot = SavedSlot {
            device_type: 2,
            features: 1 << 32,
            status: 15,
            interrupt_status: 1,
            is_kicked: true,
            queues: vec![queue; 2],
        };
        State {
            vcpu: VcpuState::default(),
            chips: ChipState::default(),
            slots: vec![(SlotIndex::new(3).unwrap(), slot)],
        }
    }

    #[test]
    fn a_state_is_read_back_as_written() {
        let read = State::parse(&state().encode()).unwrap();
        assert_eq!(read.slots, state().slots);
        assert_eq!(read.encode(), state().encode());
    }

    #[test]
    fn a_damaged_state_is_found_out_at_every_byte() {
        let whole = state().encode();
        for at in (0..whole.len()).step_by(7) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert!(State::parse(&damaged).is_err(), "byte {at}");
            assert!(State::parse(&whole[..at]).is_err(), "{at} bytes");
        }
    }
}
