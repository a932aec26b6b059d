//! The VMM on its own, without a host agent: from its `exec` to the guest's first instruction.

use std::collections::BTreeMap;
use std::fs::{create_dir, read_dir};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use protocol::jail::{BIRTH_LIST, Confinement};
use protocol::vmm::{Boot, Config, Control, Device, Event, GUEST_CID, Limits, Origin, Request, Shape, standing};
use protocol::{attachments, frame};
use rustix::io::{FdFlags, fcntl_setfd};

use super::judge;
use super::subject::{Point, Subject};
use crate::bundle::succeed;
use crate::host::{Installation, Scratch};
use crate::marked::Marked;

/// Where in a template the host agent has what its guest was saved to.
const GUEST: &str = "guest";

/// Where it has the guest's scratch disk.
const SCRATCH: &str = "scratch.ext4";

/// A place for a host agent's templates: in memory, with huge pages.
pub struct Templates {
    place: Scratch,
    path: String,
}

impl Templates {
    /// An empty one.
    pub fn new() -> Result<Self> {
        let place = Scratch::new("templates")?;
        let options = ["-t", "tmpfs", "-o", "huge=always", "tmpfs"];
        succeed(Command::new("mount").args(options).arg(place.path()))?;
        let path = place.path().to_str().context("the path is no text")?.to_owned();
        Ok(Self { place, path })
    }

    /// Where it is.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The template that is there.
    fn find(&self) -> Result<PathBuf> {
        let entries = read_dir(self.place.path()).context("cannot list the templates")?;
        let mut found = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.join(GUEST).is_dir());
        found.next().context("there is no template")
    }
}

impl Drop for Templates {
    fn drop(&mut self) {
        // The machine around the benchmark goes as well.
        let _ = succeed(Command::new("umount").arg(self.place.path()));
    }
}

/// One way to start the VMM.
pub struct Vmm {
    name: &'static str,
    /// Tells when it executes the program.
    marker: PathBuf,
    program: PathBuf,
    /// The system calls that it may make, in a file.
    list: PathBuf,
    origin: Origin,
    /// The scratch disk, as clones have it in the beginning.
    scratch: PathBuf,
    /// What stands for a rootfs snapshot.
    rootfs: PathBuf,
    directory: PathBuf,
}

/// A VMM that runs.
struct Running {
    vmm: Marked,
    control: UnixStream,
}

/// A clone of the host agent's template, and a full boot.
pub fn subjects(installation: &Installation, templates: &Templates) -> Result<[Vmm; 2]> {
    let template = templates.find()?;
    let directory = templates.place.path().join("vmm");
    create_dir(&directory).context("cannot make a directory for the VMM")?;
    // Of the size that it has as a snapshot: nothing is compressed.
    let rootfs = directory.join("rootfs");
    std::fs::copy(&installation.archive, &rootfs).context("cannot copy the image")?;
    let (program, list) = (installation.program("mote-vmm"), directory.join("list"));
    let told = Command::new(&program).arg(BIRTH_LIST).output();
    let told = told.context("cannot ask the VMM which system calls it makes")?;
    std::fs::write(&list, told.stdout).context("cannot write the list of system calls")?;
    let vmm = |name, origin| Vmm {
        name,
        marker: installation.program("mote-bench-marker"),
        program: program.clone(),
        list: list.clone(),
        origin,
        scratch: template.join(SCRATCH),
        rootfs: rootfs.clone(),
        directory: directory.clone(),
    };
    let boot = Boot {
        kernel: installation.share("vmlinux"),
        initramfs: installation.share("initramfs.cpio"),
        // As the host agent boots a guest for a task with one vCPU.
        command_line: "nr_cpus=1".to_owned(),
        serial: None,
        save: None,
    };
    Ok([
        vmm(judge::VMM_CLONE, Origin::Template(template.join(GUEST))),
        vmm(judge::VMM_BOOT, Origin::Boot(boot)),
    ])
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
            shape: None,
            counters: None,
            control: Control::Descriptor(listener.as_raw_fd()),
            jail: Confinement {
                was_born_with_list: true,
                ..Confinement::default()
            },
        };
        let path = self.directory.join(format!("{name}.json"));
        let text = serde_json::to_vec(&config).context("cannot write the VMM's configuration")?;
        std::fs::write(&path, text).context("cannot write the VMM's configuration")?;
        self.tell(&control, name)?;
        // Its guest finds nobody who would tell it what to do, and ends; so it says, to nobody.
        let vmm = Marked::start_listed(&self.marker, &self.list, &self.program, &[path.as_os_str()])?;
        Ok(Running { vmm, control })
    }

    /// What a host agent tells it: what to be, and with which files. That waits in the socket until the VMM is ready for it.
    fn tell(&self, control: &UnixStream, name: &str) -> Result<()> {
        let shape = self.shape(name);
        let opened = attachments::open(&shape)?;
        let attached: Vec<_> = opened.iter().map(AsFd::as_fd).collect();
        let frame = frame::encode(&Request::Run(Box::new(shape))).context("the shape is too long")?;
        let sent = attachments::send(control, &frame, &attached).context("the VMM cannot be told its shape")?;
        if sent == frame.len() {
            Ok(())
        } else {
            bail!("the shape is longer than the socket's queue");
        }
    }

    /// What a container has: the way to the guest agent, a rootfs snapshot, and a scratch disk.
    fn shape(&self, name: &str) -> Shape {
        let vsock = Device::Vsock {
            guest_cid: GUEST_CID,
            socket: self.directory.join(format!("{name}.vsock")),
            host_ports: vec![],
        };
        let rootfs = Device::Pmem {
            parts: vec![self.rootfs.clone()],
        };
        let scratch = Device::BlockCopyOnWrite {
            base: self.scratch.clone(),
            directory: self.directory.clone(),
        };
        Shape {
            vcpus: 1,
            growth_mib: 0,
            slots: BTreeMap::from([
                (standing::VSOCK, vsock),
                (standing::PMEM, rootfs),
                (standing::SCRATCH, scratch),
            ]),
            limits: Limits::default(),
        }
    }
}

impl Subject for Vmm {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, run: u32) -> Result<Vec<(Point, u64)>> {
        let name = format!("{}-{run}", self.name.replace(' ', "-"));
        let mut running = self.start(&name)?;
        let begun = running.vmm.begun;
        let mut points = Vec::new();
        while points.last().is_none_or(|(point, _)| *point != Point::GuestRuns) {
            let event: Option<Event> = frame::read(&mut running.control).context("the VMM cannot be heard")?;
            match event.context("the VMM ended too early")? {
                // A clone's guest has run before it waits for its shape.
                Event::Waiting {
                    guest_waits_ns: Some(monotonic_ns),
                } => points.push((Point::GuestRuns, monotonic_ns - begun)),
                Event::VcpuRunnable { monotonic_ns } => points.push((Point::VcpuRunnable, monotonic_ns - begun)),
                Event::GuestBooted { monotonic_ns } => points.push((Point::GuestRuns, monotonic_ns - begun)),
                Event::Ended { message, .. } => bail!("the VMM ended: {message}"),
                _ => {}
            }
        }
        frame::write(&mut running.control, &Request::Stop).context("the VMM cannot be told to stop")?;
        running.vmm.child.wait().context("cannot wait for the VMM")?;
        Ok(points)
    }
}
