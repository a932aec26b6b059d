//! Image and request, merged.

use api::error::{ApiError, ErrorCode};
use api::task::{RunRequest, TerminalSize};
use protocol::guest::Container;
use protocol::vmm::{PMEM_WINDOW_BYTES, standing};

use super::{Given, Spec, resolve};
use crate::images::ImageConfig;
use crate::sizing;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn request(change: impl FnOnce(&mut RunRequest)) -> RunRequest {
    let mut request = serde_json::from_str(r#"{"image": "app", "vcpu_milli": 250, "memory_mib": 64}"#).unwrap();
    change(&mut request);
    request
}

fn image() -> ImageConfig {
    ImageConfig {
        entrypoint: words("/entry"),
        command: words("serve all"),
        env: words("PATH=/app LANG=C broken"),
        working_directory: "srv".into(),
        user: "www".into(),
        stop_signal: "SIGQUIT".into(),
    }
}

fn check(image: &ImageConfig, change: impl FnOnce(&mut RunRequest)) -> Result<Container, ErrorCode> {
    resolve_as(image, 1 << 20, change)
        .map(|spec| spec.container)
        .map_err(|error| error.code)
}

fn resolve_as(config: &ImageConfig, rootfs_bytes: u64, change: impl FnOnce(&mut RunRequest)) -> Result<Spec, ApiError> {
    let given = Given {
        config,
        rootfs_bytes,
        id: "0123456789abcdef",
        sizing: &sizing::size(250, 64).unwrap(),
    };
    resolve(&request(change), &given)
}

#[test]
fn a_snapshot_is_mapped_where_it_fits_and_a_disk_where_it_does_not() {
    for (rootfs_bytes, slot) in [
        (PMEM_WINDOW_BYTES, standing::PMEM),
        (PMEM_WINDOW_BYTES + 1, standing::DISK),
    ] {
        let spec = resolve_as(&image(), rootfs_bytes, |_| ()).unwrap();
        assert_eq!(spec.container.rootfs_slot, slot);
        assert_eq!(spec.container.scratch_slot, Some(standing::SCRATCH));
    }
}

#[test]
fn the_bootstrap_message_tells_how_big_the_microvm_is() {
    let sizing = sizing::size(2500, 512).unwrap();
    let spec = resolve_as(&image(), 0, |request| request.waits_for_vcpus = false).unwrap();
    let start = spec.start(&sizing, vec![1], 2);
    assert_eq!((start.vcpus, start.waits_for_vcpus), (3, false));
    assert_eq!(start.growth_mib, sizing.growth_mib);
}

#[test]
fn the_image_alone_decides_what_the_request_leaves_open() {
    let spec = resolve_as(&image(), 0, |_| ()).unwrap();
    assert_eq!(spec.container.argv, words("/entry serve all"));
    assert_eq!(spec.container.env, words("PATH=/app HOSTNAME=0123456789ab LANG=C"));
    assert_eq!(spec.container.working_directory, "/srv");
    assert_eq!(spec.container.user, "www");
    assert_eq!(spec.container.memory_bytes_max, Some(64 << 20));
    assert_eq!((spec.hostname.as_str(), spec.stop_signal), ("0123456789ab", 3));
}

#[test]
fn a_command_replaces_the_images_and_keeps_its_entrypoint() {
    let container = check(&image(), |request| request.command = words("debug")).unwrap();
    assert_eq!(container.argv, words("/entry debug"));
}

#[test]
fn an_entrypoint_takes_the_images_command_away() {
    let container = check(&image(), |request| request.entrypoint = Some(words("sh -c"))).unwrap();
    assert_eq!(container.argv, words("sh -c"));
}

#[test]
fn an_empty_entrypoint_leaves_the_command_alone() {
    let change = |request: &mut RunRequest| {
        request.entrypoint = Some(vec![]);
        request.command = words("ls -l");
    };
    assert_eq!(check(&image(), change).unwrap().argv, words("ls -l"));
}

#[test]
fn without_any_command_there_is_nothing_to_run() {
    assert_eq!(check(&ImageConfig::default(), |_| ()), Err(ErrorCode::InvalidParameter));
    assert_eq!(
        check(&image(), |request| request.entrypoint = Some(vec![])),
        Err(ErrorCode::InvalidParameter)
    );
    let empty = |request: &mut RunRequest| request.command = vec![String::new()];
    assert_eq!(check(&ImageConfig::default(), empty), Err(ErrorCode::InvalidParameter));
}

#[test]
fn the_callers_environment_wins_in_place() {
    let container = check(&image(), |request| request.env = words("LANG=de A=1 PATH=/mine")).unwrap();
    assert_eq!(container.env, words("PATH=/mine HOSTNAME=0123456789ab LANG=de A=1"));
}

#[test]
fn a_bare_image_gets_a_path_and_a_terminal_gets_a_kind() {
    let change = |request: &mut RunRequest| {
        request.command = words("sh");
        request.terminal = Some(TerminalSize { columns: 80, rows: 24 });
    };
    let container = check(&ImageConfig::default(), change).unwrap();
    assert!(container.env[0].starts_with("PATH=/usr/local/sbin:"));
    assert_eq!(container.env[2], "TERM=xterm");
    assert_eq!(container.working_directory, "/");
    assert_eq!(container.user, "");
    assert_eq!(container.terminal.map(|size| (size.columns, size.rows)), Some((80, 24)));
}

#[test]
fn what_a_process_cannot_be_given_is_refused() {
    let refused = Err(ErrorCode::InvalidParameter);
    assert_eq!(check(&image(), |request| request.env = words("NAME")), refused);
    assert_eq!(check(&image(), |request| request.env = words("=value")), refused);
    assert_eq!(
        check(&image(), |request| request.command = vec!["a\0b".into()]),
        refused
    );
    assert_eq!(
        check(&image(), |request| request.command = vec!["a".repeat(1 << 20)]),
        refused
    );
    assert_eq!(
        check(&image(), |request| request.working_directory = Some("srv".into())),
        refused
    );
    assert_eq!(
        check(&image(), |request| request.hostname = Some("a b".into())),
        refused
    );
    assert_eq!(
        check(&image(), |request| request.hostname = Some("a".repeat(65))),
        refused
    );
}

#[test]
fn an_unknown_stop_signal_is_the_images_fault() {
    let image = ImageConfig {
        stop_signal: "SIGNOPE".into(),
        ..image()
    };
    assert_eq!(check(&image, |_| ()), Err(ErrorCode::InvalidImage));
}

#[test]
fn root_keeps_dockers_capabilities() {
    let capabilities = check(&image(), |_| ()).unwrap().capabilities;
    assert_eq!(capabilities.len(), 14);
    assert!(!capabilities.contains(&"CAP_SYS_ADMIN".to_owned()));
}
