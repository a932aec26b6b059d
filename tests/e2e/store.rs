//! The image store as a user has it: what is saved, shared, counted and pruned; registries that are signed in to and mirrored.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};
use tests::command::ran;
use tests::disk::Disk;
use tests::host::{Host, image_archive, listing};
use tests::registry::{PASSWORD, Registry, USER};
use tests::running::Running;

use crate::fixture::{IDLE, agent};

/// What `mote system df` says of images: bytes that they take, and that would be freed.
fn disk_use(host: &Host) -> (u64, u64) {
    let text = host.ran(&["system", "df", "--format", "json"]).ended_with(0).text();
    let kinds: Vec<Value> = serde_json::from_str(&text).unwrap();
    let images = kinds.iter().find(|kind| kind["kind"] == "images").unwrap();
    let bytes = |key: &str| images[key].as_u64().unwrap();
    (bytes("size_bytes"), bytes("reclaimable_bytes"))
}

/// The digest that an archive or layout of one image has by skopeo.
fn digest(image: &str) -> String {
    let mut inspect = Command::new("skopeo");
    inspect.args(["inspect", "--format", "{{.Digest}}", image]);
    ran(&mut inspect, b"").unwrap().ended_with(0).text().trim().to_owned()
}

/// A host agent that keeps sign-ins in `directory`.
fn host_with(directory: &std::path::Path, options: &[&str]) -> Host {
    let mut command = agent();
    command.env("DOCKER_CONFIG", directory);
    Host::start_by(command, &[&IDLE[..], options].concat()).unwrap()
}

#[test]
fn a_saved_image_is_the_one_that_was_loaded_for_others_too() {
    let host = Host::start(&IDLE).unwrap();
    host.load("busybox").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("saved.tar").display().to_string();
    let _ = host.ran(&["save", "-o", &path, "busybox"]).ended_with(0);
    let archive = image_archive("busybox").unwrap();
    let expected = digest(&format!("oci-archive:{}", archive.display()));
    assert_eq!(digest(&format!("oci-archive:{path}")), expected);
    let to = format!("oci:{}/layout:saved", directory.path().display());
    let mut copy = Command::new("skopeo");
    let _ = ran(copy.args(["copy", "--quiet", &format!("oci-archive:{path}"), &to]), b"")
        .unwrap()
        .ended_with(0);
    assert_eq!(digest(&to), expected);
    let storage = directory.path().join("podman").display().to_string();
    let mut podman = Command::new("podman");
    podman.args([
        "--root",
        &storage,
        "--runroot",
        &format!("{storage}-run"),
        "--storage-driver",
        "vfs",
    ]);
    let loaded = ran(podman.args(["load", "--quiet", "--input", &path]), b"")
        .unwrap()
        .ended_with(0);
    assert!(loaded.text().contains("docker.io/library/busybox:latest"), "{loaded}");
    // From standard output to standard input, and it runs.
    let bytes = ran(&mut host.mote(&["image", "save", "busybox"]), b"")
        .unwrap()
        .ended_with(0)
        .stdout;
    let _ = host.ran(&["image", "rm", "busybox"]).ended_with(0);
    let _ = ran(&mut host.mote(&["image", "load"]), &bytes).unwrap().ended_with(0);
    let listed = host
        .ran(&["image", "ls", "--format", "{{.digest}}"])
        .ended_with(0)
        .text();
    assert_eq!(listed.trim(), expected);
    assert_eq!(
        host.run(&[], "busybox", &["echo", "hello"]).ended_with(0).text(),
        "hello\n"
    );
}

#[test]
fn what_images_share_is_shown_and_counted_once() {
    let host = Host::start(&IDLE).unwrap();
    host.load("busybox").unwrap();
    let (before, _) = disk_use(&host);
    let directory = tempfile::tempdir().unwrap();
    let layout = directory.path().join("layout").display().to_string();
    let script = "set -e; skopeo copy --quiet oci-archive:$1 oci:$2:more; echo added > $2/added; \
                  umoci insert --image $2:more --rootless $2/added /added";
    let mut command = Command::new("sh");
    command
        .args(["-c", script, "sh"])
        .arg(image_archive("busybox").unwrap())
        .arg(&layout);
    let _ = ran(&mut command, b"").unwrap().ended_with(0);
    let _ = host.ran(&["load", "--name", "more", &layout]).ended_with(0);
    let tree = host.ran(&["images", "--tree"]).ended_with(0).text();
    for part in ["in 2 images", "busybox:latest", "more:latest", "saved by sharing"] {
        assert!(tree.contains(part), "{tree}");
    }
    let (after, _) = disk_use(&host);
    assert!(after - before < before / 4, "{before} {after}");
}

