//! What is between a microVM's TAP interface and the world: a bridge, addresses, NAT, published ports, and DNS.
//!
//! Knows no VM and no task: what attaches is known by its [`Lease`]. Everything on the host is made by the programs `ip`, `bridge` and
//! `nft`, in batches, and in advance: an interface, its address and its rules wait before somebody wants them.
//!
//! In reading order: [`subnet`], [`addresses`], what an address is and who has it; [`rules`], all that the packet filter is told, as text;
//! [`program`], how that is run; [`bridge`], [`taps`], interfaces; [`ports`], the host's ports; [`dns`], the forwarder; [`network`], which
//! owns all of it, where a [`claim`] says that nobody else does.

#![forbid(unsafe_code)]

pub mod addresses;
pub mod bridge;
pub mod claim;
pub mod dns;
pub mod network;
pub mod ports;
pub mod program;
pub mod rules;
pub mod subnet;
pub mod taps;

pub use claim::{Claim, ClaimError};
pub use network::{Lease, Network, NetworkError, Settings};
pub use ports::{PortRequest, Published};
pub use subnet::Subnet;
