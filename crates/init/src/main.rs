//! The binary `mote-init`.

#![forbid(unsafe_code)]

fn main() {
    init::boot::run()
}
