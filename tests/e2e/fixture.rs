//! The host agent that most tests share.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use tests::command::Ran;
use tests::host::{Host, prefix};

/// A host agent whose store holds all test images.
static HOST: LazyLock<Host> = LazyLock::new(|| {
    let host = Host::start(&[]).unwrap();
    for image in ["busybox", "python", "nginx"] {
        host.load(image).unwrap();
    }
    host
});

/// The shared host agent.
pub fn host() -> &'static Host {
    &HOST
}

/// Runs `script` by the shell of a busybox container.
#[track_caller]
pub fn sh(script: &str) -> Ran {
    sh_with(&[], script)
}

/// Runs `script` by the shell of a busybox container with further options.
#[track_caller]
pub fn sh_with(options: &[&str], script: &str) -> Ran {
    let options = [&["--cpu", "0.25", "--memory", "64"], options].concat();
    host().run(&options, "busybox", &["sh", "-c", script])
}

/// A file of the installation under test.
pub fn installed(path: &str) -> String {
    prefix().unwrap().join(path).display().to_string()
}

/// A command that starts a host agent.
pub fn agent() -> Command {
    Command::new(installed("bin/mote-agent"))
}

/// A command that starts a host agent where `/dev` lacks `missing`.
pub fn agent_without_device(missing: &str) -> Command {
    let script = format!(
        "set -e; d=$(mktemp -d); mount -t tmpfs dev $d; \
         for n in kvm null zero full random urandom tty ptmx; do [ $n = {missing} ] || cp -a /dev/$n $d; done; \
         mkdir $d/pts $d/shm; mount --move $d /dev; exec {} \"$@\"",
        Path::new(&installed("bin/mote-agent")).display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"]);
    command
}
