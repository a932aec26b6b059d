//! The control port: the line to the host from before the modules are loaded until the relay takes over.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::mem::MaybeUninit;

use anyhow::{Context, Result, bail};
use machine::wire::boot::{LINE_LEN_MAX, encode_line, parse_config};
use machine::wire::{BootConfig, BootReport};
use rustix::fs::inotify;

/// The machine has one virtio-serial port; this is how its device file begins.
const DEVICE_PREFIX: &str = "vport";

/// The open control port.
pub struct Control {
    port: File,
}

impl Control {
    /// Opens the port, waiting for the kernel to find it.
    pub fn open() -> Result<Self> {
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC).context("cannot watch /dev")?;
        inotify::add_watch(&watch, "/dev", inotify::WatchFlags::CREATE).context("cannot watch /dev")?;
        // Watched first, listed second: a port that appears in between is seen twice, never missed.
        loop {
            if let Some(name) = find_device()? {
                let port = File::options().read(true).write(true).open(format!("/dev/{name}"));
                return Ok(Self {
                    port: port.context("cannot open the control port")?,
                });
            }
            let mut buffer = [MaybeUninit::uninit(); 4096];
            rustix::io::read(&watch, &mut buffer).context("cannot watch /dev")?;
        }
    }

    /// Tells the host something.
    pub fn report(&mut self, report: &BootReport) -> Result<()> {
        self.port
            .write_all(&encode_line(report)?)
            .context("cannot write to the control port")
    }

    /// Tells the host that a step is done.
    pub fn stage(&mut self, name: &str) -> Result<()> {
        self.report(&BootReport::Stage {
            name: name.to_owned(),
            uptime_ms: uptime_ms(),
        })
    }

    /// Reads the configuration. Something must have been reported before: the port reads as closed until the kernel knows that the host has
    /// it open, and only writing waits for that.
    pub fn read_config(&mut self) -> Result<BootConfig> {
        let limit = u64::try_from(LINE_LEN_MAX).unwrap_or(u64::MAX);
        let mut line = Vec::new();
        BufReader::new((&mut self.port).take(limit))
            .read_until(b'\n', &mut line)
            .context("cannot read from the control port")?;
        if line.last() != Some(&b'\n') {
            bail!("the configuration ends after {} bytes without a newline", line.len());
        }
        Ok(parse_config(&line)?)
    }

    /// The port as another process may inherit it.
    pub fn duplicate(&self) -> io::Result<File> {
        self.port.try_clone()
    }
}

fn find_device() -> Result<Option<String>> {
    for entry in std::fs::read_dir("/dev").context("cannot list /dev")? {
        let name = entry
            .context("cannot list /dev")?
            .file_name()
            .to_string_lossy()
            .into_owned();
        if name.starts_with(DEVICE_PREFIX) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Milliseconds since the kernel started.
pub fn uptime_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(now.tv_sec * 1000 + now.tv_nsec / 1_000_000).unwrap_or(0)
}
