//! Where this program lies: in one huge page of the guest's memory, which a clone's host maps with one fault instead of one for each page.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::sys::process;

/// Where the kernel has put this program: in pages that are where there was room.
const FIRST: &str = "/init";

/// Where a file system of huge pages is mounted for as long as it takes.
const DIRECTORY: &str = "/run";

/// The program in it.
const PROGRAM: &CStr = c"/run/init";

/// How the program is called there.
const NAME: &CStr = c"mote-init";

/// The size of a huge page.
const HUGE_PAGE_LEN: u64 = 2 << 20;

/// So much is copied at once: what the library and the kernel do for each call counts in every boot.
const ROOM_LEN: usize = 64 << 10;

/// Goes on there; returns where it is there already, or where that cannot be had.
pub fn settle() {
    let moved = std::env::args_os()
        .next()
        .is_some_and(|name| name.as_encoded_bytes() == NAME.to_bytes());
    if moved {
        // What runs stays; nobody needs its name, nor the place where it was.
        let _ = unmount(DIRECTORY, UnmountFlags::DETACH);
        let _ = fs::remove_file(FIRST);
    } else if copy().is_ok() {
        // Returns only where it failed: what is slower works as well.
        process::execute(PROGRAM, &[NAME.to_owned()], &[]);
    }
}

/// Copies the program there.
fn copy() -> io::Result<()> {
    let mut first = File::open(FIRST)?;
    mount(
        "tmpfs",
        DIRECTORY,
        "tmpfs",
        MountFlags::NOSUID | MountFlags::NODEV,
        c"mode=0700,huge=always",
    )?;
    let mut options = File::options();
    let mut program = options
        .write(true)
        .create_new(true)
        .mode(0o500)
        .open(PROGRAM.to_string_lossy().as_ref())?;
    // The kernel takes a huge page apart that lies beyond the end of its file.
    program.set_len(first.metadata()?.len().next_multiple_of(HUGE_PAGE_LEN))?;
    let mut room = vec![0; ROOM_LEN];
    loop {
        match first.read(&mut room)? {
            0 => return Ok(()),
            len => program.write_all(&room[..len])?,
        }
    }
}
