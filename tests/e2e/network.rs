//! Tasks' network: addresses, names, the world outside, published ports, what a task can ask about itself; and nothing of it is left.
//!
//! Those that end or kill a host agent have a host and a world of their own ([`tests::world`]).

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use tests::command::ran;
use tests::host::Host;
use tests::patience::until;
use tests::running::Running;
use tests::wires::Wires;
use tests::world::{AWAY, LARGE_LEN, NAME, UP, World, ask, get, large};

/// The world and the host agent of the tests that need none of their own.
static SITE: LazyLock<(World, Host)> = LazyLock::new(|| {
    let world = World::make().unwrap();
    let host = world.host(&["--pool", "0"]).unwrap();
    (world, host)
});

/// A task whose shell runs `script` and then waits for the end of its input.
#[track_caller]
fn start(host: &Host, name: &str, options: &[&str], script: &str) -> Running {
    let options = [&["--cpu", "0.5", "--memory", "64"], options].concat();
    let script = format!("{{ {script}\n}} 2>&1; exec cat");
    Running::start(host, name, &options, "busybox", &["sh", "-c", &script])
}

/// What a task says whose shell runs `script`.
#[track_caller]
pub fn sh(host: &Host, options: &[&str], script: &str) -> String {
    let options = [&["--cpu", "0.5", "--memory", "64"], options].concat();
    host.run(&options, "busybox", &["sh", "-c", script])
        .ended_with(0)
        .text()
}

/// The next line of its output, as JSON.
#[track_caller]
fn document(task: &mut Running) -> Value {
    serde_json::from_str(&task.line()).unwrap()
}

pub fn address(host: &Host, task: &str) -> Ipv4Addr {
    host.task(task)["network"]["address"].as_str().unwrap().parse().unwrap()
}

/// A task that serves a page by TCP port 80.
#[track_caller]
pub fn start_web(host: &Host, name: &str, options: &[&str]) -> Running {
    let script = "echo hello > /var/www/index.html; httpd -p 80 -h /var/www; echo ready";
    let mut web = start(host, name, options, script);
    assert_eq!(web.line(), "ready");
    web
}

#[test]
fn tasks_have_an_address_each_a_route_and_name_servers() {
    let (world, host) = (&SITE.0, &SITE.1);
    let script = "ip -4 -o address show dev eth0 | awk '{ print $4 }'; cat /sys/class/net/eth0/address; \
         ip route | grep default; hostname -i; cat /etc/resolv.conf; ip -6 -o address | grep -v ' ::1/128 '; echo ready";
    let mut tasks = ["one", "two"].map(|name| start(host, name, &[], script));
    let bridge = world.bridge();
    for task in &mut tasks {
        // Once it says something, it has a network.
        let first = task.line();
        let network = host.task(task.name())["network"].clone();
        let address = network["address"].as_str().unwrap();
        assert_eq!(first, format!("{address}/20"));
        assert_eq!(task.line(), network["mac"]);
        assert_eq!(task.line().trim_end(), format!("default via {bridge} dev eth0"));
        assert_eq!(task.line(), address);
        assert_eq!(task.line(), format!("nameserver {bridge}"));
        assert_eq!(task.line(), "search mote.test");
        assert_eq!(task.line(), "ready");
    }
    assert_ne!(address(host, "one"), address(host, "two"));
    for task in tasks {
        let _ = task.end().ended_with(0);
    }
}

#[test]
fn a_task_without_a_network_has_only_itself() {
    let host = &SITE.1;
    let script = "ip -o address | awk '{ print $2, $4 }'; ip route; wget -q -O - http://$0/ 2>&1; echo $?; echo $ECS_CONTAINER_METADATA_URI_V4";
    let options = ["--network", "none"];
    let said = host.run(&options, "busybox", &["sh", "-c", script, &AWAY.to_string()]);
    let text = said.ended_with(0).text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "lo 127.0.0.1/8", "{text}");
    assert!(!text.contains("eth0") && lines.contains(&"1"), "{text}");
    assert_eq!(lines.last(), Some(&""));
    let refused = host.run(&["--network", "none", "-p", "8080:80"], "busybox", &["true"]);
    assert!(refused.refusal().contains("without a network has no ports"));
}

