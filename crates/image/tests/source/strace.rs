//! Tests of this program in a process of their own under strace, which tells what they ask of the kernel, and makes that fail.

use std::process::{Command, Output};

/// A test that is to run under strace.
pub struct Traced {
    /// Takes variables of the environment.
    pub command: Command,
    written: tempfile::NamedTempFile,
}

/// The test `name`, and whatever it starts, under strace with these options.
pub fn traced<'a>(options: impl IntoIterator<Item = &'a str>, name: &str) -> Traced {
    let written = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(written.path()).args(options);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture", name]);
    Traced { command, written }
}

impl Traced {
    /// Runs it. What strace wrote, and how the test ended.
    pub fn run(mut self) -> (String, Output) {
        let output = self.command.output().expect("strace (run `make setup`) runs");
        (std::fs::read_to_string(self.written.path()).unwrap(), output)
    }
}
