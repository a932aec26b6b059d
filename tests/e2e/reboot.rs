//! A host that is booted again, as its host agent sees it: nothing of the microVMs is there any more, and the kernel tells another boot.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::command::ran;
use tests::host::Host;
use tests::leftovers::processes;
use tests::patience::until;

use crate::fixture::{IDLE, agent};

/// Where the kernel tells its boots apart.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Another boot, for whoever reads the kernel's word for it while this lives.
struct Reboot(TempDir);

impl Reboot {
    fn make() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("boot_id");
        fs::write(&path, "11111111-2222-4333-8444-555555555555\n").unwrap();
        let mut mount = Command::new("mount");
        mount.arg("--bind").arg(&path).arg(BOOT_ID);
        let _ = ran(&mut mount, b"").unwrap().ended_with(0);
        Self(directory)
    }
}

impl Drop for Reboot {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(BOOT_ID).status();
        let _ = fs::remove_file(self.0.path().join("boot_id"));
    }
}

fn start(directory: TempDir) -> Host {
    let options = [&IDLE[..], &["--no-network", "--on-exit", "keep"]].concat();
    Host::start_in(directory, agent(), &options).unwrap()
}

/// The ids of the tasks that run, of the service or of none.
fn running(host: &Host) -> Vec<String> {
    let tasks = host.ran(&["ps", "--format", "json"]).ended_with(0).text();
    let tasks: Vec<Value> = serde_json::from_str(&tasks).unwrap();
    let running = tasks.into_iter().filter(|task| task["status"] == "RUNNING");
    running.map(|task| task["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn after_a_reboot_tasks_have_stopped_with_a_reason_and_services_start_others() {
    let host = start(TempDir::new().unwrap());
    host.load("busybox").unwrap();
    let definition = json!({
        "family": "web",
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [{"name": "app", "image": "busybox", "command": ["sh", "-c", "echo up; exec sleep 1000000"]}],
    });
    let mut register = host.mote(&["task-definition", "register", "-"]);
    let _ = ran(&mut register, definition.to_string().as_bytes())
        .unwrap()
        .ended_with(0);
    let service = ["service", "create", "web", "--task-definition", "web", "--count", "1"];
    let _ = host.ran(&service).ended_with(0);
    let alone = [
        "run",
        "-d",
        "--name",
        "alone",
        "busybox",
        "sh",
        "-c",
        "echo before; exec sleep 1000000",
    ];
    let _ = host.ran(&alone).ended_with(0);
    let before = until("both run", || Some(running(&host)).filter(|tasks| tasks.len() == 2));
    until("it writes", || {
        host.ran(&["logs", "alone"]).text().contains("before").then_some(())
    });

    let runtime = host.runtime();
    let directory = host.kill().unwrap();
    for process in processes(&runtime).unwrap() {
        let _ = Command::new("kill").args(["-KILL", &process.to_string()]).status();
    }
    let _reboot = Reboot::make();
    let host = start(directory);
    let task = host.task("alone");
    assert_eq!(task["status"], "STOPPED", "{task}");
    assert_eq!(task["stopped_reason"], "the host was restarted");
    assert_eq!(host.ran(&["logs", "alone"]).ended_with(0).text(), "before\n");
    let after = until("the service runs again", || {
        Some(running(&host)).filter(|tasks| tasks.len() == 1)
    });
    assert!(!before.contains(&after[0]), "{after:?}");
    let _ = host.ran(&["service", "rm", "--force", "web"]).ended_with(0);
    let is_nothing_left = || processes(&host.runtime()).unwrap().is_empty().then_some(());
    until("its task has ended", is_nothing_left);
}
