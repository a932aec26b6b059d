//! Watches over one machine; started by the `machine` library, never by a person.

use std::process::ExitCode;

fn main() -> ExitCode {
    if machine::supervisor::run() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
