//! `mote-bench-worker burn|io THREADS SECONDS`: what a container does whose CPU is measured. `mote-bench-worker echo PORT`: gives every byte back.
//!
//! `burn` computes and `io` writes and reads past the page cache; both say `begun`, and at the end the longest time, in nanoseconds, in which a
//! thread got nothing done.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags, openat};

/// The size of one transfer, in bytes, and how many of them lie in the file.
const TRANSFER_BYTES: usize = 64 << 10;
const TRANSFERS: u64 = 256;

/// How memory and disk have to be aligned for transfers past the page cache, in bytes.
const ALIGNMENT: usize = 4096;

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [what @ ("burn" | "io"), threads, seconds] => work(*what == "io", number(threads)?, number(seconds)?),
        ["echo", port] => echo(port),
        _ => Err(io::Error::other("there is no such work")),
    }
}

fn number(word: &str) -> io::Result<u64> {
    word.parse().map_err(io::Error::other)
}

/// Gives back what comes, at once, one connection after the other.
fn echo(port: &str) -> io::Result<()> {
    let port = port.parse().map_err(io::Error::other)?;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut bytes = [0; 64];
        while let Ok(len @ 1..) = stream.read(&mut bytes) {
            stream.write_all(&bytes[..len])?;
        }
    }
}

/// Keeps threads busy for so long, and says how long one of them was kept waiting at most.
fn work(is_io: bool, threads: u64, seconds: u64) -> io::Result<()> {
    say("begun")?;
    let until = Instant::now() + Duration::from_secs(seconds);
    let longest = std::thread::scope(|scope| {
        let one = |thread| {
            move || {
                if is_io {
                    transfer(thread, until)
                } else {
                    Ok(burn(until))
                }
            }
        };
        let all: Vec<_> = (0..threads).map(|thread| scope.spawn(one(thread))).collect();
        let gaps = all.into_iter().map(|thread| match thread.join() {
            Ok(gap) => gap,
            Err(_) => Err(io::Error::other("a thread panicked")),
        });
        gaps.collect::<io::Result<Vec<Duration>>>()
    })?;
    let longest = longest.into_iter().max().unwrap_or_default();
    say(&format!("longest {}", longest.as_nanos()))
}

/// Computes; the longest time between two looks at the clock.
fn burn(until: Instant) -> Duration {
    let (mut before, mut longest) = (Instant::now(), Duration::ZERO);
    while before < until {
        let now = Instant::now();
        longest = longest.max(now - before);
        before = now;
    }
    longest
}

/// Writes and reads; the longest time that one of both took.
fn transfer(thread: u64, until: Instant) -> io::Result<Duration> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::DIRECT | OFlags::CLOEXEC;
    let file = File::from(openat(
        CWD,
        format!("/transfer-{thread}"),
        flags,
        Mode::from_raw_mode(0o600),
    )?);
    let mut room = vec![7; TRANSFER_BYTES + ALIGNMENT];
    let from = room.as_ptr().align_offset(ALIGNMENT);
    let buffer = &mut room[from..from + TRANSFER_BYTES];
    let (mut before, mut longest) = (Instant::now(), Duration::ZERO);
    for turn in 0_u64.. {
        let at = turn / 2 % TRANSFERS * TRANSFER_BYTES as u64;
        if turn % 2 == 0 {
            file.write_all_at(buffer, at)?;
        } else {
            file.read_exact_at(buffer, at)?;
        }
        let now = Instant::now();
        longest = longest.max(now - before);
        before = now;
        if now >= until {
            break;
        }
    }
    Ok(longest)
}

fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}
