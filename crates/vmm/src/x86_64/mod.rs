//! Everything that is true of x86-64 only: where things are, how a kernel is entered, what a processor says of itself.
//!
//! Read [`layout`] first, then [`boot`]; the others each make one table. The rest of the crate uses [`layout`], [`boot`],
//! [`command_line`] and the functions here.

pub mod boot;
pub mod command_line;
pub mod layout;

mod cpuid;
mod machine;
mod mp_table;
mod registers;
mod state;

pub use machine::{HostError, Leaves, VcpuError, enter_at, make_vcpu, prepare, restore_vcpu};
pub use state::{ChipState, Reference, StateError, Time, VcpuState};
