//! PID 1 in the guest: boots, runs the containers of one bootstrap message, and ends the microVM.
//!
//! It decides nothing: what the host does not ask for, it does not do. It has one thread and one event loop, in which no stream waits
//! for another. All that needs no host is done before the host is there, since it is then part of the template that every microVM is a
//! clone of. Read it in this order: [`boot`]; [`ready`], which uses [`guest`], [`slots`], [`disks`] and [`container::nursery`]; [`task`],
//! [`container`]; [`growth`] and [`vcpus`] for what comes late; below them [`control`], [`carriers`], [`outlet`], [`inlet`] and [`poller`] move bytes,
//! and [`sys`] holds all that is unsafe. [`reaper`] is another process of the same program.

#![deny(unsafe_code)]

pub mod boot;
pub mod carriers;
pub mod container;
pub mod control;
pub mod disks;
pub mod failure;
pub mod frames;
pub mod growth;
pub mod guest;
pub mod inlet;
pub mod kernel_log;
mod lodging;
pub mod mount;
pub mod netlink;
pub mod network;
pub mod outlet;
pub mod poller;
pub mod ready;
pub mod reaper;
pub mod slots;
#[expect(unsafe_code, reason = "the kernel's interfaces that no safe crate wraps")]
pub mod sys;
pub mod task;
pub mod uevents;
pub mod vcpus;
pub mod warm;
