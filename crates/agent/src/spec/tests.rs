//! Image and request, merged.

use api::error::{ApiError, ErrorCode};
use protocol::guest::{Container, MountSource};
use protocol::vmm::{Limits, PMEM_WINDOW_BYTES, standing};

use super::{Given, Spec, check as check_plan, free_slots, hostname, resolve, rootfs_slots};
use crate::images::ImageConfig;
use crate::record::{Condition, ContainerPlan, Dependency, Logging, MountPlan, Plan, PullPolicy, VolumePlan};
use crate::sizing;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn container(name: &str) -> ContainerPlan {
    ContainerPlan {
        name: name.to_owned(),
        image: "app".to_owned(),
        pull: PullPolicy::Never,
        is_essential: true,
        entrypoint: None,
        command: None,
        env: vec![],
        secrets: vec![],
        working_directory: None,
        user: None,
        terminal: None,
        stdin: false,
        cpu_units: 0,
        memory_mib: None,
        memory_reservation_mib: None,
        depends_on: vec![],
        start_timeout_seconds: None,
        stop_timeout_seconds: 30,
        health_check: None,
        restart: None,
        ulimits: vec![],
        pids_max: None,
        capabilities_added: vec![],
        capabilities_dropped: vec![],
        no_new_privileges: false,
        is_read_only: false,
        has_init_process: false,
        shared_memory_mib: None,
        mounts: vec![],
        hosts: vec![],
        labels: vec![],
        logging: Logging::default(),
    }
}