#[test]
fn a_task_reaches_the_world_and_knows_its_names() {
    let (world, host) = (&SITE.0, &SITE.1);
    let who = format!("you are {UP}\n");
    let script = format!("wget -q -O - http://{AWAY}/; wget -q -O - http://{NAME}/; wget -q -O - http://away/");
    assert_eq!(sh(host, &[], &script), who.repeat(3));
    // By a name server outside, and not by the host's.
    let script =
        format!("cat /etc/resolv.conf; wget -q -O - http://{NAME}/; nslookup no.{NAME} 2>&1 | grep -c NXDOMAIN");
    let text = sh(host, &["--dns", &AWAY.to_string()], &script);
    assert!(text.starts_with(&format!("nameserver {AWAY}\n")), "{text}");
    assert!(text.contains(&who), "{text}");
    // In segments larger than the wire takes.
    let sum = ran(&mut Command::new("md5sum"), &large()).unwrap().text();
    assert_eq!(
        sh(
            host,
            &["--name", "large"],
            &format!("wget -q -O - http://{AWAY}/large | md5sum")
        ),
        sum
    );
    let usage = host
        .usage(&[])
        .into_iter()
        .find(|usage| usage["name"] == "large")
        .unwrap();
    assert!(
        usage["received_bytes"].as_u64().unwrap() > large().len() as u64,
        "{usage}"
    );
    assert!(usage["sent_bytes"].as_u64().unwrap() > 0, "{usage}");
    // Nothing of the host's but names: it is not a way to the host.
    let script = format!(
        "timeout 20 wget -q -O - http://{}:7711/ > /dev/null 2>&1 || echo unreached",
        world.bridge()
    );
    assert_eq!(sh(host, &[], &script), "unreached\n");
}

#[test]
fn a_published_port_is_reached_from_the_host_and_from_outside() {
    let (world, host) = (&SITE.0, &SITE.1);
    let options = ["-p", "8080:80", "-p", "127.0.0.1:8081:80", "-p", "80"];
    let web = start_web(host, "web", &options);
    for address in [Ipv4Addr::LOCALHOST, UP, world.bridge()] {
        assert_eq!(get(&world.here, address, 8080, "/").unwrap(), b"hello\n", "{address}");
    }
    assert_eq!(get(&world.here, address(host, "web"), 80, "/").unwrap(), b"hello\n");
    assert_eq!(get(&world.outside, UP, 8080, "/").unwrap(), b"hello\n");
    assert_eq!(get(&world.here, Ipv4Addr::LOCALHOST, 8081, "/").unwrap(), b"hello\n");
    get(&world.outside, UP, 8081, "/").unwrap_err();
    let ports = host.ran(&["port", "web", "80/tcp"]).ended_with(0).text();
    let free: Vec<u16> = ports
        .lines()
        .map(|line| line.rsplit_once(':').unwrap().1.parse().unwrap())
        .collect();
    assert_eq!(free[..2], [8080, 8081]);
    assert_eq!(get(&world.outside, UP, free[2], "/").unwrap(), b"hello\n");
    // Another task reaches it as anybody does, and cannot have the same port.
    assert_eq!(sh(host, &[], &format!("wget -q -O - http://{UP}:8080/")), "hello\n");
    let refused = host.run(&["-p", "8080:80"], "busybox", &["true"]).refusal();
    assert!(refused.contains("port 8080/tcp of the host is in use"), "{refused}");
    let _ = web.end().ended_with(0);
    get(&world.here, Ipv4Addr::LOCALHOST, 8080, "/").unwrap_err();
    get(&world.outside, UP, 8080, "/").unwrap_err();
    assert_eq!(Wires::now(world).unwrap().published(), [""; 0]);
    let again = start_web(host, "again", &options);
    assert_eq!(get(&world.outside, UP, 8080, "/").unwrap(), b"hello\n");
    let _ = again.end().ended_with(0);
}

/// The bits of virtio-net's offloads (virtio 1.2, 5.1.3): checksums, segments of TCP over IPv4 and IPv6, both ways, and buffers that are merged.
const OFFLOADS: [usize; 7] = [0, 1, 7, 8, 11, 12, 15];

