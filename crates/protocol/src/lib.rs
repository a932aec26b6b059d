//! The contracts inside a host: what the host agent and a VMM, and the host agent and a guest agent, say to each other.
//!
//! Types and their bounded encoding, nothing else: no socket is opened and no decision taken here.
//! Start at [`frame`] for the encoding, then [`guest`] (agent ⇄ init, over vsock) and [`vmm`] (agent ⇄ vmm, over a unix socket).
//! [`window`] is the logic of a stream's two ends; [`usual`] are the values that most messages carry.

#![forbid(unsafe_code)]

pub mod frame;
pub mod guest;
pub mod usual;
pub mod vmm;
pub mod window;
