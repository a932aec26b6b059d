//! The contracts inside a host: what the host agent and a VMM, and the host agent and a guest agent, say to each other.
//!
//! Types and their bounded encoding; no decision is taken here.
//! Start at [`frame`] for the encoding, then [`guest`] (agent ⇄ init, over vsock) and [`vmm`] (agent ⇄ vmm, over a unix socket).
//! [`attachments`] is how the files that a VMM is told of become descriptors, the one place where something is opened. [`window`] is the logic of a stream's two ends; [`usual`] are the values that most messages carry.

#![deny(unsafe_code)]

pub mod attachments;
pub mod frame;
pub mod guest;
pub mod jail;
pub mod usual;
pub mod vmm;
pub mod window;
