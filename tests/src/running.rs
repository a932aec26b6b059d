//! A task that a test talks to, line by line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use crate::command::Ran;
use crate::host::{HUNG_SECONDS, Host};

/// A `mote run` under way. Its process's standard input and output are the test's.
pub struct Running {
    name: String,
    client: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Running {
    /// Starts the task `name` of `image` with these options and this command.
    ///
    /// # Panics
    /// Where `mote` cannot be run.
    #[must_use]
    pub fn start(host: &Host, name: &str, options: &[&str], image: &str, command: &[&str]) -> Self {
        let fixed = ["run", "--rm", "-i", "--timeout", HUNG_SECONDS, "--name", name];
        let mut client = host
            .mote(&[&fixed, options, &[image], command].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            name: name.to_owned(),
            input: client.stdin.take().unwrap(),
            output: BufReader::new(client.stdout.take().unwrap()),
            client,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next line of its output.
    ///
    /// # Panics
    /// Where there is none.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        let len = self.output.read_line(&mut line).unwrap();
        assert!(len > 0, "the output of {} has ended", self.name);
        line.trim_end().to_owned()
    }

    /// Writes a line to its input.
    ///
    /// # Panics
    /// Where it takes none.
    #[track_caller]
    pub fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// Ends its input, and waits for its end.
    ///
    /// # Panics
    /// Where it cannot be waited for.
    #[must_use]
    pub fn end(self) -> Ran {
        let Self {
            mut client,
            input,
            mut output,
            ..
        } = self;
        drop(input);
        let mut stdout = Vec::new();
        std::io::Read::read_to_end(&mut output, &mut stdout).unwrap();
        let status = client.wait().unwrap();
        Ran {
            code: status.code().unwrap_or(-1),
            stdout,
            stderr: String::new(),
        }
    }
}
