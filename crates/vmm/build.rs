//! Tells the linker how to lay the program out, where it is built to start quickly: with the C library whose start is short.

use std::env;

fn main() {
    let directory = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rerun-if-changed=start.ld");
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|environment| environment == "musl") {
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{directory}/start.ld");
        // One mapping of the file for code and constants, not three.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,noseparate-code");
    }
}
