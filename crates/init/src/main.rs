//! The binary `mote-init`: the guest agent, or the first process of a container that asked for one.

#![forbid(unsafe_code)]

fn main() {
    match init::reaper::led() {
        Some(child) => init::reaper::run(child),
        None => init::boot::run(),
    }
}
