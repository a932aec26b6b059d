//! What tasks have reserved and used is known when they are gone, whoever was killed meanwhile.

use std::fs;
use std::process::Command;

use serde_json::Value;
use tests::host::Host;
use tests::leftovers::processes;
use tests::patience::until;
use tests::running::Running;

use crate::fixture::agent;

/// Writes four MiB to the scratch disk for good.
const WRITES: &str = "dd if=/dev/urandom of=/written bs=64k count=64 2>/dev/null; sync";
const WRITTEN_BYTES: u64 = 4 << 20;

fn number(usage: &Value, member: &str) -> u64 {
    usage[member].as_u64().unwrap_or_else(|| panic!("{member} of {usage}"))
}

/// The one task of this host agent that has this name.
fn of_task(host: &Host, name: &str) -> Value {
    let mut usage = host.usage(&[]);
    usage.retain(|usage| usage["name"] == name);
    assert_eq!(usage.len(), 1, "{usage:?}");
    usage.remove(0)
}

fn check(usage: &Value) {
    let seconds = number(usage, "seconds");
    assert!(seconds > 0, "{usage}");
    assert_eq!(number(usage, "vcpu_milli_seconds"), 250 * seconds);
    assert_eq!(number(usage, "memory_mib_seconds"), 64 * seconds);
    assert!(number(usage, "cpu_used_us") > 0, "{usage}");
    assert!(number(usage, "written_bytes") >= WRITTEN_BYTES, "{usage}");
}

#[test]
fn what_a_task_used_outlives_it() {
    let host = Host::start(&["--pool", "0"]).unwrap();
    host.load("busybox").unwrap();
    let options = [
        "--name",
        "gone",
        "--rm",
        "--cpu",
        "0.25",
        "--memory",
        "64",
        "-l",
        "team=blue",
    ];
    let _ = host.run(&options, "busybox", &["sh", "-c", WRITES]).ended_with(0);
    let usage = of_task(&host, "gone");
    check(&usage);
    assert_eq!((number(&usage, "tasks"), number(&usage, "running")), (1, 0));

    let by_team = host.usage(&["--by", "tag:team"]);
    assert_eq!(
        (&by_team[0]["key"], by_team[0]["tasks"].as_u64()),
        (&"blue".into(), Some(1))
    );
    assert_eq!(host.usage(&["--since", "2100-01-01T00:00:00Z"]), [] as [Value; 0]);

    let sheet = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        &sheet,
        r#"{"currency": "EUR", "vcpu_hour": 14400, "minimum_seconds": 1000000}"#,
    )
    .unwrap();
    let prices = ["usage", "--prices", sheet.path().to_str().unwrap(), "--format", "csv"];
    let printed = host.ran(&prices).ended_with(0).text();
    let lines: Vec<&str> = printed.lines().collect();
    assert!(
        lines[0].starts_with("key,name,tasks,") && lines[0].ends_with(",cost,currency"),
        "{printed}"
    );
    assert!(
        lines[1].contains(",gone,1,0,1000000,") && lines[1].ends_with(",1000000.0,EUR"),
        "{printed}"
    );

    fs::write(&sheet, "{}").unwrap();
    let refusal = host.ran(&prices).refusal();
    assert!(
        refusal.contains("is no price sheet") && refusal.contains("currency"),
        "{refusal}"
    );
}

#[test]
fn what_a_task_used_survives_whoever_is_killed() {
    let host = Host::start(&["--pool", "0"]).unwrap();
    host.load("busybox").unwrap();
    let runtime = host.runtime();
    let script = format!("{WRITES}; echo ready; cat");
    let options = ["--cpu", "0.25", "--memory", "64"];
    let mut task = Running::start(&host, "killed", &options, "busybox", &["sh", "-c", &script]);
    assert_eq!(task.line(), "ready");
    let running = of_task(&host, "killed");
    check(&running);
    assert_eq!(number(&running, "running"), 1);

    let directory = host.kill().unwrap();
    let _ = task.end();
    for vmm in processes(&runtime).unwrap() {
        assert!(
            Command::new("kill")
                .args(["-KILL", &vmm.to_string()])
                .status()
                .unwrap()
                .success()
        );
    }
    let host = Host::start_in(directory, agent(), &["--pool", "0"]).unwrap();
    let usage = until("the task has ended", || {
        Some(of_task(&host, "killed")).filter(|usage| number(usage, "running") == 0)
    });
    check(&usage);
    for member in ["cpu_used_us", "read_bytes", "written_bytes"] {
        assert!(
            number(&usage, member) >= number(&running, member),
            "{member}: {usage} after {running}"
        );
    }
}
