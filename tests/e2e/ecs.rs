//! The real clients of Amazon ECS, boto3 and the AWS command lines, against a host agent: tasks, services, executed commands, logs.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::command::ran;
use tests::host::Host;

/// The source tree, which the machine shows at the same place.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The second version of the AWS command line: Debian's package.
const AWS_V2: &str = "/usr/bin/aws";

/// Runs a script of `tests/ecs` against a host agent of its own.
fn check(script: &str) {
    let host = Host::start(&["--pool", "1", "--listen", "127.0.0.1:0"]).unwrap();
    host.load("busybox").unwrap();
    let shown = host.ran(&["credentials", "--format", "json"]).ended_with(0);
    let key: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let member = |name: &str| key[name].as_str().unwrap().to_owned();

    // Installed outside of the machine, which has no way to where they come from.
    let clients = std::env::var_os("MOTE_CLIENTS").unwrap();
    let python = Path::new(&clients).join("bin/python");
    let mut checks = Command::new(python);
    checks
        .arg(Path::new(ROOT).join("tests/ecs").join(script))
        .args([member("endpoint").as_str(), "busybox"])
        .arg(host.runtime())
        .env("AWS_V2", AWS_V2)
        .env("AWS_ACCESS_KEY_ID", member("access_key_id"))
        .env("AWS_SECRET_ACCESS_KEY", member("secret_access_key"))
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let _ = ran(&mut checks, b"").unwrap().ended_with(0);
}

#[test]
fn boto3_runs_tasks_and_services() {
    check("tasks.py");
}

#[test]
fn boto3_opens_sessions_with_executed_commands() {
    check("commands.py");
}

#[test]
fn the_aws_command_lines_run_tasks_execute_commands_and_follow_logs() {
    check("command_line.py");
}
