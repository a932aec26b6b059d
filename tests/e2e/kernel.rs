//! The guest kernel from inside, and the VMM's own ends.

use std::collections::BTreeMap;
use std::process::Command;

use protocol::jail::Confinement;
use protocol::vmm::{Boot, Config, Control, Device, Limits, Origin, Shape, standing};
use tempfile::TempDir;
use tests::command::ran;

use crate::fixture::installed;
use crate::vmm::{boot, initramfs, run_vmm};

/// A configuration for a microVM whose initramfs holds `program` as its first process; the serial port goes to `console` in the directory.
fn config(directory: &TempDir, program: &str) -> Config {
    let boot = Boot {
        serial: Some(directory.path().join("console")),
        ..boot(initramfs(directory.path(), program), "")
    };
    let shape = Shape {
        vcpus: 2,
        growth_mib: 0,
        slots: BTreeMap::from([(standing::FIRST_FREE, Device::Rng)]),
        limits: Limits::default(),
    };
    Config {
        origin: Origin::Boot(boot),
        shape: Some(shape),
        counters: None,
        control: Control::Path(directory.path().join("control.sock")),
        jail: Confinement::default(),
    }
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
}

#[test]
fn an_unknown_member_of_the_configuration_is_named() {
    let ran = ran(Command::new(installed("bin/mote-vmm")).arg("-"), br#"{"turbo": true}"#)
        .unwrap()
        .ended_with(1);
    assert!(ran.stderr.contains("turbo"), "{ran}");
}
