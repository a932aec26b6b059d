//! Containers of a size of their own whose program is `mote-bench-worker`, and what their control groups count.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use api::attach::Frame;
use api::client::{AttachedReader, AttachedWriter};
use api::task::{HostVolume, StopRequest};

use crate::clock::monotonic_ns;
use crate::host::{Host, Installation, NO_POOL, Scratch, request};
use crate::memory;

/// The program, and the directory of the container's that it is in.
pub const PROGRAM: &str = "mote-bench-worker";
const DIRECTORY: &str = "/bench";

/// A host whose containers have the program.
pub struct Workshop {
    /// The host agent.
    pub host: Host,
    programs: Scratch,
}

/// A container that runs.
pub struct Worker<'a> {
    host: &'a Host,
    id: String,
    reader: AttachedReader,
    // Kept: where it goes, the container's stream ends.
    _writer: AttachedWriter,
    said: String,
    group: PathBuf,
}

/// What a control group has used, and when that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    used_us: u64,
    at_ns: u64,
}

impl Reading {
    /// The CPUs that were used on average since `before`.
    #[expect(clippy::cast_precision_loss, reason = "times of a benchmark are far below 2^53 ns")]
    pub fn cpus_since(self, before: Self) -> f64 {
        (self.used_us - before.used_us) as f64 * 1e3 / (self.at_ns - before.at_ns) as f64
    }
}

impl Workshop {
    /// Starts a host agent, and has its template made.
    pub fn open() -> Result<Self> {
        let installation = Installation::from_environment()?;
        let programs = Scratch::new("programs")?;
        let program = installation.program(PROGRAM);
        std::fs::copy(&program, programs.path().join(PROGRAM))
            .with_context(|| format!("cannot copy {}", program.display()))?;
        let allowed = programs.path().to_string_lossy();
        let host = Host::start(&installation, &[NO_POOL, &["--allow-host-path", &allowed]].concat())?;
        host.prepare()?;
        Ok(Self { host, programs })
    }

    /// Where the host has the program.
    pub fn program(&self) -> PathBuf {
        self.programs.path().join(PROGRAM)
    }

    /// The program's directory as `mote run` is told to mount it.
    pub fn volume(&self) -> String {
        format!("{}:{DIRECTORY}:ro", self.programs.path().display())
    }

    /// Starts a container of this size that does this work.
    pub fn start(&self, name: &str, vcpu_milli: u32, memory_mib: u32, work: &[&str]) -> Result<Worker<'_>> {
        self.run(name, vcpu_milli, memory_mib, &[&[inside().as_str()], work].concat())
    }

    /// Starts a container of this size with any command.
    pub fn run(&self, name: &str, vcpu_milli: u32, memory_mib: u32, command: &[&str]) -> Result<Worker<'_>> {
        let mut request = request(name, vcpu_milli, memory_mib, command)?;
        request.host_volumes = vec![HostVolume {
            host_path: self.programs.path().to_string_lossy().into_owned(),
            path: DIRECTORY.to_owned(),
            read_only: true,
        }];
        let before = self.microvms()?;
        let client = self.host.client();
        let (id, attached) = self.host.wait(client.run(&request)).context("the task was refused")?;
        let (reader, writer) = attached.split();
        let task = self.host.wait(client.wait_until_running(&id));
        task.context("the task does not run")?;
        let mut news = self.microvms()?;
        news.retain(|process| !before.contains(process));
        let [process] = news[..] else {
            bail!("{} microVMs came with one task", news.len());
        };
        Ok(Worker {
            host: &self.host,
            id,
            reader,
            _writer: writer,
            said: String::new(),
            group: memory::control_group(process)?,
        })
    }

    fn microvms(&self) -> Result<Vec<u32>> {
        memory::children(self.host.process(), "mote-vmm")
    }
}

impl Worker<'_> {
    /// Waits until it says a line that begins with `word`; the rest of that line.
    pub fn hear(&mut self, word: &str) -> Result<String> {
        loop {
            if let Some(rest) = told(&self.said, word) {
                return Ok(rest.to_owned());
            }
            match self.host.wait(self.reader.next()).context("the task's stream failed")? {
                Some(Frame::Stdout(bytes) | Frame::Stderr(bytes)) => {
                    self.said.push_str(&String::from_utf8_lossy(&bytes))
                }
                Some(Frame::Ended(task)) => {
                    let reason = task.stopped_reason.unwrap_or_default();
                    bail!(
                        "the task stopped before it said {word:?}: {reason}; it said {:?}",
                        self.said
                    )
                }
                other => bail!("the task said {other:?}"),
            }
        }
    }

    /// What its microVM has used until now.
    pub fn read(&self) -> Result<Reading> {
        let text = read(&self.group, "cpu.stat")?;
        let at_ns = monotonic_ns();
        let used = text
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec ")?.parse().ok());
        Ok(Reading {
            used_us: used.with_context(|| format!("{} counts no time", self.group.display()))?,
            at_ns,
        })
    }

    /// The CPUs that its microVM uses on average for so long.
    pub fn cpus_over(&self, window: Duration) -> Result<f64> {
        let before = self.read()?;
        std::thread::sleep(window);
        Ok(self.read()?.cpus_since(before))
    }

    /// Its `cpu.max`, which holds every thread of its VMM.
    pub fn limit(&self) -> Result<String> {
        Ok(read(&self.group, "cpu.max")?.trim().to_owned())
    }

    /// Ends it.
    pub fn stop(self) -> Result<()> {
        let client = self.host.client();
        let request = StopRequest {
            timeout_seconds: Some(0),
        };
        self.host.wait(async {
            client
                .stop_task(&self.id, request)
                .await
                .context("the task does not stop")?;
            client.wait_task(&self.id).await.context("the task is not over")?;
            client.remove_task(&self.id).await.context("the task is not forgotten")
        })
    }
}

/// Where a container has the program.
pub fn inside() -> String {
    format!("{DIRECTORY}/{PROGRAM}")
}

/// The rest of the line that begins with `word`, once that line is complete.
fn told<'a>(said: &'a str, word: &str) -> Option<&'a str> {
    let mut lines = said.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    lines.find_map(|line| Some(line.strip_prefix(word)?.trim()))
}

fn read(group: &Path, file: &str) -> Result<String> {
    let path = group.join(file);
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_counts_when_it_is_complete() {
        assert_eq!(told("begun\nlong", "longest"), None);
        assert_eq!(told("begun\nlongest 1", "longest"), None);
        assert_eq!(told("begun\nlongest 12\n", "longest"), Some("12"));
    }

    #[test]
    fn used_time_is_a_share_of_the_time_that_passed() {
        let reading = |used_us, at_ns| Reading { used_us, at_ns };
        let share = reading(1_050_000, 3_000_000_000).cpus_since(reading(50_000, 1_000_000_000));
        assert!((share - 0.5).abs() < 1e-9);
    }
}
