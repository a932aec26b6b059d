//! The real clients of Amazon ECS, boto3 and the AWS command line, against a host agent: tasks, logs and a service.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::command::ran;
use tests::host::Host;

/// Where this test's host agent listens.
const LISTEN: &str = "127.0.0.1:17711";

/// The source tree, which the machine shows at the same place.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[test]
fn boto3_and_the_aws_command_line_run_tasks_and_services() {
    let host = Host::start(&["--listen", LISTEN]).unwrap();
    host.load("busybox").unwrap();
    let shown = host.ran(&["credentials", "--format", "json"]).ended_with(0);
    let key: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let member = |name: &str| key[name].as_str().unwrap().to_owned();

    // Installed outside of the machine, which has no way to where they come from.
    let clients = std::env::var_os("MOTE_CLIENTS").expect("MOTE_CLIENTS is not set: run `cargo xtask e2e`");
    let python = Path::new(&clients).join("bin/python");
    let mut checks = Command::new(python);
    checks
        .arg(Path::new(ROOT).join("tests/ecs/tasks.py"))
        .args([member("endpoint").as_str(), "busybox"])
        .arg(host.runtime())
        .env("AWS_ACCESS_KEY_ID", member("access_key_id"))
        .env("AWS_SECRET_ACCESS_KEY", member("secret_access_key"))
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let _ = ran(&mut checks, b"").unwrap().ended_with(0);
}
