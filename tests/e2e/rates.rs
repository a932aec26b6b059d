//! What a task does in a second is bounded where that is asked for: the bytes and requests of its disks, and its network.
//!
//! A bounded task gets all that it may have and no more, as its own kernel counts: beside what it may do at once, which is one second's worth.

use serde_json::json;
use tests::world::{AWAY, World};

use crate::fixture::host;

/// Prints the sum of so many columns of all disks' statistics, and the time, before and after a command.
const MEASURE: &str =
    "sum() { cat /sys/block/vd*/stat | awk \"{ sum += $1 } END { print sum }\"; cut -d ' ' -f 1 /proc/uptime; }\n";

/// What was counted meanwhile, and the seconds that it took: `said` is a count, a time, a count and a time.
fn measured(said: &str) -> (f64, f64) {
    let numbers: Vec<f64> = said.split_whitespace().map(|number| number.parse().unwrap()).collect();
    let [before, begin, after, end] = numbers[..] else {
        panic!("{said}")
    };
    (after - before, end - begin)
}

/// Checks what was done in so many seconds at this rate; `at_once` may be under way beside one second's worth.
#[track_caller]
fn check(rate: f64, (done, seconds): (f64, f64), at_once: f64) {
    assert!(done > 3.0 * rate, "{done} is too little to tell anything");
    assert!(
        done <= rate * (seconds + 1.0) + at_once,
        "{done} in {seconds} s, where {rate} are allowed in one"
    );
    assert!(
        done >= 0.8 * rate * seconds,
        "{done} in {seconds} s, where {rate} are allowed in one"
    );
}

/// Checks what `columns` count while `command` runs in a clone, the task `name`, with `option`.
#[track_caller]
fn check_disk(name: &str, option: [&str; 2], (columns, command): (&str, &str), rate: f64, at_once: f64) {
    let script = format!("{MEASURE}sum '{columns}'; {command}; sum '{columns}'");
    let run = [
        "run", "--name", name, "--memory", "64", option[0], option[1], "busybox", "sh", "-c", &script,
    ];
    let ran = host().ran(&run).ended_with(0);
    assert_ne!(host().task(name)["origin"], "boot");
    let _ = host().ran(&["rm", name]).ended_with(0);
    check(rate, measured(&ran.text()), at_once);
}

#[test]
fn the_bytes_of_disks_are_bounded() {
    let (rate, bytes) = (f64::from(1 << 20), "($3 + $7) * 512");
    let write = "dd if=/dev/zero of=/file bs=64k count=96 conv=fsync 2> /dev/null";
    check_disk("writer", ["--io-maxbandwidth", "1m"], (bytes, write), rate, rate);
    let both = "for n in 1 2 3; do dd if=/dev/zero of=/file bs=64k count=16 conv=fsync; dd if=/file of=/dev/null bs=64k iflag=direct; done 2> /dev/null";
    check_disk("reader", ["--io-maxbandwidth", "1m"], (bytes, both), rate, rate);
}

#[test]
fn the_requests_to_disks_are_bounded() {
    let write = "dd if=/dev/zero of=/file bs=4k count=250 oflag=direct 2> /dev/null";
    check_disk("requester", ["--io-maxiops", "50"], ("$1 + $5", write), 50.0, 2.0);
}

#[test]
fn rates_are_shown() {
    let options = [
        "--io-maxbandwidth",
        "10m",
        "--io-maxiops",
        "1000",
        "--network-maxbandwidth",
        "1g",
    ];
    let run = [&["run", "--name", "rated"], &options[..], &["busybox", "true"]].concat();
    let _ = host().ran(&run).ended_with(0);
    let expected = json!({
        "disk_bytes_per_second": 10 << 20, "disk_operations_per_second": 1000, "network_bytes_per_second": 1 << 30,
    });
    assert_eq!(host().task("rated")["rates"], expected);
    let _ = host().ran(&["rm", "rated"]).ended_with(0);
    let refusal = host().run(&["--io-maxbandwidth", "0"], "busybox", &["true"]);
    assert!(refusal.stderr.contains("more than none"), "{refusal}");
}

#[test]
fn the_bytes_of_a_network_are_bounded_in_each_direction() {
    let world = World::make().unwrap();
    let host = world.host(&["--pool", "0"]).unwrap();
    host.load("python").unwrap();
    let options = ["--memory", "128", "--network-maxbandwidth", "1m"];
    let rate = f64::from(1 << 20);
    let count = |of: &str| format!("print(open('/sys/class/net/eth0/statistics/{of}_bytes').read(), time.monotonic())");
    let check = |of: &str, transfer: &str| {
        let program = format!("import socket, time, urllib.request\n{0}\n{transfer}\n{0}", count(of));
        let ran = host.run(&options, "python", &["python3", "-c", &program]).ended_with(0);
        // As many as the ring holds, and the frame that is too large.
        check(rate, measured(&ran.text()), 0.5 * rate);
    };
    check("rx", &format!("urllib.request.urlopen('http://{AWAY}/large').read()"));
    // Nobody listens, and nobody has to.
    let sender = "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)";
    check(
        "tx",
        &format!("{sender}\nfor _ in range(4096): s.sendto(bytes(1000), ('{AWAY}', 9))"),
    );
    assert_eq!(host.stop().unwrap(), Some(0));
}
