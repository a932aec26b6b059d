//! Firecracker with our guest kernel: a cold boot to the first process's first byte, and a loaded snapshot to the guest's first sign of life.

use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use serde_json::json;

use super::judge;
use super::subject::{Point, Subject};
use crate::clock::monotonic_ns;
use crate::http::Connection;
use crate::marked::Marked;
use crate::warm;

/// What the guest's kernel is told: no console, which would cost a VM exit for each byte.
const COMMAND_LINE: &str = "quiet loglevel=1 panic=-1 reboot=k 8250.nr_uarts=1";

/// The guest's memory, in MiB.
const MEMORY_MIB: u32 = 128;

/// The byte that the marker writes as the first process of a guest.
const HEARTBEAT: u8 = b'~';

/// Firecracker, and what tells when it is executed.
#[derive(Clone)]
pub struct Programs {
    /// Firecracker's program.
    pub firecracker: PathBuf,
    /// The marker.
    pub marker: PathBuf,
}

/// What a guest is made of.
pub struct Guest {
    programs: Programs,
    config: PathBuf,
    directory: PathBuf,
}

/// A running Firecracker.
struct Vmm(Marked);

/// The guest boots.
struct ColdBoot {
    programs: Programs,
    config: PathBuf,
}

/// The guest goes on where a snapshot was taken.
struct SnapshotLoad {
    programs: Programs,
    directory: PathBuf,
}

impl Guest {
    /// Brings everything into memory and writes the guest's description below `directory`.
    pub fn prepare(programs: Programs, kernel: &Path, initramfs: &Path, directory: &Path) -> Result<Self> {
        warm::keep_in_memory([&programs.firecracker, kernel, initramfs])?;
        let config = directory.join("firecracker.json");
        let document = json!({
            "boot-source": {"kernel_image_path": kernel, "initrd_path": initramfs, "boot_args": COMMAND_LINE},
            "machine-config": {"vcpu_count": 1, "mem_size_mib": MEMORY_MIB},
            "drives": [],
        });
        std::fs::write(&config, document.to_string()).context("cannot write Firecracker's configuration")?;
        Ok(Self {
            programs,
            config,
            directory: directory.to_owned(),
        })
    }

    /// Takes a snapshot; both ways to start.
    pub fn subjects(self) -> Result<Vec<Box<dyn Subject>>> {
        let socket = self.directory.join("source.sock");
        let arguments = [
            "--api-sock".as_ref(),
            socket.as_os_str(),
            "--config-file".as_ref(),
            self.config.as_os_str(),
        ];
        let mut source = Vmm::start(&self.programs, &arguments)?;
        source.wait_for_heartbeat()?;
        let mut api = Connection::open(&socket)?;
        api.send("PATCH", "/vm", &json!({"state": "Paused"}))?;
        let snapshot = json!({
            "snapshot_type": "Full",
            "snapshot_path": self.directory.join("snapshot"),
            "mem_file_path": self.directory.join("memory"),
        });
        api.send("PUT", "/snapshot/create", &snapshot)?;
        drop(source);
        let cold = ColdBoot {
            programs: self.programs.clone(),
            config: self.config,
        };
        let load = SnapshotLoad {
            programs: self.programs,
            directory: self.directory,
        };
        Ok(vec![Box::new(cold), Box::new(load)])
    }
}

impl Vmm {
    fn start(programs: &Programs, arguments: &[&OsStr]) -> Result<Self> {
        let quiet = ["--level", "Off"].map(OsStr::new);
        let marked = Marked::start(&programs.marker, &programs.firecracker, &[&quiet, arguments].concat());
        marked.map(Self)
    }

    /// Reads up to the first heartbeat.
    fn wait_for_heartbeat(&mut self) -> Result<()> {
        let mut seen = Vec::new();
        let mut bytes = [0; 4096];
        while !seen.contains(&HEARTBEAT) {
            let len = self.0.stdout.read(&mut bytes).context("cannot read its output")?;
            if len == 0 {
                bail!("it ended, after {:?}", String::from_utf8_lossy(&seen));
            }
            seen.extend_from_slice(&bytes[..len]);
        }
        Ok(())
    }
}

/// Waits for a socket that a program makes in a directory.
struct Arrival(OwnedFd);

impl Arrival {
    fn watch(directory: &Path) -> Result<Self> {
        let watch = inotify::init(CreateFlags::CLOEXEC).context("cannot watch directories")?;
        let watched = inotify::add_watch(&watch, directory, WatchFlags::CREATE);
        watched.with_context(|| format!("cannot watch {}", directory.display()))?;
        Ok(Self(watch))
    }

    /// Until something comes to be, or the program ends.
    fn wait(&self, vmm: &Vmm) -> Result<()> {
        let mut events = [
            PollFd::new(&self.0, PollFlags::IN),
            PollFd::new(&vmm.0.stdout, PollFlags::HUP),
        ];
        poll(&mut events, None).context("cannot wait for its socket")?;
        if events[1].revents().contains(PollFlags::HUP) {
            bail!("it ended too early");
        }
        Ok(())
    }
}

impl Subject for ColdBoot {
    fn name(&self) -> &'static str {
        judge::FIRECRACKER_BOOT
    }

    fn run(&mut self, _: u32) -> Result<Vec<(Point, u64)>> {
        let arguments = ["--no-api".as_ref(), "--config-file".as_ref(), self.config.as_os_str()];
        let mut vmm = Vmm::start(&self.programs, &arguments)?;
        vmm.wait_for_heartbeat()?;
        Ok(vec![(Point::GuestRuns, monotonic_ns() - vmm.0.begun)])
    }
}

impl Subject for SnapshotLoad {
    fn name(&self) -> &'static str {
        judge::FIRECRACKER_LOAD
    }

    fn run(&mut self, run: u32) -> Result<Vec<(Point, u64)>> {
        let socket = self.directory.join(format!("load-{run}.sock"));
        let load = json!({
            "snapshot_path": self.directory.join("snapshot"),
            "mem_backend": {"backend_path": self.directory.join("memory"), "backend_type": "File"},
            "resume_vm": true,
        });
        let arrival = Arrival::watch(&self.directory)?;
        let mut vmm = Vmm::start(&self.programs, &["--api-sock".as_ref(), socket.as_os_str()])?;
        arrival.wait(&vmm)?;
        let mut api = Connection::open(&socket)?;
        let accepted = monotonic_ns();
        api.send("PUT", "/snapshot/load", &load)?;
        let answered = monotonic_ns();
        vmm.wait_for_heartbeat()?;
        let (runs, begun) = (monotonic_ns(), vmm.0.begun);
        Ok(vec![
            (Point::Accepted, accepted - begun),
            (Point::VcpuRunnable, answered - begun),
            (Point::GuestRuns, runs - begun),
        ])
    }
}
