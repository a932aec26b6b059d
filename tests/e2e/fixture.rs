//! The host agent that most tests share.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use tests::command::Ran;
use tests::host::{Host, prefix};

/// Tells where the shared host agent is. A machine has a `/run` of its own, and whoever starts the tests anew in it goes on with the same one.
const TOLD: &str = "/run/mote-e2e";

/// A host agent whose store holds all test images.
static HOST: LazyLock<Host> = LazyLock::new(|| {
    let start = || {
        let mut agent = agent();
        // Not the terminal of this process, which it outlives.
        agent.stderr(File::create(format!("{TOLD}.log"))?);
        let host = Host::start_by(agent, &[])?;
        for image in ["busybox", "python", "nginx"] {
            host.load(image)?;
        }
        Ok(host)
    };
    Host::shared(Path::new(TOLD), start).unwrap()
});

/// What a host agent is told that runs few tasks or none: it has nothing ready for them.
pub const IDLE: [&str; 2] = ["--pool", "0"];

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
