//! A ring and chains of buffers in a memory that is all the driver's: table, rings and buffers are what the input says.
#![no_main]

use std::sync::{Arc, LazyLock};

use devices::device::Activation;
use devices::interrupt::Interrupt;
use devices::ring::Ring;
use devices::ring::buffers::{Buffers, ChainError, writable_places};
use libfuzzer_sys::fuzz_target;
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

const REGION_BYTES: usize = 0x1000;
const MEMORY_BYTES: usize = 2 * REGION_BYTES;
/// Descriptors first, then the rings: all that a small input needs lies at its begin.
const TABLE: u32 = 0;
const AVAILABLE: u32 = 0x100;
const USED: u32 = 0x180;
const ENTRIES: u16 = 16;
/// A buffer may lie over the rings, so that there is always one more chain.
const CHAINS_MAX: usize = 64;

/// Two regions that touch each other, so that a buffer may lie in both.
static MEMORY: LazyLock<GuestMemoryMmap> = LazyLock::new(|| {
    let ranges = [0, REGION_BYTES].map(|start| (GuestAddress(start as u64), REGION_BYTES));
    GuestMemoryMmap::from_ranges(&ranges).expect("two pages of memory")
});

fn ring(event_idx: bool) -> Ring {
    let mut queue = Queue::new(ENTRIES).expect("a power of two");
    queue.set_desc_table_address(Some(TABLE), Some(0));
    queue.set_avail_ring_address(Some(AVAILABLE), Some(0));
    queue.set_used_ring_address(Some(USED), Some(0));
    queue.set_event_idx(event_idx);
    queue.set_ready(true);
    assert!(queue.is_valid(&*MEMORY));
    let mut activation = Activation {
        memory: MEMORY.clone(),
        queues: vec![queue],
        kicks: vec![EventFd::new(EFD_NONBLOCK).expect("a descriptor")],
        interrupt: Interrupt::new(Arc::new(EventFd::new(EFD_NONBLOCK).expect("a descriptor"))),
        features: 0,
    };
    let [ring] = activation.take_rings().expect("one ring");
    ring
}

/// Reads all that the driver says and answers with it, as far as there is room.
fn echo(buffers: &Buffers) -> u32 {
    let mut said = vec![0; buffers.readable.len()];
    assert_eq!(buffers.readable.copy_to(&mut said), said.len());
    let (front, back) = buffers.writable.split_at(said.len());
    assert_eq!(front.len() + back.len(), buffers.writable.len());
    assert_eq!(front.copy_from(&said), front.len().min(said.len()));
    back.clear();
    u32::try_from(buffers.writable.len()).expect("chains of 4 GiB are refused")
}

/// Both ways of looking at a chain find the same rules broken, or the same room.
fn check_places(places: &Result<Vec<(u64, u32)>, ChainError>, buffers: &Result<Buffers, ChainError>) {
    match (places, buffers) {
        (Ok(places), Ok(buffers)) => {
            let bytes: usize = places.iter().map(|&(_, bytes)| bytes as usize).sum();
            assert_eq!(bytes, buffers.writable.len());
        }
        (Err(error), Err(same)) => assert_eq!(error, same),
        _ => panic!("{places:?} and {buffers:?}"),
    }
}

fuzz_target!(|input: (bool, &[u8])| {
    let (event_idx, bytes) = input;
    let mut content = bytes[..bytes.len().min(MEMORY_BYTES)].to_vec();
    content.resize(MEMORY_BYTES, 0);
    MEMORY
        .write_slice(&content, GuestAddress(0))
        .expect("inside the memory");
    let mut ring = ring(event_idx);
    for _ in 0..CHAINS_MAX {
        let Ok(Some(chain)) = ring.next(&MEMORY) else { break };
        let head = chain.head_index();
        let places = writable_places(&MEMORY, chain.clone());
        let buffers = Buffers::parse(&MEMORY, chain);
        check_places(&places, &buffers);
        let written = buffers.map_or(0, |buffers| echo(&buffers));
        if ring.complete(&MEMORY, head, written).is_err() || ring.wants_interrupt(&MEMORY).is_err() {
            break;
        }
    }
});
