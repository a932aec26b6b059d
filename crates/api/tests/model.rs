//! The tables of members against Amazon ECS's own model, as botocore ships it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn every_member_of_every_request_is_in_the_tables() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let made = Command::new(root.join("scripts/clients.sh")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let python = Path::new(String::from_utf8(made.stdout).unwrap().trim()).join("bin/python");
    let mut child = Command::new(python)
        .arg(root.join("tests/ecs/members.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let table = api::ecs::members::table().to_string();
    child.stdin.take().unwrap().write_all(table.as_bytes()).unwrap();
    let checked = child.wait_with_output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}
