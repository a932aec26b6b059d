//! What is between a microVM's TAP interface and the world: bridges, addresses, NAT, published ports, and DNS.
//!
//! Knows no VM and no task: what attaches is known by its [`Lease`]. Everything on the host is made by the programs `ip`, `bridge` and
//! `nft`, in batches, and in advance: an interface, its address and its rules wait before somebody wants them.
//!
//! In reading order: [`subnet`], [`ipv6`], [`cidr`], [`addresses`], what an address is and who has it; [`rules`], all that the packet filter is told, as text;
//! [`program`], how that is run; [`sysctl`], the kernel's settings; [`bridge`], [`taps`], interfaces; [`ports`], the host's ports; [`dns`], the forwarder; `segment`, one network with
//! all of that; [`network`], which owns all of them, where a [`claim`] says that nobody else does; [`error`], what can be in the way.

#![forbid(unsafe_code)]

pub mod addresses;
pub mod bridge;
pub mod cidr;
pub mod claim;
pub mod dns;
pub mod error;
pub mod ipv6;
pub mod network;
pub mod ports;
pub mod program;
pub mod rules;
mod segment;
mod spares;
pub mod subnet;
pub mod sysctl;
pub mod taps;

pub use cidr::Cidr;
pub use claim::{Claim, ClaimError};
pub use error::NetworkError;
pub use ipv6::Ipv6Subnet;
pub use network::{Lease, Member, Network, Settings, SharedNetwork, Surroundings};
pub use ports::{PortRequest, Published};
pub use subnet::Subnet;
