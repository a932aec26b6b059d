//! `mote-bench-marker [--list FILE] [PROGRAM [ARGUMENT]]`: what peers are given to run, a static program that tells when it runs.
//!
//! With a program, it prints the clock and executes that: so it is known when the program was executed. With a file, the kernel judges its system calls by
//! that list from before on, as those of a VMM that a host agent starts. In a container, or as a plain process, it
//! prints the clock at its first line, in nanoseconds. As the first process of a guest, whose clock is another one, it writes heartbeats to the first
//! serial port until the guest ends.

#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use protocol::jail::{self, CallList};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::time::{ClockId, clock_gettime};

/// What a heartbeat is. Nothing else that a VMM or a guest's kernel prints has this byte.
const HEARTBEAT: u8 = b'~';

/// Turns of an empty loop between heartbeats: a VM exit each, so not too many of them.
const TURNS_BETWEEN_HEARTBEATS: u32 = 100_000;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.next_if(|argument| argument == "--list").is_some() {
        let list: CallList = serde_json::from_slice(&fs::read(arguments.next().unwrap_or_default())?)?;
        rustix::thread::set_no_new_privs(true)?;
        jail::load(&list)?;
    }
    let now = clock_gettime(ClockId::Monotonic);
    if std::process::id() == 1 && Path::new("/dev/console").exists() && !Path::new("/bin").exists() {
        return beat();
    }
    writeln!(io::stdout(), "{}{:09}", now.tv_sec, now.tv_nsec)?;
    match arguments.next() {
        Some(program) => Err(Command::new(program).args(arguments).exec()),
        None => Ok(()),
    }
}

/// Heartbeats for ever: the first process of a guest must not end.
fn beat() -> io::Result<()> {
    // The device's numbers are Linux's own (Documentation/admin-guide/devices.txt, 4 char).
    mknodat(
        CWD,
        "/dev/ttyS0",
        FileType::CharacterDevice,
        Mode::RUSR | Mode::WUSR,
        makedev(4, 64),
    )?;
    let mut serial = File::options().write(true).open("/dev/ttyS0")?;
    loop {
        serial.write_all(&[HEARTBEAT])?;
        for turn in 0..TURNS_BETWEEN_HEARTBEATS {
            std::hint::black_box(turn);
        }
    }
}
