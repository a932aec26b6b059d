//! The kernel's log: the only place to say something when there is no host to tell it to.

use std::fs::File;
use std::io::Write as _;

/// The most that one line carries; the kernel refuses longer ones.
const LINE_LEN_MAX: usize = 900;

/// Says what ends the microVM. Shown on the console at every log level.
pub fn emergency(text: &str) {
    say(0, text);
}

/// Says what went wrong and did not end anything.
pub fn warn(text: &str) {
    say(4, text);
}

/// Writes one line at the given level (linux/kern_levels.h).
fn say(level: u8, text: &str) {
    let text = text.replace('\n', " ");
    let end = text.floor_char_boundary(LINE_LEN_MAX);
    if let Ok(mut log) = File::options().write(true).open("/dev/kmsg") {
        // There is nowhere left to tell of a failure.
        let _ = log.write_all(format!("<{level}>mote-init: {}\n", &text[..end]).as_bytes());
    }
}
