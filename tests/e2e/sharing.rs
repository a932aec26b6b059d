//! What clones have in common is in memory once, and what they do not use is given back.

use serde_json::Value;
use tests::host::Host;
use tests::patience::until;
use tests::running::Running;

use crate::fixture::host;

const MIB: u64 = 1 << 20;

/// The memory that a clone boots with, in bytes.
const BASE: u64 = protocol::vmm::BASE_MEMORY_MIB as u64 * MIB;

/// A number out of the memory of a running task.
fn bytes(stats: &Value, whose: &str, which: &str) -> u64 {
    stats["memory"][whose][which].as_u64().unwrap()
}

fn idle(host: &Host, name: &str) -> Running {
    let mut task = Running::start(
        host,
        name,
        &["--memory", "64"],
        "busybox",
        &["sh", "-c", "echo ready; cat"],
    );
    assert_eq!(task.line(), "ready");
    task
}

#[test]
fn two_tasks_of_one_image_share_what_they_have_not_written() {
    let tasks = [idle(host(), "one"), idle(host(), "other")];
    for task in &tasks {
        let stats = host().stats(task.name());
        for whose in ["total", "guest", "vmm"] {
            let [proportional, private, shared] =
                ["proportional_bytes", "private_bytes", "shared_bytes"].map(|which| bytes(&stats, whose, which));
            assert!(
                private <= proportional && proportional < private + shared,
                "{whose}: {stats:#}"
            );
        }
        let parts = bytes(&stats, "guest", "proportional_bytes") + bytes(&stats, "vmm", "proportional_bytes");
        assert_eq!(bytes(&stats, "total", "proportional_bytes"), parts, "{stats:#}");
        assert!(bytes(&stats, "guest", "private_bytes") < BASE / 4, "{stats:#}");
        assert!(bytes(&stats, "guest", "shared_bytes") > BASE / 16, "{stats:#}");
    }
    for task in tasks {
        let _ = task.end().ended_with(0);
    }
}

#[test]
fn freed_memory_goes_back_to_the_host() {
    const HELD: u64 = 150 * MIB;
    // The writer holds its block as long as nobody reads it.
    let script = "exec 3<&0; dd if=/dev/zero bs=200M count=1 2>/dev/null | { head -c 1 >/dev/null; echo held; read line <&3; }; \
                  echo freed; read line <&3";
    let options = ["--memory", "256"];
    let mut task = Running::start(host(), "giver", &options, "busybox", &["sh", "-c", script]);
    let private = |task: &Running| bytes(&host().stats(task.name()), "guest", "private_bytes");
    assert_eq!(task.line(), "held");
    assert!(private(&task) > HELD);
    task.say("");
    assert_eq!(task.line(), "freed");
    until("memory comes back", || (private(&task) < HELD / 3).then_some(()));
    task.say("");
    let _ = task.end().ended_with(0);
}