#[test]
fn a_prune_frees_what_no_task_uses_to_the_byte() {
    let host = Host::start(&IDLE).unwrap();
    let empty = disk_use(&host);
    assert_eq!(empty, (0, 0));
    host.load("busybox").unwrap();
    let (full, reclaimable) = disk_use(&host);
    assert_eq!(full, reclaimable);
    let task = Running::start(&host, "user", &[], "busybox", &["sh", "-c", "echo ready; cat"]);
    let mut task = task;
    assert_eq!(task.line(), "ready");
    assert_eq!(disk_use(&host).1, 0);
    let pruned = host.ran(&["image", "prune", "--all", "--force"]).ended_with(0);
    assert_eq!(pruned.text(), "freed 0B\n");
    let _ = task.end().ended_with(0);
    // What came after is not meant.
    let old = host
        .ran(&["image", "prune", "-a", "-f", "--filter", "until=24h"])
        .ended_with(0);
    assert_eq!(old.text(), "freed 0B\n");
    let refusal = host.ran(&["image", "prune", "-f", "--filter", "label=x"]).refusal();
    assert!(refusal.contains("there is no filter 'label'"), "{refusal}");
    let pruned = host.ran(&["image", "prune", "-a", "-f"]).ended_with(0).text();
    assert!(
        pruned.starts_with("docker.io/library/busybox:latest\nfreed "),
        "{pruned}"
    );
    assert_eq!(disk_use(&host), (0, 0));
}

#[test]
fn who_signs_in_once_pulls_from_then_on() {
    let registry = Registry::start().unwrap();
    registry.push(&image_archive("busybox").unwrap(), "busybox").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let host = host_with(directory.path(), &[]);
    let (address, image) = (
        registry.image("").trim_end_matches('/').to_owned(),
        registry.image("busybox"),
    );
    let login = ["login", "-u", USER, "--password-stdin", &address];
    let wrong = ran(&mut host.mote(&login), b"wrong\n").unwrap().refusal();
    assert!(wrong.contains("wrong user name or password"), "{wrong}");
    assert!(!directory.path().join("config.json").exists());
    let _ = ran(&mut host.mote(&login), format!("{PASSWORD}\n").as_bytes())
        .unwrap()
        .ended_with(0);
    let _ = host.ran(&["pull", &image]).ended_with(0);
    // Docker's format: others can use it.
    let mut inspect = Command::new("skopeo");
    inspect
        .args(["inspect", "--tls-verify=false", "--authfile"])
        .arg(directory.path().join("config.json"));
    let _ = ran(inspect.arg(format!("docker://{image}")), b"")
        .unwrap()
        .ended_with(0);
    let out = host.ran(&["logout", &address]).ended_with(0);
    assert!(out.text().contains("signed out"), "{out}");
    let refusal = host.ran(&["pull", &image]).refusal();
    assert!(refusal.contains("mote login"), "{refusal}");
}

/// The program that Docker's configuration names as a helper: it keeps one registry's password in the file `kept` beside it.
const HELPER: &str = "#!/bin/sh\n\
    cd \"${0%/*}\" || exit\n\
    case $1 in\n\
    store) cat > kept ;;\n\
    get) cat kept 2> /dev/null || { echo credentials not found in native keychain; exit 1; } ;;\n\
    erase) rm kept ;;\n\
    esac\n";

#[test]
fn a_helper_keeps_the_password() {
    let registry = Registry::start().unwrap();
    registry.push(&image_archive("busybox").unwrap(), "busybox").unwrap();
    let image = registry.image("busybox");
    let address = registry.image("").trim_end_matches('/').to_owned();
    let directory = tempfile::tempdir().unwrap();
    let (config, helper) = (
        directory.path().join("config.json"),
        directory.path().join("docker-credential-e2e"),
    );
    fs::write(&helper, HELPER).unwrap();
    fs::set_permissions(&helper, Permissions::from_mode(0o755)).unwrap();
    fs::write(&config, json!({"credHelpers": {&address: "e2e"}}).to_string()).unwrap();
    let mut command = agent();
    let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap());
    command.env("DOCKER_CONFIG", directory.path()).env("PATH", path);
    let host = Host::start_by(command, &IDLE).unwrap();
    let refusal = host.ran(&["pull", &image]).refusal();
    assert!(refusal.contains("mote login"), "{refusal}");
    let _ = host.ran(&["login", "-u", USER, "-p", PASSWORD, &address]).ended_with(0);
    let kept: Value = serde_json::from_slice(&fs::read(directory.path().join("kept")).unwrap()).unwrap();
    assert_eq!(
        kept,
        json!({"ServerURL": address, "Username": USER, "Secret": PASSWORD})
    );
    assert!(!fs::read_to_string(&config).unwrap().contains("auth\":"));
    let _ = host.ran(&["pull", &image]).ended_with(0);
    let _ = host.ran(&["logout", &address]).ended_with(0);
    assert!(!directory.path().join("kept").exists());
    let refusal = host.ran(&["pull", &image]).refusal();
    assert!(refusal.contains("mote login"), "{refusal}");
}

