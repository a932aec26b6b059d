//! What a container is made of: namespaces, cgroups, seccomp, and BPF programs that watch its devices.

use std::ffi::c_int;
use std::fs::{self, File};
use std::io;
use std::thread;

use crate::{Outcome, Report, system};

/// The word with which this program, started again, leaves its user namespace: that needs a process of one thread.
pub const UNSHARE_USER: &str = "unshare-user";

const NAMESPACES: &[(&str, c_int)] = &[
    ("cgroup", libc::CLONE_NEWCGROUP),
    ("ipc", libc::CLONE_NEWIPC),
    ("mount", libc::CLONE_NEWNS),
    ("net", libc::CLONE_NEWNET),
    ("pid", libc::CLONE_NEWPID),
    ("time", libc::CLONE_NEWTIME),
    ("uts", libc::CLONE_NEWUTS),
];

const CONTROLLERS: &[&str] = &["cpu", "cpuset", "io", "memory", "pids"];

/// A file of a container's cgroup and what is written to it.
const LIMITS: &[(&str, &str)] = &[
    ("cpu.max", "1000 1000000"),
    ("cpu.weight", "50"),
    ("cpuset.cpus", "0"),
    ("io.max", ""),
    ("memory.max", "67108864"),
    ("memory.high", "67108864"),
    ("memory.oom.group", "1"),
    ("pids.max", "100"),
    ("cgroup.freeze", "1"),
    ("cgroup.freeze", "0"),
    ("cgroup.kill", "1"),
];

/// What usage is read from.
const FIGURES: &[&str] = &[
    "cpu.stat",
    "io.stat",
    "memory.current",
    "memory.events",
    "memory.peak",
    "memory.stat",
];

const CGROUP: &str = "/sys/fs/cgroup/container";

pub fn check(report: &mut Report) -> io::Result<()> {
    let text = |error: io::Error| error.to_string();
    for (name, flag) in NAMESPACES {
        report.record(&format!("namespace {name}"), in_thread(|| system::unshare(*flag)))?;
    }
    report.record("namespace user", unshare_user())?;
    report.record("seccomp filter", in_thread(system::allow_by_seccomp))?;
    for name in CONTROLLERS {
        let enabled = fs::write("/sys/fs/cgroup/cgroup.subtree_control", format!("+{name}"));
        report.record(&format!("cgroup controller {name}"), enabled.map_err(text))?;
    }
    report.record("cgroup", fs::create_dir(CGROUP).map_err(text))?;
    for (name, value) in LIMITS {
        let path = format!("{CGROUP}/{name}");
        let outcome = if value.is_empty() {
            fs::read(path).map(drop)
        } else {
            fs::write(path, value)
        };
        report.record(&format!("cgroup {name} {value}"), outcome.map_err(text))?;
    }
    for name in FIGURES {
        report.record(
            &format!("cgroup {name}"),
            fs::read(format!("{CGROUP}/{name}")).map(drop).map_err(text),
        )?;
    }
    report.record("cgroup device program", device_program().map_err(text))
}

/// Threads have namespaces and filters of their own, so each check starts from the same ones.
fn in_thread(action: impl FnOnce() -> io::Result<()> + Send) -> Outcome {
    thread::scope(|scope| scope.spawn(action).join())
        .map_err(|_| "the thread panicked".to_owned())?
        .map_err(|error| error.to_string())
}

fn unshare_user() -> Outcome {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let status = std::process::Command::new(program)
        .arg(UNSHARE_USER)
        .status()
        .map_err(|error| error.to_string())?;
    if status.success() {
        Ok(())
    } else {
        Err(status.to_string())
    }
}

fn device_program() -> io::Result<()> {
    system::attach_device_program(&File::open(CGROUP)?, &system::load_device_program()?)
}
