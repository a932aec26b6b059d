//! The guest kernel from inside, and the VMM's own ends.

use std::path::Path;
use std::process::Command;

use protocol::vmm::{Config, Control, Device};
use tempfile::TempDir;
use tests::command::{Ran, ran};

use crate::fixture::installed;

/// A configuration for a microVM whose initramfs holds `program` as its first process; the serial port goes to `console` in the directory.
fn config(directory: &TempDir, program: &str) -> Config {
    let initramfs = directory.path().join("initramfs.cpio");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rootfs/build-initramfs.sh");
    let _ = ran(Command::new(script).arg(program).arg(&initramfs), b"")
        .unwrap()
        .ended_with(0);
    Config {
        kernel: installed("share/mote/vmlinux").into(),
        initramfs,
        command_line: String::new(),
        vcpus: 2,
        memory_mib: 256,
        slots: vec![Device::Rng],
        control: Control::Path(directory.path().join("control.sock")),
        serial: Some(directory.path().join("console")),
    }
}

/// Runs a VMM with that configuration on its standard input.
fn run_vmm(config: &Config) -> Ran {
    let config = serde_json::to_vec(config).unwrap();
    ran(Command::new(installed("bin/mote-vmm")).arg("-"), &config).unwrap()
}

#[test]
fn the_kernel_has_what_containers_need() {
    let directory = tempfile::tempdir().unwrap();
    let ran = run_vmm(&config(&directory, &installed("bin/kernel-check")));
    let console = std::fs::read_to_string(directory.path().join("console")).unwrap();
    let failed: Vec<&str> = console.lines().filter(|line| line.starts_with("FAIL ")).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(console.contains(" passed, 0 failed"), "{ran}\n{console}");
}

#[test]
fn a_guest_whose_first_process_ends_has_panicked() {
    let directory = tempfile::tempdir().unwrap();
    let ran = run_vmm(&config(&directory, &installed("bin/mote-vmm"))).ended_with(3);
    assert_eq!(ran.stderr.lines().count(), 1, "{ran}");
    assert!(!directory.path().join("control.sock").exists());
}

#[test]
fn too_little_memory_to_boot_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config {
        memory_mib: 4,
        ..config(&directory, &installed("bin/mote-vmm"))
    };
    let ran = run_vmm(&config).ended_with(1);
    assert!(ran.stderr.contains("memory"), "{ran}");
}

#[test]
fn an_unknown_member_of_the_configuration_is_named() {
    let ran = ran(Command::new(installed("bin/mote-vmm")).arg("-"), br#"{"turbo": true}"#)
        .unwrap()
        .ended_with(1);
    assert!(ran.stderr.contains("turbo"), "{ran}");
}
