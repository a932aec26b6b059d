//! Firecracker with our guest kernel: a cold boot to the first process's first byte, and a loaded snapshot to the guest's first sign of life.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use serde_json::json;

use super::http::Connection;
use super::judge;
use super::subject::{Point, Subject};
use crate::clock::monotonic_ns;
use crate::warm;

/// What the guest's kernel is told: no console, which would cost a VM exit for each byte.
const COMMAND_LINE: &str = "quiet loglevel=1 panic=-1 reboot=k 8250.nr_uarts=1";

/// The guest's memory, in MiB.
const MEMORY_MIB: u32 = 128;

/// The byte that the marker writes as the first process of a guest.
const HEARTBEAT: u8 = b'~';

/// What a guest is made of.
pub struct Guest {
    program: PathBuf,
    config: PathBuf,
    directory: PathBuf,
}

/// A running Firecracker, killed when dropped.
struct Vmm {
    child: Child,
    stdout: ChildStdout,
}

/// The guest boots.
struct ColdBoot {
    program: PathBuf,
    config: PathBuf,
}

/// The guest goes on where a snapshot was taken.
struct SnapshotLoad {
    program: PathBuf,
    directory: PathBuf,
}

impl Guest {
    /// Brings everything into memory and writes the guest's description below `directory`.
    pub fn prepare(program: &Path, kernel: &Path, initramfs: &Path, directory: &Path) -> Result<Self> {
        warm::keep_in_memory([program, kernel, initramfs])?;
        let config = directory.join("firecracker.json");
        let document = json!({
            "boot-source": {"kernel_image_path": kernel, "initrd_path": initramfs, "boot_args": COMMAND_LINE},
            "machine-config": {"vcpu_count": 1, "mem_size_mib": MEMORY_MIB},
            "drives": [],
        });
        std::fs::write(&config, document.to_string()).context("cannot write Firecracker's configuration")?;
        Ok(Self {
            program: program.to_owned(),
            config,
            directory: directory.to_owned(),
        })
    }

    /// Takes a snapshot; both ways to start.
    pub fn subjects(self) -> Result<Vec<Box<dyn Subject>>> {
        let socket = self.directory.join("source.sock");
        let mut command = Command::new(&self.program);
        command
            .arg("--api-sock")
            .arg(&socket)
            .arg("--config-file")
            .arg(&self.config);
        let mut source = Vmm::start(command)?;
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
            program: self.program.clone(),
            config: self.config,
        };
        let load = SnapshotLoad {
            program: self.program,
            directory: self.directory,
        };
        Ok(vec![Box::new(cold), Box::new(load)])
    }
}

impl Vmm {
    fn start(mut command: Command) -> Result<Self> {
        command
            .args(["--level", "Off"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let stdout = child.stdout.take().context("there is no standard output")?;
        Ok(Self { child, stdout })
    }

    /// Reads up to the first heartbeat.
    fn wait_for_heartbeat(&mut self) -> Result<()> {
        let mut seen = Vec::new();
        let mut bytes = [0; 4096];
        while !seen.contains(&HEARTBEAT) {
            let len = self.stdout.read(&mut bytes).context("cannot read its output")?;
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
            PollFd::new(&vmm.stdout, PollFlags::HUP),
        ];
        poll(&mut events, None).context("cannot wait for its socket")?;
        if events[1].revents().contains(PollFlags::HUP) {
            bail!("it ended too early");
        }
        Ok(())
    }
}

impl Drop for Vmm {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Subject for ColdBoot {
    fn name(&self) -> &'static str {
        judge::FIRECRACKER_BOOT
    }

    fn run(&mut self, _: u32) -> Result<Vec<(Point, u64)>> {
        let mut command = Command::new(&self.program);
        command.arg("--no-api").arg("--config-file").arg(&self.config);
        let begun = monotonic_ns();
        let mut vmm = Vmm::start(command)?;
        vmm.wait_for_heartbeat()?;
        Ok(vec![(Point::GuestRuns, monotonic_ns() - begun)])
    }
}

impl Subject for SnapshotLoad {
    fn name(&self) -> &'static str {
        judge::FIRECRACKER_LOAD
    }

    fn run(&mut self, run: u32) -> Result<Vec<(Point, u64)>> {
        let socket = self.directory.join(format!("load-{run}.sock"));
        let mut command = Command::new(&self.program);
        command.arg("--api-sock").arg(&socket);
        let load = json!({
            "snapshot_path": self.directory.join("snapshot"),
            "mem_backend": {"backend_path": self.directory.join("memory"), "backend_type": "File"},
            "resume_vm": true,
        });
        let arrival = Arrival::watch(&self.directory)?;
        let begun = monotonic_ns();
        let mut vmm = Vmm::start(command)?;
        arrival.wait(&vmm)?;
        let mut api = Connection::open(&socket)?;
        let accepted = monotonic_ns();
        api.send("PUT", "/snapshot/load", &load)?;
        let answered = monotonic_ns();
        vmm.wait_for_heartbeat()?;
        let runs = monotonic_ns();
        Ok(vec![
            (Point::Accepted, accepted - begun),
            (Point::VcpuRunnable, answered - begun),
            (Point::GuestRuns, runs - begun),
        ])
    }
}