#[test]
fn segments_larger_than_the_wire_takes_are_not_cut_on_the_way() {
    let (world, host) = (&SITE.0, &SITE.1);
    let script = format!(
        "cat /sys/class/net/eth0/device/features; head -c {LARGE_LEN} /dev/zero > /var/www/large; httpd -p 80 -h /var/www; \
         wget -q -O /dev/null http://{AWAY}/large; echo received; read go; cd /sys/class/net/eth0/statistics; cat rx_bytes rx_packets tx_bytes tx_packets"
    );
    // However slow the machine is: what is sent in a millisecond may be less.
    let outside = format!("--net=/run/netns/{}", world.outside);
    let set = ["sh", "-c", "echo 16 > /proc/sys/net/ipv4/tcp_min_tso_segs"];
    let _ = ran(Command::new("nsenter").arg(outside).args(set), &[])
        .unwrap()
        .ended_with(0);
    let options = ["-p", "8080:80", "--sysctl", "net.ipv4.tcp_min_tso_segs=16"];
    let mut task = start(host, "segments", &options, &script);
    let features = task.line();
    for bit in OFFLOADS {
        assert_eq!(features.as_bytes()[bit], b'1', "bit {bit} of {features}");
    }
    assert_eq!(task.line(), "received");
    let sent = get(&world.outside, UP, 8080, "/large").unwrap();
    assert_eq!(sent.len(), LARGE_LEN);
    task.say("go");
    for direction in ["receives", "sends"] {
        let [bytes, packets] = [(); 2].map(|()| task.line().parse::<u64>().unwrap());
        assert!(bytes > LARGE_LEN as u64, "it {direction} {bytes} bytes");
        // What confirms them is small, and among them.
        assert!(
            bytes / packets > 2 * 1500,
            "it {direction} {bytes} bytes in {packets} packets"
        );
    }
    let _ = task.end().ended_with(0);
}

#[test]
fn a_published_port_takes_datagrams() {
    let (world, host) = (&SITE.0, &SITE.1);
    host.load("python").unwrap();
    let program = "import socket, sys\n\
         s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 53)); print('ready', flush=True)\n\
         while True:\n  question, peer = s.recvfrom(2000); s.sendto(question + peer[0].encode(), peer)\n";
    let options = ["-p", "8053:53/udp", "--memory", "128"];
    let mut echo = Running::start(host, "echo", &options, "python", &["python3", "-c", program]);
    assert_eq!(echo.line(), "ready");
    for address in [Ipv4Addr::LOCALHOST, UP, world.bridge()] {
        let said = ask(&world.here, address, 8053, b"I am ").unwrap();
        assert!(said.starts_with(b"I am "), "{address}");
    }
    // From outside it sees who asks.
    assert_eq!(
        ask(&world.outside, UP, 8053, b"I am ").unwrap(),
        format!("I am {AWAY}").as_bytes()
    );
    let _ = host.ran(&["kill", "echo"]).ended_with(0);
    let _ = echo.end();
    ask(&world.here, Ipv4Addr::LOCALHOST, 8053, b"").unwrap_err();
}

#[test]
fn a_container_asks_about_itself() {
    let (world, host) = (&SITE.0, &SITE.1);
    let script = "echo up; read go; for path in '' /task /stats /task/stats; do wget -q -O - $ECS_CONTAINER_METADATA_URI_V4$path; echo; done";
    let mut task = start(host, "asker", &["-p", "8080:80"], script);
    assert_eq!(task.line(), "up");
    let known = until("it runs", || {
        Some(host.task("asker")).filter(|task| task["status"] == "RUNNING")
    });
    task.say("go");
    let [container, whole, statistics, all] = [(); 4].map(|()| document(&mut task));
    let runtime_id = known["containers"][0]["runtime_id"].as_str().unwrap();
    assert_eq!(container["DockerId"], runtime_id);
    assert_eq!(container["Image"], known["containers"][0]["image"]);
    assert_eq!(container["KnownStatus"], "RUNNING");
    assert_eq!(container["Limits"]["Memory"], 64);
    assert_eq!(container["Limits"]["CPU"], 512.0);
    assert_eq!(container["Ports"][0]["HostPort"], 8080);
    let network = &container["Networks"][0];
    assert_eq!(network["NetworkMode"], "awsvpc");
    assert_eq!(network["IPv4Addresses"][0], known["network"]["address"]);
    assert_eq!(network["MACAddress"], known["network"]["mac"]);
    assert_eq!(network["SubnetGatewayIpv4Address"], world.bridge().to_string());
    assert_eq!(network["DomainNameServers"][0], world.bridge().to_string());
    let arn = whole["TaskARN"].as_str().unwrap();
    assert!(arn.ends_with(known["id"].as_str().unwrap()), "{arn}");
    assert_eq!(whole["KnownStatus"], "RUNNING");
    assert_eq!(whole["LaunchType"], "FARGATE");
    assert_eq!(whole["Containers"][0]["DockerId"], runtime_id);
    assert_eq!(all[runtime_id]["id"], runtime_id);
    assert_eq!(statistics["id"], runtime_id);
    assert!(statistics["memory_stats"]["usage"].as_u64() > Some(0), "{statistics}");
    assert_eq!(statistics["memory_stats"]["limit"], 64 << 20);
    assert!(
        statistics["cpu_stats"]["cpu_usage"]["total_usage"].as_u64() > Some(0),
        "{statistics}"
    );
    assert!(
        statistics["networks"]["eth0"]["rx_bytes"].as_u64() > Some(0),
        "{statistics}"
    );
    // Nobody else is told of it.
    let stranger = format!("wget -q -O - http://169.254.170.2/v4/{runtime_id} 2>&1; echo $?");
    assert!(sh(host, &[], &stranger).contains("404"));
    let _ = task.end().ended_with(0);
}

