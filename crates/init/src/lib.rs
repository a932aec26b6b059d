//! PID 1 in the guest: boots, runs the containers of one bootstrap message, and ends the microVM.
//!
//! It decides nothing: what the host does not ask for, it does not do. It has one thread and one event loop, in which no stream waits
//! for another. Read it in this order: [`boot`], [`guest`], [`task`], [`container`]; below them [`control`], [`relay`] and
//! [`poller`] move bytes, [`block`] and [`mount`] find and mount disks, and [`sys`] holds all that is unsafe.

#![deny(unsafe_code)]

pub mod block;
pub mod boot;
pub mod container;
pub mod control;
pub mod failure;
pub mod frames;
pub mod guest;
pub mod kernel_log;
pub mod mount;
pub mod poller;
pub mod relay;
#[expect(unsafe_code, reason = "the kernel's interfaces that no safe crate wraps")]
pub mod sys;
pub mod task;