fn plan(containers: Vec<ContainerPlan>) -> Plan {
    Plan {
        vcpu_milli: 250,
        memory_mib: 64,
        scratch_mib: 1,
        scratch_inodes: None,
        limits: Limits::default(),
        hostname: None,
        waits_for_vcpus: false,
        time_limit_seconds: None,
        can_execute: false,
        network: None,
        sysctls: vec![],
        volumes: vec![],
        containers,
    }
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

fn check(image: &ImageConfig, change: impl FnOnce(&mut ContainerPlan)) -> Result<Container, ErrorCode> {
    resolve_as(image, 1, change)
        .map(|spec| spec.container)
        .map_err(|error| error.code)
}

fn resolve_as(
    config: &ImageConfig,
    containers: usize,
    change: impl FnOnce(&mut ContainerPlan),
) -> Result<Spec, ApiError> {
    let mut container = container("main");
    change(&mut container);
    let given = Given {
        config,
        rootfs_slot: standing::PMEM,
        scratch_slot: standing::SCRATCH,
        process: 0,
        hostname: &hostname(&plan(vec![]), "0123456789abcdef"),
        secrets: &words("SECRET=1"),
        directories: &[("shared".to_owned(), 9)],
        sizing: &sizing::size(250, 64).unwrap(),
        containers,
    };
    resolve(&container, &given)
}

#[test]
fn the_first_snapshot_that_fits_is_mapped_and_all_others_are_disks() {
    let (small, large) = (PMEM_WINDOW_BYTES, PMEM_WINDOW_BYTES + 1);
    assert_eq!(rootfs_slots(&[small]), Ok(vec![standing::PMEM]));
    assert_eq!(rootfs_slots(&[large]), Ok(vec![standing::DISK]));
    let first_free = standing::FIRST_FREE;
    assert_eq!(
        rootfs_slots(&[large, small, small]),
        Ok(vec![standing::DISK, standing::PMEM, first_free])
    );
    assert!(rootfs_slots(&[large; 10]).is_ok());
    assert!(rootfs_slots(&[large; 16]).is_err());
}

#[test]
fn containers_share_a_task_by_weights_and_limits() {
    let change = |plan: &mut ContainerPlan| {
        plan.cpu_units = 1024;
        plan.memory_mib = Some(32);
        plan.memory_reservation_mib = Some(16);
    };
    let container = resolve_as(&image(), 2, change).unwrap().container;
    assert_eq!(
        (container.cpu_weight, container.memory_bytes_max),
        (Some(39), Some(32 << 20))
    );
    assert_eq!(container.memory_bytes_low, Some(16 << 20));
    let alone = resolve_as(&image(), 1, |plan| plan.memory_mib = Some(1000))
        .unwrap()
        .container;
    assert_eq!((alone.cpu_weight, alone.memory_bytes_max), (None, Some(64 << 20)));
}

fn refused(plan: &Plan) -> String {
    check_plan(plan).unwrap_err().message
}

#[test]
fn a_plan_that_no_image_can_make_right_is_refused() {
    assert_eq!(check_plan(&plan(vec![container("main")])), Ok(()));
    assert!(refused(&plan(vec![])).contains("0 containers"));
    assert!(refused(&plan(vec![container("a"), container("a")])).contains("\"a\""));
    let depending = |name: &str, on: &str| ContainerPlan {
        depends_on: vec![Dependency {
            container: on.to_owned(),
            condition: Condition::Start,
        }],
        ..container(name)
    };
    assert!(refused(&plan(vec![depending("a", "x")])).contains("\"x\""));
    assert!(refused(&plan(vec![depending("a", "b"), depending("b", "a")])).contains("circle"));
    let mut with_mount = plan(vec![container("a")]);
    with_mount.containers[0].mounts.push(MountPlan::Volume {
        volume: "data".into(),
        path: "/data".into(),
        is_read_only: false,
    });
    assert!(refused(&with_mount).contains("data"));
    with_mount.volumes.push(VolumePlan {
        name: "data".into(),
        host_path: None,
    });
    assert_eq!(check_plan(&with_mount), Ok(()));
    for hostname in ["a b", &"a".repeat(65)] {
        let mut named = plan(vec![container("a")]);
        named.hostname = Some(hostname.into());
        assert!(refused(&named).contains("host name"));
    }
}

#[test]
fn directories_of_the_host_are_few_and_have_slots() {
    let mut with_directories = plan(vec![container("a")]);
    for number in 0..10 {
        with_directories.volumes.push(VolumePlan {
            name: format!("volume-{number}"),
            host_path: Some(format!("/srv/{}", number.min(8))),
        });
    }
    assert_eq!(check_plan(&with_directories), Ok(()));
    with_directories.volumes[9].host_path = Some("/srv/9".into());
    assert!(refused(&with_directories).contains("10 directories"));
    assert_eq!(free_slots(&[standing::PMEM, standing::DISK], 9), Ok((7..16).collect()));
    assert_eq!(free_slots(&[standing::PMEM, standing::DISK, 7], 2), Ok(vec![8, 9]));
    assert!(free_slots(&[standing::PMEM, 7], 9).is_err());
}

#[test]
fn a_volume_is_the_tasks_or_the_hosts() {
    let mount = |volume: &str| MountPlan::Volume {
        volume: volume.into(),
        path: "/data".into(),
        is_read_only: true,
    };
    let mounted = resolve_as(&image(), 1, |plan| plan.mounts = vec![mount("shared"), mount("own")]).unwrap();
    let sources: Vec<_> = mounted.container.mounts.into_iter().map(|mount| mount.source).collect();
    assert_eq!(sources, [MountSource::Directory(9), MountSource::Volume("own".into())]);
}

#[test]
fn the_image_alone_decides_what_the_request_leaves_open() {
    let spec = resolve_as(&image(), 1, |_| ()).unwrap();
    assert_eq!(spec.container.argv, words("/entry serve all"));
    assert_eq!(
        spec.container.env,
        words("PATH=/app HOSTNAME=0123456789ab LANG=C SECRET=1")
    );
    assert_eq!(spec.container.working_directory, "/srv");
    assert_eq!(spec.container.user, "www");
    assert_eq!(spec.container.memory_bytes_max, Some(64 << 20));
    assert_eq!(spec.stop_signal, 3);
}

#[test]
fn a_command_replaces_the_images_and_keeps_its_entrypoint() {
    let container = check(&image(), |plan| plan.command = Some(words("debug"))).unwrap();
    assert_eq!(container.argv, words("/entry debug"));
}

#[test]
fn an_entrypoint_takes_the_images_command_away() {
    let container = check(&image(), |plan| plan.entrypoint = Some(words("sh -c"))).unwrap();
    assert_eq!(container.argv, words("sh -c"));
}

#[test]
fn an_empty_entrypoint_leaves_the_command_alone() {
    let change = |plan: &mut ContainerPlan| {
        plan.entrypoint = Some(vec![]);
        plan.command = Some(words("ls -l"));
    };
    assert_eq!(check(&image(), change).unwrap().argv, words("ls -l"));
}

#[test]
fn without_any_command_there_is_nothing_to_run() {
    assert_eq!(check(&ImageConfig::default(), |_| ()), Err(ErrorCode::InvalidParameter));
    assert_eq!(
        check(&image(), |plan| plan.entrypoint = Some(vec![])),
        Err(ErrorCode::InvalidParameter)
    );
    let empty = |plan: &mut ContainerPlan| plan.command = Some(vec![String::new()]);
    assert_eq!(check(&ImageConfig::default(), empty), Err(ErrorCode::InvalidParameter));
}

#[test]
fn the_callers_environment_wins_in_place() {
    let container = check(&image(), |plan| plan.env = words("LANG=de A=1 PATH=/mine")).unwrap();
    assert_eq!(
        container.env,
        words("PATH=/mine HOSTNAME=0123456789ab LANG=de A=1 SECRET=1")
    );
}

#[test]
fn a_bare_image_gets_a_path_and_a_terminal_gets_a_kind() {
    let change = |plan: &mut ContainerPlan| {
        plan.command = Some(words("sh"));
        plan.terminal = Some((80, 24));
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
    assert_eq!(check(&image(), |plan| plan.env = words("NAME")), refused);
    assert_eq!(check(&image(), |plan| plan.env = words("=value")), refused);
    assert_eq!(
        check(&image(), |plan| plan.command = Some(vec!["a\0b".into()])),
        refused
    );
    assert_eq!(
        check(&image(), |plan| plan.command = Some(vec!["a".repeat(1 << 20)])),
        refused
    );
    assert_eq!(
        check(&image(), |plan| plan.working_directory = Some("srv".into())),
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
