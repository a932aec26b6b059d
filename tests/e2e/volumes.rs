//! Directories of the host as volumes of tasks.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::json;
use tempfile::TempDir;
use tests::command::{Ran, ran};
use tests::host::Host;
use tests::leftovers::Held;
use tests::patience::until;
use tests::running::Running;

use crate::fixture::IDLE;

/// A host agent whose tasks may see what is below a directory.
struct Allowing {
    host: Host,
    allowed: PathBuf,
    /// Around the allowed one.
    directory: TempDir,
}

static ALLOWING: LazyLock<Allowing> = LazyLock::new(|| {
    let directory = TempDir::new().unwrap();
    let allowed = directory.path().canonicalize().unwrap().join("allowed");
    fs::create_dir(&allowed).unwrap();
    let allow = ["--no-network", "--allow-host-path", allowed.to_str().unwrap()];
    let host = Host::start(&[&IDLE[..], &allow].concat()).unwrap();
    host.load("busybox").unwrap();
    Allowing {
        host,
        allowed,
        directory,
    }
});

/// A new directory of the host, in which everybody may write.
fn directory(name: &str) -> PathBuf {
    let directory = ALLOWING.allowed.join(name);
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
    directory
}

fn volume(directory: &Path, rest: &str) -> String {
    format!("{}:{rest}", directory.display())
}

/// Runs `script` with this directory at `/v`.
#[track_caller]
fn sh(directory: &Path, options: &[&str], script: &str) -> Ran {
    let volume = volume(directory, "/v");
    let options = [&["-v", &volume], options].concat();
    ALLOWING.host.run(&options, "busybox", &["sh", "-c", script])
}

fn start(name: &str, directory: &Path, script: &str) -> Running {
    let volume = volume(directory, "/v");
    Running::start(&ALLOWING.host, name, &["-v", &volume], "busybox", &["sh", "-c", script])
}

#[test]
fn what_one_side_writes_the_other_sees_at_once() {
    let directory = directory("both");
    fs::write(directory.join("before"), "of the host\n").unwrap();
    let script = "cat /v/before; echo of the guest >/v/answer; echo written; \
                  while read line; do cat /v/news; done; echo gone >/v/answer";
    let mut task = start("both", &directory, script);
    assert_eq!(task.line(), "of the host");
    assert_eq!(task.line(), "written");
    assert_eq!(fs::read_to_string(directory.join("answer")).unwrap(), "of the guest\n");
    // As long each time, so that only the contents tell.
    for news in ["first", "other", "third"] {
        fs::write(directory.join("news"), format!("{news}\n")).unwrap();
        task.say("");
        assert_eq!(task.line(), news);
    }
    let _ = task.end().ended_with(0);
    assert_eq!(fs::read_to_string(directory.join("answer")).unwrap(), "gone\n");
}

#[test]
fn owners_and_permissions_are_the_hosts() {
    let directory = directory("owners");
    fs::write(directory.join("private"), "").unwrap();
    fs::set_permissions(directory.join("private"), fs::Permissions::from_mode(0o600)).unwrap();
    let script = "umask 027; mkdir /v/made; echo x >/v/made/file; ln -s file /v/made/link; cat /v/private";
    let ran = sh(&directory, &["-u", "1234:5678"], script).ended_with(1);
    assert!(ran.stderr.contains("Permission denied"), "{ran}");
    for (name, mode) in [("made", 0o750), ("made/file", 0o640), ("made/link", 0o777)] {
        let metadata = fs::symlink_metadata(directory.join(name)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (1234, 5678), "{name}");
        assert_eq!(metadata.mode() & 0o7777, mode, "{name}");
    }
    let ran = sh(
        &directory,
        &[],
        "chown 7:8 /v/private; chmod 4711 /v/private; stat -c %u:%g:%a /v/private",
    );
    assert_eq!(ran.ended_with(0).text(), "7:8:4711\n");
    let metadata = fs::metadata(directory.join("private")).unwrap();
    assert_eq!(
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777),
        (7, 8, 0o4711)
    );
}

#[test]
fn a_file_system_is_used_as_any_other() {
    let directory = directory("usual");
    let script = "set -e; cd /v; mkdir -p a/b/c; for n in $(seq 200); do echo $n >a/b/$n; done; ls a/b | wc -l; \
                  mv a/b/1 a/one; ln a/one a/two; stat -c %h a/one; mkfifo pipe; rm -r a/b; \
                  dd if=/dev/zero of=large bs=1M count=5 2>/dev/null; truncate -s 3 large; wc -c <large; \
                  echo more >>large; cp /bin/busybox .; ./busybox echo runs; rm large busybox pipe; ls; ! rmdir a 2>/dev/null";
    let ran = sh(&directory, &[], script).ended_with(0);
    assert_eq!(ran.text(), "201\n2\n3\nruns\na\n");
    assert_eq!(fs::read_to_string(directory.join("a/two")).unwrap(), "1\n");
}

#[test]
fn a_read_only_volume_cannot_be_written_to() {
    let directory = directory("fixed");
    fs::write(directory.join("file"), "text\n").unwrap();
    let volume = volume(&directory, "/v:ro");
    let script = "cat /v/file; echo x >/v/file; rm /v/file; mkdir /v/made; mount -o remount,rw /v";
    let ran = ALLOWING
        .host
        .run(&["-v", &volume], "busybox", &["sh", "-c", script])
        .ended_with(1);
    assert_eq!(ran.text(), "text\n");
    assert_eq!(ran.stderr.matches("Read-only file system").count(), 3, "{ran}");
    assert_eq!(fs::read_to_string(directory.join("file")).unwrap(), "text\n");
}

