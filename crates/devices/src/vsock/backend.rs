//! What stands behind the guest's sockets: a way to reach host programs, and a way for them to come in.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

/// The host as a guest can reach it.
pub trait HostSide: Send {
    /// Connects to the program that stands behind a port of the host. Must not wait: all devices wait with it.
    ///
    /// # Errors
    ///
    /// When there is none, or it takes no connection now; the guest's connection is refused.
    fn connect(&mut self, port: u32) -> io::Result<UnixStream>;
}

/// The host side as the device and its worker hold it.
// Shared by the configuration half, which keeps it over a reset, and the worker on the device thread, which alone
// calls it; they never want it at the same time.
#[derive(Clone)]
pub(super) struct Host(Arc<Mutex<dyn HostSide>>);

impl Host {
    pub(super) fn new(side: impl HostSide + 'static) -> Self {
        Self(Arc::new(Mutex::new(side)))
    }

    pub(super) fn connect(&self, port: u32) -> io::Result<UnixStream> {
        // A host side that a panic interrupted is still the way to the host.
        let stream = self.0.lock().unwrap_or_else(PoisonError::into_inner).connect(port)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }
}
