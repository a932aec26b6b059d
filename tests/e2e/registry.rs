//! Images from a real registry with a password.

use tests::host::{Host, image_archive, listing};
use tests::registry::{PASSWORD, Registry, USER};

use crate::fixture::IDLE;

/// A registry that holds `images`.
fn registry(images: &[&str]) -> Registry {
    let registry = Registry::start().unwrap();
    for image in images {
        registry.push(&image_archive(image).unwrap(), image).unwrap();
    }
    registry
}

/// What `--creds` takes.
fn creds(password: &str) -> String {
    format!("{USER}:{password}")
}

#[test]
fn images_are_pulled_with_the_password_and_run() {
    let registry = registry(&["busybox", "python", "nginx"]);
    let host = Host::start(&IDLE).unwrap();
    for (image, command, expected) in [
        ("busybox", ["echo", "hello"].as_slice(), "hello\n"),
        ("python", &["python3", "-c", "print(6 * 7)"], "42\n"),
        ("nginx", &["nginx", "-v"], ""),
    ] {
        let name = registry.image(image);
        let _ = host.ran(&["pull", "--creds", &creds(PASSWORD), &name]).ended_with(0);
        let ran = host
            .run(&["--memory", "128", "--entrypoint", ""], &name, command)
            .ended_with(0);
        assert_eq!(ran.text(), expected, "{ran}");
    }
}

#[test]
fn run_pulls_what_is_missing() {
    let registry = registry(&["busybox"]);
    let host = Host::start(&IDLE).unwrap();
    let ran = host.run(
        &["--creds", &creds(PASSWORD)],
        &registry.image("busybox"),
        &["echo", "pulled"],
    );
    assert_eq!(ran.ended_with(0).text(), "pulled\n");
}

#[test]
fn the_docker_configuration_knows_the_password() {
    let registry = registry(&["busybox"]);
    let directory = tempfile::tempdir().unwrap();
    let address = registry.image("").trim_end_matches('/').to_owned();
    let mut login = std::process::Command::new("skopeo");
    login
        .args(["login", "--tls-verify=false", "--authfile"])
        .arg(directory.path().join("config.json"));
    login.args(["--username", USER, "--password", PASSWORD, &address]);
    let _ = tests::command::ran(&mut login, b"").unwrap().ended_with(0);
    let mut agent = std::process::Command::new("env");
    agent
        .arg(format!("DOCKER_CONFIG={}", directory.path().display()))
        .arg(crate::fixture::installed("bin/mote-agent"));
    let host = Host::start_by(agent, &IDLE).unwrap();
    let _ = host.ran(&["pull", &registry.image("busybox")]).ended_with(0);
}

/// Pulls what cannot be pulled: one sentence that holds `expected`, and a store as it was before.
#[track_caller]
fn check_refused(host: &Host, options: &[&str], image: &str, expected: &str) {
    let before = listing(&host.store()).unwrap();
    let refusal = host.ran(&[&["pull"], options, &[image]].concat()).refusal();
    assert!(refusal.contains(expected), "{refusal}");
    assert_eq!(listing(&host.store()).unwrap(), before);
}

#[test]
fn a_wrong_password_is_said() {
    let registry = registry(&["busybox"]);
    let host = Host::start(&IDLE).unwrap();
    check_refused(
        &host,
        &["--creds", &creds("wrong")],
        &registry.image("busybox"),
        "password",
    );
    check_refused(&host, &[], &registry.image("busybox"), "password");
}

#[test]
fn an_unknown_image_is_said() {
    let registry = registry(&[]);
    let host = Host::start(&IDLE).unwrap();
    check_refused(
        &host,
        &["--creds", &creds(PASSWORD)],
        &registry.image("nothing"),
        "nothing",
    );
}

#[test]
fn a_corrupt_layer_is_said() {
    let registry = registry(&["busybox"]);
    registry.corrupt_largest_blob().unwrap();
    let host = Host::start(&IDLE).unwrap();
    check_refused(
        &host,
        &["--creds", &creds(PASSWORD)],
        &registry.image("busybox"),
        "sha256:",
    );
}

#[test]
fn a_registry_that_is_not_there_is_said() {
    let host = Host::start(&IDLE).unwrap();
    check_refused(&host, &[], "127.0.0.1:1/busybox", "127.0.0.1:1");
}

#[test]
fn plain_http_is_only_spoken_where_allowed() {
    let host = Host::start(&IDLE).unwrap();
    check_refused(&host, &[], "registry.invalid/busybox", "registry.invalid");
}
