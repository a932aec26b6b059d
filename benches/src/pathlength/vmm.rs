//! The VMM on its own, without a host agent: from just before its `exec` to the guest's first instruction.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use protocol::frame;
use protocol::vmm::{Boot, Config, Control, Device, Event, ExitCode, GUEST_CID, Origin, Request, Shape, standing};
use rustix::io::{FdFlags, fcntl_setfd};

use super::judge;
use super::subject::{Point, Subject};
use crate::bundle::succeed;
use crate::clock::monotonic_ns;
use crate::host::Installation;

/// The size of the scratch file system, in MiB.
const SCRATCH_MIB: u32 = 64;

/// One way to start the VMM.
pub struct Vmm {
    name: &'static str,
    program: PathBuf,
    directory: PathBuf,
    origin: Origin,
}

/// A VMM that runs, killed when dropped.
struct Running {
    child: Child,
    control: UnixStream,
}

/// Saves a template below `directory`; a clone of it, and a full boot.
pub fn subjects(installation: &Installation, directory: &Path) -> Result<[Box<dyn Subject>; 2]> {
    let directory = &directory.join("vmm");
    let vmm = |name, origin| Vmm {
        name,
        program: installation.program("mote-vmm"),
        directory: directory.to_owned(),
        origin,
    };
    let boot = |save| Boot {
        kernel: installation.share("vmlinux"),
        initramfs: installation.share("initramfs.cpio"),
        command_line: String::new(),
        serial: None,
        save,
    };
    let template = directory.join("template");
    prepare_directory(directory, &template)?;
    let saving = vmm(judge::VMM_BOOT, Origin::Boot(boot(Some(template.clone()))));
    let status = saving.start("save")?.child.wait().context("cannot wait for the VMM")?;
    if status.code() != Some(ExitCode::Saved.into()) {
        bail!("no template was saved: {status}");
    }
    let clone = vmm(judge::VMM_CLONE, Origin::Template(template));
    Ok([
        Box::new(clone),
        Box::new(vmm(judge::VMM_BOOT, Origin::Boot(boot(None)))),
    ])
}

/// A file system in memory that prefers huge pages, with a place for the template and a scratch disk.
fn prepare_directory(directory: &Path, template: &Path) -> Result<()> {
    std::fs::create_dir(directory).context("cannot make a directory for the VMM")?;
    let options = ["-t", "tmpfs", "-o", "huge=always", "tmpfs"];
    succeed(Command::new("mount").args(options).arg(directory))?;
    std::fs::create_dir(template).context("cannot make a place for the template")?;
    let scratch = directory.join("scratch");
    succeed(
        Command::new("mke2fs")
            .args(["-q", "-t", "ext4"])
            .arg(scratch)
            .arg(format!("{SCRATCH_MIB}M")),
    )
}

impl Vmm {
    /// Starts it. `name` is for its files.
    fn start(&self, name: &str) -> Result<Running> {
        let socket = self.directory.join(format!("{name}.control"));
        let listener = UnixListener::bind(&socket).context("cannot make a control socket")?;
        // The connection waits in the listener's queue until the VMM takes it.
        let control = UnixStream::connect(&socket).context("cannot connect to the control socket")?;
        fcntl_setfd(&listener, FdFlags::empty()).context("cannot let the VMM inherit the control socket")?;
        let config = Config {
            origin: self.origin.clone(),
            shape: Some(self.shape(name)),
            control: Control::Descriptor(listener.as_raw_fd()),
        };
        let path = self.directory.join(format!("{name}.json"));
        let text = serde_json::to_vec(&config).context("cannot write the VMM's configuration")?;
        std::fs::write(&path, text).context("cannot write the VMM's configuration")?;
        let mut command = Command::new(&self.program);
        command.arg(&path).stdin(Stdio::null());
        let child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        Ok(Running { child, control })
    }

    /// The way to the guest agent, and a scratch disk.
    fn shape(&self, name: &str) -> Shape {
        let scratch = self.directory.join("scratch");
        let disk = match self.origin {
            Origin::Boot(_) => Device::BlockFile { path: scratch },
            Origin::Template(_) => Device::BlockCopyOnWrite {
                base: scratch,
                directory: self.directory.clone(),
            },
        };
        let vsock = Device::Vsock {
            guest_cid: GUEST_CID,
            socket: self.directory.join(format!("{name}.vsock")),
        };
        Shape {
            vcpus: 1,
            growth_mib: 0,
            slots: BTreeMap::from([(standing::VSOCK, vsock), (standing::SCRATCH, disk)]),
        }
    }
}

impl Subject for Vmm {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, run: u32) -> Result<Vec<(Point, u64)>> {
        let name = format!("{}-{run}", self.name.replace(' ', "-"));
        let begun = monotonic_ns();
        let mut running = self.start(&name)?;
        let mut points = Vec::new();
        while points.last().is_none_or(|(point, _)| *point != Point::GuestRuns) {
            let event: Option<Event> = frame::read(&mut running.control).context("the VMM cannot be heard")?;
            match event.context("the VMM ended too early")? {
                Event::VcpuRunnable { monotonic_ns } => points.push((Point::VcpuRunnable, monotonic_ns - begun)),
                Event::GuestBooted { monotonic_ns } => points.push((Point::GuestRuns, monotonic_ns - begun)),
                Event::Ended { message, .. } => bail!("the VMM ended: {message}"),
                Event::Waiting { .. } => {}
            }
        }
        frame::write(&mut running.control, &Request::Stop).context("the VMM cannot be told to stop")?;
        running.child.wait().context("cannot wait for the VMM")?;
        Ok(points)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
