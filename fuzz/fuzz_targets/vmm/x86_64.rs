//! What a template's state is made of, without the vCPUs that it is for.

#[path = "../../../crates/vmm/src/x86_64/registers.rs"]
#[expect(dead_code, reason = "the rest is for vCPUs")]
mod registers;
#[path = "../../../crates/vmm/src/x86_64/state.rs"]
#[expect(dead_code, reason = "the rest is for vCPUs")]
mod state;

pub use state::{ChipState, VcpuState};
