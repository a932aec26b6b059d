//! `mote-agent`: the host agent's process.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use agent::arguments::Arguments;
use agent::server;
use clap::Parser;

fn main() -> ExitCode {
    server::run(Arguments::parse())
}
