//! virtio-net (virtio 1.2, 5.1): an Ethernet interface on one side, the frames of a TAP interface on the other, with checksums and
//! segmentation left to whoever comes last.
//!
//! There is no feature that tells the MTU: a driver reads it once, in the template, where the network of the clone is not known.
//! The guest agent sets it, and the hardware address, when it knows them.

pub mod backend;
pub mod header;
mod room;
#[cfg(test)]
mod tests;
#[expect(unsafe_code, reason = "guest memory goes to the kernel by its address")]
mod vectored;
mod worker;

use std::num::NonZeroU64;
use std::sync::Arc;

use virtio_bindings::bindings::virtio_net::{
    VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_ECN, VIRTIO_NET_F_GUEST_TSO4,
    VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_MAC,
    VIRTIO_NET_F_MRG_RXBUF,
};
use virtio_bindings::virtio_ids::VIRTIO_ID_NET;

pub use backend::Link;
pub use header::Offloads;

use crate::config;
use crate::device::{ActivateError, Activation, VirtioDevice, Worker};
use crate::limit::{Limit, Rates};
use crate::meter::Meter;
use crate::net::worker::{Parts, Wire};

/// Buffers for the guest, buffers from the guest.
const QUEUE_SIZES: [u16; 2] = [256, 256];

/// The length of an Ethernet address.
const MAC_BYTES: usize = 6;

/// A network interface.
pub struct Net {
    mac: [u8; MAC_BYTES],
    // Shared with the worker while there is one; neither changes it, the system orders what they do to it.
    link: Option<Arc<dyn Link>>,
    meter: Meter,
    limits: Limits,
}

/// What each direction keeps to.
#[derive(Default)]
struct Limits {
    receive: Option<Limit>,
    transmit: Option<Limit>,
}

impl Net {
    /// An interface with the address `mac` whose frames go over `link`.
    #[must_use]
    pub fn new(mac: [u8; MAC_BYTES], link: impl Link + 'static) -> Self {
        Self {
            mac,
            link: Some(Arc::new(link)),
            meter: Meter::default(),
            limits: Limits::default(),
        }
    }

    /// The same interface, whose frames are counted.
    #[must_use]
    pub fn metered(self, meter: Meter) -> Self {
        Self { meter, ..self }
    }

    /// The same interface, of whose frames so many bytes pass in a second, in each direction.
    #[must_use]
    pub fn limited(self, bytes_per_second: Option<NonZeroU64>) -> Self {
        let limit = || {
            Limit::of(Rates {
                bytes: bytes_per_second,
                operations: None,
            })
        };
        let limits = Limits {
            receive: limit(),
            transmit: limit(),
        };
        Self { limits, ..self }
    }

    /// An interface with nothing behind it: what is sent is lost, and nothing arrives.
    #[must_use]
    pub fn unconnected() -> Self {
        // Locally administered, and nobody's.
        Self {
            mac: [2, 0, 0, 0, 0, 0],
            link: None,
            meter: Meter::default(),
            limits: Limits::default(),
        }
    }
}

impl VirtioDevice for Net {
    fn device_type(&self) -> u32 {
        VIRTIO_ID_NET
    }

    fn queue_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn features(&self) -> u64 {
        [
            VIRTIO_NET_F_MAC,
            VIRTIO_NET_F_MRG_RXBUF,
            VIRTIO_NET_F_CSUM,
            VIRTIO_NET_F_HOST_TSO4,
            VIRTIO_NET_F_HOST_TSO6,
            VIRTIO_NET_F_HOST_ECN,
            VIRTIO_NET_F_GUEST_CSUM,
            VIRTIO_NET_F_GUEST_TSO4,
            VIRTIO_NET_F_GUEST_TSO6,
            VIRTIO_NET_F_GUEST_ECN,
        ]
        .iter()
        .fold(0, |features, bit| features | 1 << bit)
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        config::read(&self.mac, offset, data);
    }

    fn write_config(&mut self, _offset: u64, _data: &[u8]) {
        // The address can be written by legacy drivers only (virtio 1.2, 5.1.4).
    }

    fn activate(&mut self, mut activation: Activation) -> Result<Box<dyn Worker>, ActivateError> {
        let has = |bit: u32| activation.features & 1 << bit != 0;
        let sends = Offloads {
            checksum: has(VIRTIO_NET_F_CSUM),
            tso4: has(VIRTIO_NET_F_HOST_TSO4),
            tso6: has(VIRTIO_NET_F_HOST_TSO6),
            ecn: has(VIRTIO_NET_F_HOST_ECN),
        };
        let takes = Offloads {
            checksum: has(VIRTIO_NET_F_GUEST_CSUM),
            tso4: has(VIRTIO_NET_F_GUEST_TSO4),
            tso6: has(VIRTIO_NET_F_GUEST_TSO6),
            ecn: has(VIRTIO_NET_F_GUEST_ECN),
        };
        let merges = has(VIRTIO_NET_F_MRG_RXBUF);
        let [receive, transmit] = activation.take_rings()?;
        if let Some(link) = &self.link {
            link.set_offloads(takes)
                .map_err(|source| ActivateError::Backend { source })?;
        }
        let turn = |limit: &Option<Limit>| {
            let turn = limit.as_ref().map(Limit::turn).transpose();
            turn.map_err(|source| ActivateError::Backend { source })
        };
        Ok(Box::new(Wire::new(Parts {
            memory: activation.memory.into(),
            receive,
            transmit,
            interrupt: activation.interrupt,
            link: self.link.clone(),
            meter: self.meter,
            receive_turn: turn(&self.limits.receive)?,
            transmit_turn: turn(&self.limits.transmit)?,
            sends,
            merges,
        })))
    }

    fn speaks_first(&self) -> bool {
        self.link.is_some()
    }

    fn reset(&mut self) {}
}
