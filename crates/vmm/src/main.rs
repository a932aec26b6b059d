//! `mote-vmm CONFIG`: one process, one microVM.
//!
//! Knows no task, no container and no image: it reads one [`protocol::vmm::Config`], runs what that describes, tells about it on
//! its control socket, and exits with a [`protocol::vmm::ExitCode`].
//!
//! Read [`process`], which is the whole story; then [`microvm`], which boots or clones a guest, [`furnish`], which gives it its devices, and
//! [`vcpu`], which runs it. A guest that is saved becomes a [`template`].
//! The main thread serves the devices in the [`event_loop`]; each vCPU has a thread; they talk by [`reports`] and [`workers`].

#![cfg_attr(not(test), no_main)]

mod process;

mod config;
mod ending;
mod opened;

mod bytes;
mod microvm;
mod template;
mod x86_64;

mod backing;
mod copying;
mod furnish;
mod host_side;
mod memory;
mod space;
mod tap;
mod touched;

mod bus;
mod kick;
mod slice;
mod vcpu;
mod vcpus;
mod wiring;

mod jail;

mod clock;
mod control;
mod event_loop;
mod reports;
mod signals;
mod socket;
mod subscriber;
mod workers;

use std::ffi::{CStr, OsStr, c_char, c_int};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use protocol::jail::BIRTH_LIST;
use protocol::vmm::ExitCode;

/// The C library's own takes many small mappings from the system before the guest's first instruction, and gives them back.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// The C library's entry. Rust's own would look at the process for half as long as it then takes to set up a microVM.
#[cfg_attr(not(test), unsafe(export_name = "main"))]
#[cfg_attr(test, expect(dead_code, reason = "the test harness has its own"))]
extern "C" fn main_of_c(count: c_int, arguments: *const *const c_char) -> c_int {
    let path = (count == 2).then(|| {
        // SAFETY: the C library gives as many pointers to strings that last as long as the process. Rust's library knows its arguments only
        // with some C libraries, where it was not Rust's entry that began.
        unsafe { CStr::from_ptr(*arguments.add(1)) }
    });
    match path.map(CStr::to_bytes) {
        Some(argument) if argument == BIRTH_LIST.as_bytes() => tell_birth_list(),
        Some(path) => process::run(Path::new(OsStr::from_bytes(path))).into(),
        None => {
            let _ = writeln!(
                io::stderr(),
                "mote-vmm: usage: mote-vmm CONFIG (a path, or - for standard input) | {BIRTH_LIST}"
            );
            ExitCode::Failure.into()
        }
    }
}

fn tell_birth_list() -> c_int {
    let text = serde_json::to_vec(&jail::birth_list()).unwrap_or_default();
    // What the library keeps, nobody would write at the end.
    let written = io::stdout().write_all(&text).and_then(|()| io::stdout().flush());
    written.map_or(ExitCode::Failure.into(), |()| 0)
}
