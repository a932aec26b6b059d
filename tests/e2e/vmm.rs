//! The VMM without a host agent: guests that boot, templates and clones of the test's own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use protocol::jail::Confinement;
use protocol::vmm::{Boot, Config, Control, ExitCode, Limits, Origin, Shape};
use tests::command::{Ran, ran};

use crate::fixture::installed;

/// An initramfs in `directory` that holds `program` as its first process.
pub fn initramfs(directory: &Path, program: &str) -> PathBuf {
    let initramfs = directory.join("initramfs.cpio");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rootfs/build-initramfs.sh");
    let _ = ran(Command::new(script).arg(program).arg(&initramfs), b"")
        .unwrap()
        .ended_with(0);
    initramfs
}

/// What boots the guest kernel with this initramfs, and appends this to its command line.
pub fn boot(initramfs: PathBuf, command_line: &str) -> Boot {
    Boot {
        kernel: installed("share/mote/vmlinux").into(),
        initramfs,
        command_line: command_line.to_owned(),
        serial: None,
        save: None,
    }
}

/// Runs a VMM with that configuration to its end.
pub fn run_vmm(config: &Config) -> Ran {
    let config = serde_json::to_vec(config).unwrap();
    ran(Command::new(installed("bin/mote-vmm")).arg("-"), &config).unwrap()
}

/// Saves what boots so as a template in `directory`; where that is.
pub fn template(directory: &Path, boot: Boot) -> PathBuf {
    let template = directory.join("template");
    fs::create_dir(&template).unwrap();
    let boot = Boot {
        save: Some(template.clone()),
        ..boot
    };
    let shape = Shape {
        vcpus: 1,
        growth_mib: 0,
        slots: BTreeMap::new(),
        limits: Limits::default(),
    };
    let config = Config {
        origin: Origin::Boot(boot),
        shape: Some(shape),
        counters: None,
        control: Control::Path(directory.join("template.sock")),
        jail: Confinement::default(),
    };
    let _ = run_vmm(&config).ended_with(ExitCode::Saved.into());
    template
}

/// A VMM that runs; it is killed when dropped.
pub struct Vmm(Child);

impl Vmm {
    /// Starts a clone of `template` of this shape, whose control socket is in `directory`.
    pub fn clone_of(template: PathBuf, shape: Shape, directory: &Path) -> Self {
        let config = Config {
            origin: Origin::Template(template),
            shape: Some(shape),
            counters: None,
            control: Control::Path(directory.join("control.sock")),
            jail: Confinement::default(),
        };
        Self::start(&config)
    }

    /// Starts a VMM with that configuration.
    pub fn start(config: &Config) -> Self {
        let mut vmm = Command::new(installed("bin/mote-vmm"))
            .arg("-")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        serde_json::to_writer(vmm.stdin.take().unwrap(), config).unwrap();
        Self(vmm)
    }

    /// Memory that it has for itself, in KiB.
    pub fn private_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }
}

impl Drop for Vmm {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
