//! `mote`: runs OCI images in microVMs of exactly the size asked for.
//!
//! A client of the host agent's API. [`args`] is the command line, [`commands`] has one module per verb, [`host`] finds (and where
//! needed starts) the host agent, [`output`] is the only place that prints.

#![forbid(unsafe_code)]

mod args;
mod commands;
mod host;
mod output;
mod progress;
mod session;
mod sink;
mod terminal;
mod value;

use std::process::ExitCode;

/// The exit code of a failure of mote's own, as Docker has it.
const EXIT_FAILURE: u8 = 125;

fn main() -> ExitCode {
    let arguments = match args::Arguments::read() {
        Ok(arguments) => arguments,
        Err(error) => {
            output::clap(&error);
            return if error.use_stderr() {
                EXIT_FAILURE.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match commands::run(arguments) {
        Ok(code) => code.into(),
        Err(error) => {
            output::error(&error);
            EXIT_FAILURE.into()
        }
    }
}