#[test]
fn a_run_pulls_when_it_is_told_to() {
    let registry = Registry::start().unwrap();
    let image = registry.image("app");
    let directory = tempfile::tempdir().unwrap();
    let host = host_with(directory.path(), &[]);
    let address = registry.image("").trim_end_matches('/').to_owned();
    let _ = host.ran(&["login", "-u", USER, "-p", PASSWORD, &address]).ended_with(0);
    let run = |policy: &str| host.run(&["--memory", "128", "--pull", policy], &image, &["true"]);
    let digest = || {
        let listed = host.ran(&["image", "ls", "--format", "json"]).ended_with(0).text();
        let images: Vec<Value> = serde_json::from_str(&listed).unwrap();
        let named = images
            .into_iter()
            .find(|listed| listed["names"][0] == format!("{image}:latest"));
        named.map(|named| named["digest"].clone())
    };
    registry.push(&image_archive("busybox").unwrap(), "app").unwrap();
    let refusal = run("never").refusal();
    assert!(refusal.contains("app"), "{refusal}");
    let _ = run("missing").ended_with(0);
    let first = digest();
    // The tag moves: only who asks the registry finds out.
    registry.push(&image_archive("python").unwrap(), "app").unwrap();
    for policy in ["missing", "never"] {
        let _ = run(policy).ended_with(0);
        assert_eq!(digest(), first);
    }
    let _ = run("always").ended_with(0);
    assert!(digest().is_some() && digest() != first);
}

#[test]
fn what_somebody_changed_in_the_store_is_not_run() {
    let host = Host::start(&IDLE).unwrap();
    host.load("busybox").unwrap();
    let run = || host.run(&[], "busybox", &["echo", "sound"]);
    let data = listing(&host.store())
        .unwrap()
        .into_iter()
        .find(|(path, _)| path.ends_with("data"));
    let (data, _) = data.unwrap();
    let bytes = fs::read(&data).unwrap();
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    fs::write(&data, changed).unwrap();
    let refusal = run().refusal();
    assert!(
        refusal.contains("is not as it was stored: pull the image again"),
        "{refusal}"
    );
    // Loading it again makes it whole.
    host.load("busybox").unwrap();
    assert_eq!(fs::read(&data).unwrap(), bytes);
    assert_eq!(run().ended_with(0).text(), "sound\n");
}

#[test]
fn a_mirror_stands_in_for_a_registry_that_is_not_there() {
    let registry = Registry::start().unwrap();
    registry
        .push(&image_archive("busybox").unwrap(), "hub/team/busybox")
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let address = registry.image("").trim_end_matches('/').to_owned();
    let mirror = format!("registry.invalid={address}/hub");
    let host = host_with(directory.path(), &["--registry-mirror", &mirror]);
    let login = ["login", "-u", USER, "-p", PASSWORD, &address];
    let _ = host.ran(&login).ended_with(0);
    let ran = host.run(&[], "registry.invalid/team/busybox", &["echo", "mirrored"]);
    assert_eq!(ran.ended_with(0).text(), "mirrored\n");
    let listed = host.ran(&["images"]).ended_with(0).text();
    assert!(listed.contains("registry.invalid/team/busybox:latest"), "{listed}");
}

#[test]
fn a_host_bounds_what_images_may_cost() {
    let host = Host::start(&[&IDLE[..], &["--image-files-max", "3", "--discard-blobs"]].concat()).unwrap();
    let before = listing(&host.store()).unwrap();
    let archive = image_archive("busybox").unwrap().display().to_string();
    let refusal = host.ran(&["load", &archive]).refusal();
    assert!(refusal.contains("the image has more than 3 files"), "{refusal}");
    assert_eq!(listing(&host.store()).unwrap(), before);
}

/// Room for the image of busybox and what the host agent keeps, and for less than half of that of nginx.
const SMALL_DISK_MIB: u32 = 48;

#[test]
fn a_disk_that_is_full_keeps_what_is_stored() {
    let disk = Disk::of_mib(SMALL_DISK_MIB);
    let host = Host::start_in(disk.for_state(), agent(), &IDLE).unwrap();
    host.load("busybox").unwrap();
    let run = || host.run(&[], "busybox", &["echo", "runs"]);
    assert_eq!(run().ended_with(0).text(), "runs\n");
    let before = (listing(&host.store()).unwrap(), disk_use(&host));
    let archive = image_archive("nginx").unwrap().display().to_string();
    let refusal = host.ran(&["load", &archive]).refusal();
    assert!(
        refusal.contains("no space is left for images on the disk of"),
        "{refusal}"
    );
    // What had been brought by then has gone.
    assert_eq!((listing(&host.store()).unwrap(), disk_use(&host)), before);
    assert_eq!(run().ended_with(0).text(), "runs\n");
    // Without any room there is no task, but a clear sentence; what is stored can still be seen.
    disk.full(|| {
        let refusal = run().refusal();
        assert!(refusal.contains("disk is full"), "{refusal}");
        assert_eq!(disk_use(&host), before.1);
    });
    assert_eq!(run().ended_with(0).text(), "runs\n");
    assert_eq!(host.stop().unwrap(), Some(0));
}
