//! virtio-vsock (virtio 1.2, 5.10): the guest's stream sockets, as unix sockets on the host.
//!
//! A guest that connects to the host's port N gets what [`HostSide`] connects it to. A host program connects to the
//! device's listener, says `CONNECT <port>`, and is answered `OK <local port>` once a guest program has accepted.

pub mod backend;
mod connection;
mod connections;
pub mod flow;
mod from_guest;
pub mod greeting;
pub mod packet;
mod socket;
#[cfg(test)]
mod tests;
mod to_guest;
mod worker;

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};

use virtio_bindings::virtio_ids::VIRTIO_ID_VSOCK;

pub use backend::HostSide;
pub use connections::{CONNECTIONS_MAX, FIRST_EPHEMERAL_PORT};

use crate::config;
use crate::device::{ActivateError, Activation, VirtioDevice, Worker};
use crate::vsock::backend::Host;

/// Buffers for the guest, buffers from the guest, events. Linux fills the first with 4 KiB each, for good; the third
/// it fills with eight.
const QUEUE_SIZES: [u16; 3] = [64, 128, 8];

/// The guest's end of all its sockets.
pub struct Vsock {
    guest_cid: u64,
    host: Host,
    listener: Option<UnixListener>,
}

impl Vsock {
    /// A device that gives the guest the address `guest_cid`, from 3 upwards. Host programs come in by `listener`.
    ///
    /// # Errors
    ///
    /// When the listener cannot be made non-blocking.
    pub fn new(guest_cid: u32, host: impl HostSide + 'static, listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            guest_cid: guest_cid.into(),
            host: Host::new(host),
            listener: Some(listener),
        })
    }

    /// A device that gives the guest the address `guest_cid`, and leads nowhere.
    #[must_use]
    pub fn unconnected(guest_cid: u32) -> Self {
        Self {
            guest_cid: guest_cid.into(),
            host: Host::new(Nobody),
            listener: None,
        }
    }
}

/// A host on which nobody listens.
struct Nobody;

impl HostSide for Nobody {
    fn connect(&mut self, _port: u32) -> io::Result<UnixStream> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }
}

impl VirtioDevice for Vsock {
    fn device_type(&self) -> u32 {
        VIRTIO_ID_VSOCK
    }

    fn queue_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn features(&self) -> u64 {
        // Without any bit there are stream sockets and no others (virtio 1.2, 5.10.3).
        0
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        config::read(&self.guest_cid.to_le_bytes(), offset, data);
    }

    fn write_config(&mut self, _offset: u64, _data: &[u8]) {}

    fn activate(&mut self, mut activation: Activation) -> Result<Box<dyn Worker>, ActivateError> {
        let [receive, transmit, _events] = activation.take_rings()?;
        let listener = self.listener.as_ref().map(UnixListener::try_clone).transpose();
        let listener = listener.map_err(|source| ActivateError::Duplicate { source })?;
        Ok(Box::new(worker::Sockets::new(worker::Parts {
            memory: activation.memory.into(),
            receive,
            transmit,
            interrupt: activation.interrupt,
            guest_cid: self.guest_cid,
            host: self.host.clone(),
            listener,
        })))
    }

    fn reset(&mut self) {}
}
