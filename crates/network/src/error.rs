//! Why there is no network, or not for a guest.

use std::net::Ipv4Addr;

use crate::bridge::BridgeError;
use crate::cidr::Cidr;
use crate::ports::PortError;
use crate::program::ProgramError;
use crate::subnet::Subnet;

/// Why there is no network, or not for this guest.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The bridge.
    #[error(transparent)]
    Bridge(#[from] BridgeError),
    /// A program.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A port.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Everything is given out.
    #[error("all {count} addresses of {subnet} are in use; stop tasks or configure a larger network")]
    Full {
        /// How many there are.
        count: u32,
        /// The network.
        subnet: Subnet,
    },
    /// A guest that is to be kept has an address of another network.
    #[error("the address {address} of a task that runs is not in the network {subnet}")]
    Foreign {
        /// The address.
        address: Ipv4Addr,
        /// The network.
        subnet: Subnet,
    },
    /// There is no such network.
    #[error("there is no network {name:?}; `mote network create {name}` makes it")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// It is defined, and could not be made.
    #[error("the network {name:?} is not there: {why}")]
    Broken {
        /// Its name.
        name: String,
        /// Why, in a sentence.
        why: String,
    },
    /// Another network has some of its addresses.
    #[error("{wanted} overlaps with {subnet}, which is the network {name:?}")]
    Overlap {
        /// What was wanted.
        wanted: Cidr,
        /// The other's name.
        name: String,
        /// What it has.
        subnet: Cidr,
    },
    /// Addresses that no host has.
    #[error("the addresses of {wanted} are none of hosts")]
    Unusable {
        /// What was wanted.
        wanted: Cidr,
    },
    /// All networks that are tried are in use.
    #[error("this host has routes into every network that tasks could share; name a free one with --subnet")]
    NoSubnet,
}