#[test]
fn a_directory_that_is_not_allowed_is_refused() {
    let refused = |path: &Path| {
        let volume = volume(path, "/v");
        ALLOWING.host.run(&["-v", &volume], "busybox", &["true"]).refusal()
    };
    let outside = ALLOWING.directory.path().canonicalize().unwrap();
    let sentence = refused(&outside);
    assert!(sentence.contains("--allow-host-path"), "{sentence}");
    symlink(&outside, ALLOWING.allowed.join("way-out")).unwrap();
    let sentence = refused(&ALLOWING.allowed.join("way-out"));
    assert!(sentence.contains("leads out"), "{sentence}");
    fs::write(ALLOWING.allowed.join("no-directory"), "").unwrap();
    let sentence = refused(&ALLOWING.allowed.join("no-directory"));
    assert!(sentence.contains("Not a directory"), "{sentence}");
}

#[test]
fn a_missing_directory_is_made() {
    let directory = ALLOWING.allowed.join("not/there/yet");
    let _ = sh(&directory, &[], "echo x >/v/file").ended_with(0);
    assert_eq!(fs::read_to_string(directory.join("file")).unwrap(), "x\n");
}

#[test]
fn a_link_leads_to_places_in_the_guest() {
    let directory = directory("links");
    let outside = ALLOWING.directory.path().canonicalize().unwrap().join("secret");
    fs::write(&outside, "of the host\n").unwrap();
    symlink(&outside, directory.join("out")).unwrap();
    symlink("../../secret", directory.join("up")).unwrap();
    symlink("/etc/hostname", directory.join("name")).unwrap();
    let script = "cat /v/name; cat /v/out /v/up /v/../secret; cd /v; cat ../secret ../../secret";
    let ran = sh(&directory, &["--hostname", "guest"], script).ended_with(1);
    assert_eq!(ran.text(), "guest\n");
    // What is written through it stays in the guest.
    let _ = sh(
        &directory,
        &[],
        "mkdir -p $(dirname $(readlink /v/out)); echo x >/v/out",
    )
    .ended_with(0);
    assert_eq!(fs::read_to_string(&outside).unwrap(), "of the host\n");
}

#[test]
fn tasks_share_a_directory() {
    let directory = directory("tasks");
    let mut one = start(
        "one",
        &directory,
        "read x; echo one >>/v/log; echo done; read x; cat /v/log",
    );
    let mut other = start(
        "other",
        &directory,
        "read x; echo other >>/v/log; echo done; read x; cat /v/log",
    );
    for task in [&mut one, &mut other] {
        task.say("");
        assert_eq!(task.line(), "done");
    }
    for task in [&mut one, &mut other] {
        task.say("");
        assert_eq!((task.line(), task.line()), ("one".to_owned(), "other".to_owned()));
    }
    for task in [one, other] {
        let _ = task.end().ended_with(0);
    }
}

#[test]
fn containers_share_a_directory_and_one_of_them_may_only_read() {
    let directory = directory("containers");
    let mount = |read_only: bool| json!([{"sourceVolume": "data", "containerPath": "/v", "readOnly": read_only}]);
    let container = |name: &str, read_only: bool, script: &str| json!({"name": name, "image": "busybox", "command": ["sh", "-c", script], "mountPoints": mount(read_only)});
    let definition = json!({
        "family": "sharing", "cpu": "256", "memory": "128", "volumes": [{"name": "data", "host": {"sourcePath": directory}}],
        "containerDefinitions": [
            container("writer", false, "echo x >/v/request; until [ -e /v/seen ]; do :; done; exec sleep 1000000"),
            container("reader", true, "until [ -e /v/request ]; do :; done; echo $(touch /v/x 2>&1); exec sleep 1000000"),
        ],
    });
    let host = &ALLOWING.host;
    let mut register = host.mote(&["task-definition", "register", "-"]);
    let _ = ran(&mut register, definition.to_string().as_bytes())
        .unwrap()
        .ended_with(0);
    let task = host.ran(&["task", "run", "sharing"]).ended_with(0).text();
    let task = task.split_whitespace().last().unwrap().to_owned();
    until("the reader is refused", || {
        let said = host.ran(&["logs", &task]).text();
        said.contains("Read-only file system").then_some(())
    });
    assert!(directory.join("request").exists() && !directory.join("x").exists());
    let _ = host.ran(&["stop", "--time", "0", &task]);
}

#[test]
fn nothing_of_a_volume_is_left_over() {
    let directory = directory("left");
    // What a host agent keeps once it has run something is there before.
    let _ = sh(&directory, &[], "true").ended_with(0);
    let before = Held::now(&ALLOWING.host.runtime()).unwrap();
    let _ = sh(&directory, &[], "exec 3>/v/open; echo x >&3").ended_with(0);
    let after = Held::now(&ALLOWING.host.runtime()).unwrap();
    assert_eq!(
        (after.processes, after.mounts, after.files),
        (before.processes, before.mounts, before.files)
    );
    // Nobody has the directory or what is in it open.
    for process in fs::read_dir("/proc").unwrap() {
        let descriptors = fs::read_dir(process.unwrap().path().join("fd"));
        for descriptor in descriptors.into_iter().flatten().flatten() {
            let open = fs::read_link(descriptor.path()).unwrap_or_default();
            assert!(!open.starts_with(&directory), "{}", open.display());
        }
    }
}