#[test]
fn clones_and_full_boots_have_a_network() {
    let world = World::make().unwrap();
    let script = format!("wget -q -O - http://{NAME}/");
    let consoles = tempfile::tempdir().unwrap();
    let directory = consoles.path().to_str().unwrap();
    for (options, expected) in [
        (&["--pool", "1"][..], "pool"),
        (&["--pool", "0"], "clone"),
        (&["--consoles", directory], "boot"),
    ] {
        let host = world.host(options).unwrap();
        if expected == "pool" {
            host.wait_for_pool(1);
        }
        for _ in 0..2 {
            let (said, origin) = host.run_and_tell_origin(&[], "busybox", &["sh", "-c", &script]);
            assert_eq!(said, format!("you are {UP}\n"));
            assert_eq!(origin, expected);
            if expected == "pool" {
                host.wait_for_pool(1);
            }
        }
        assert_eq!(host.stop().unwrap(), Some(0));
    }
}

#[test]
fn nothing_is_left_of_tasks_however_they_end() {
    let world = World::make().unwrap();
    let host = world.host(&["--pool", "0"]).unwrap();
    let before = Wires::now(&world).unwrap();
    assert!(!before.is_nothing());
    let _ = host.run(&["-p", "8080:80"], "busybox", &["false"]).ended_with(1);
    let _ = host
        .run(&["-p", "8080:80"], "busybox", &["no-such-program"])
        .ended_with(127);
    let killed = ["-p", "8080:80", "-p", "53/udp", "--timeout", "1", "--stop-timeout", "0"];
    let _ = host.run(&killed, "busybox", &["sleep", "1000"]).ended_with(137);
    assert_eq!(Wires::now(&world).unwrap(), before);
    let many: Vec<Running> = (0..6)
        .map(|n| start_web(&host, &format!("web{n}"), &["-p", "80"]))
        .collect();
    assert_eq!(Wires::now(&world).unwrap().published().len(), many.len());
    for task in many {
        let _ = task.end().ended_with(0);
    }
    assert_eq!(Wires::now(&world).unwrap().published(), [""; 0]);
    assert_eq!(host.stop().unwrap(), Some(0));
    let after = Wires::now(&world).unwrap();
    assert!(after.is_nothing(), "{after:?}");
}

#[test]
fn a_task_keeps_its_network_when_its_host_agent_is_killed() {
    let world = World::make().unwrap();
    let host = world.host(&["--pool", "0"]).unwrap();
    let detached = ["run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sh", "-c"];
    let script = "echo hello > /var/www/index.html; exec httpd -f -p 80 -h /var/www";
    let _ = host.ran(&[&detached[..], &[script]].concat()).ended_with(0);
    let _ = until("the page is served", || get(&world.outside, UP, 8080, "/").ok());
    let address_before = address(&host, "web");
    let directory = host.kill().unwrap();
    // While there is none, too.
    assert_eq!(get(&world.outside, UP, 8080, "/").unwrap(), b"hello\n");
    let host = Host::start_in(directory, world.agent(), &["--pool", "0"]).unwrap();
    assert_eq!(get(&world.outside, UP, 8080, "/").unwrap(), b"hello\n");
    assert_eq!(address(&host, "web"), address_before);
    assert_ne!(sh(&host, &[], "hostname -i").trim(), address_before.to_string());
    let _ = host.ran(&["rm", "-f", "web"]).ended_with(0);
    get(&world.outside, UP, 8080, "/").unwrap_err();
    assert_eq!(Wires::now(&world).unwrap().published(), [""; 0]);
    assert_eq!(host.stop().unwrap(), Some(0));
    let after = Wires::now(&world).unwrap();
    assert!(after.is_nothing(), "{after:?}");
}
