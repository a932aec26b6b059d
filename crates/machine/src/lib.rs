//! A QEMU VM that plays the host where hardware virtualization is missing, and the look at what this host offers.
//!
//! In reading order: [`options`] says what a machine is made of, [`machine`] starts, finds and stops it, [`client`] runs programs in it.
//! Behind them, [`parts`] prepares the files, [`disk`] the data disk, [`supervisor`] is the process that watches over a machine, [`qemu`]
//! decides the command lines, [`state`] keeps what is known of running machines, and [`wire`] is what the host and the machine's init say
//! to each other. Apart from all that, [`doctor`](mod@doctor) tries what this host offers. The init itself is a program of this package,
//! `mote-machine-init`.
//!
//! Never: knows what runs in the machine.

#![deny(unsafe_code)]

pub mod client;
pub mod disk;
pub mod doctor;
pub mod machine;
pub mod name;
pub mod options;
pub mod parts;
pub mod qemu;
pub mod state;
pub mod supervisor;
pub mod wire;

pub use client::{Control, Execution, ExecutionEvent, ExitStatus, RelayError};
pub use doctor::{HardwareVirtualization, best_accelerator, doctor, has_hardware_virtualization};
pub use machine::{Machine, MachineError, Progress, Started, Status};
pub use name::MachineName;
pub use options::{Accelerator, DataDisk, Forward, HostFiles, Options, is_hidden};
pub use parts::Programs;
pub use wire::{ExecRequest, Refusal, TerminalSize};
