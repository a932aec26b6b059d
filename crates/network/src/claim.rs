//! One process per host has the network: a name that nobody else can have, and that is free again when the process ends, however it ends.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

/// The network of this host is this process's while it is held.
#[derive(Debug)]
pub struct Claim {
    _name: UnixListener,
}

/// Why the network is not this process's.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Somebody has it.
    #[error("another host agent on this host has the network behind {bridge}; start this one with --no-network")]
    Taken {
        /// The bridge.
        bridge: String,
    },
    /// The name cannot be had.
    #[error("cannot claim the network behind {bridge}")]
    Bind {
        /// The bridge.
        bridge: String,
        /// The system's answer.
        source: io::Error,
    },
}

impl Claim {
    /// Claims the network behind `bridge`, in this network namespace.
    ///
    /// # Errors
    /// [`ClaimError`]
    pub fn take(bridge: &str) -> Result<Self, ClaimError> {
        let name = format!("mote/network/{bridge}");
        // Abstract names belong to the network namespace, as bridges do (unix(7)).
        let bound = SocketAddr::from_abstract_name(name).and_then(|address| UnixListener::bind_addr(&address));
        let bridge = bridge.to_owned();
        match bound {
            Ok(name) => Ok(Self { _name: name }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(ClaimError::Taken { bridge }),
            Err(source) => Err(ClaimError::Bind { bridge, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_claimed_once() {
        let claim = Claim::take("mote-test-claim").unwrap();
        assert!(matches!(Claim::take("mote-test-claim"), Err(ClaimError::Taken { .. })));
        drop(claim);
        Claim::take("mote-test-claim").unwrap();
    }
}
