//! A host agent that is reached over TCP: by who has an access key, and by nobody else.

use std::process::Command;

use tests::command::{Ran, ran};
use tests::host::{HUNG_SECONDS, Host, image_archive};

use crate::fixture::IDLE;

/// Where it listens: in a machine, nobody else does.
const ADDRESS: &str = "127.0.0.1:7733";

/// `mote` far from the host agent's socket, with these access keys in its environment.
fn mote(host: &Host, keys: &[(String, String)], arguments: &[&str]) -> Command {
    let mut command = host.mote(arguments);
    command.env("MOTE_HOST", format!("tcp://{ADDRESS}"));
    for (name, value) in keys {
        command.env(name, value);
    }
    command
}

/// The lines for a shell that `mote credentials` prints.
fn keys(host: &Host) -> Vec<(String, String)> {
    let lines = host.ran(&["credentials"]).ended_with(0).text();
    let pairs = lines
        .lines()
        .filter_map(|line| line.strip_prefix("export ")?.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn who_has_an_access_key_runs_tasks_over_tcp() {
    let host = Host::start(&[&IDLE[..], &["--listen", ADDRESS]].concat()).unwrap();
    host.load("busybox").unwrap();
    let keys = keys(&host);
    let far = |arguments: &[&str], input: &[u8]| -> Ran { ran(&mut mote(&host, &keys, arguments), input).unwrap() };
    let run = ["run", "--rm", "-i", "--timeout", HUNG_SECONDS, "busybox"];
    let said = far(&[&run[..], &["sh", "-c", "cat; exit 3"]].concat(), b"from afar\n").ended_with(3);
    assert_eq!(said.text(), "from afar\n");
    let kept = [
        "run",
        "-d",
        "--timeout",
        HUNG_SECONDS,
        "--name",
        "kept",
        "busybox",
        "sleep",
        "1000000",
    ];
    let _ = far(&kept, b"").ended_with(0);
    assert_eq!(
        far(&["exec", "kept", "echo", "inside"], b"").ended_with(0).text(),
        "inside\n"
    );
    let families = far(&["task-definition", "ls", "--format", "json"], b"").ended_with(0);
    assert_eq!(families.text().trim(), "[]");
    let _ = far(&["rm", "-f", "kept"], b"").ended_with(0);

    let archive = image_archive("busybox").unwrap();
    let refused = far(&["load", "--quiet", archive.to_str().unwrap()], b"").refusal();
    assert!(refused.contains("unix socket"), "{refused}");
    let mut wrong = keys.clone();
    let secret = wrong
        .iter_mut()
        .find(|(name, _)| name == "AWS_SECRET_ACCESS_KEY")
        .unwrap();
    secret.1.push('x');
    let refused = ran(&mut mote(&host, &wrong, &["ps"]), b"").unwrap().refusal();
    assert!(refused.contains("signature"), "{refused}");
}
