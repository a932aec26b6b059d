//! Networks that tasks share: who reaches whom, by address and by name; how they are made, kept and removed.
//!
//! Those that end or kill a host agent have a host and a world of their own ([`tests::world`]).

mod ipv6;

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use tests::command::Ran;
use tests::host::Host;
use tests::patience::until;
use tests::running::Running;
use tests::wires::Wires;
use tests::world::{AWAY, NAME, UP, World, get};

use crate::network::{self, address};

/// The world and the host agent of the tests that need none of their own.
static SITE: LazyLock<(World, Host)> = LazyLock::new(|| {
    let world = World::make().unwrap();
    let host = world.host(&["--pool", "0"]).unwrap();
    (world, host)
});

/// What a task in this network says whose shell runs `script`.
#[track_caller]
fn sh(host: &Host, network: &str, script: &str) -> String {
    network::sh(host, &["--network", network], script)
}

/// A task in this network that serves a page by TCP port 80.
#[track_caller]
fn start_web(host: &Host, name: &str, network: &str, options: &[&str]) -> Running {
    network::start_web(host, name, &[&["--network", network], options].concat())
}

#[track_caller]
fn create(host: &Host, arguments: &[&str]) {
    let made = host.ran(&[&["network", "create"], arguments].concat()).ended_with(0);
    assert_eq!(made.text().trim_end(), *arguments.last().unwrap());
}

fn inspected(host: &Host, network: &str) -> Value {
    let text = host.ran(&["network", "inspect", network]).ended_with(0).text();
    let found: Vec<Value> = serde_json::from_str(&text).unwrap();
    found.into_iter().next().unwrap()
}

/// What `mote network` says to a refused request.
#[track_caller]
fn refused(host: &Host, arguments: &[&str]) -> String {
    host.ran(&[&["network"], arguments].concat()).refusal()
}

#[test]
fn tasks_of_a_network_know_each_other_and_nobody_else_does() {
    let (world, host) = (&SITE.0, &SITE.1);
    create(host, &["--label", "team=web", "know-front"]);
    create(host, &["know-back"]);
    let web = start_web(host, "web", "know-front", &["-p", "8080:80"]);
    let address = address(host, "web");
    let script = format!(
        "wget -q -O - http://web/; wget -q -O - http://WEB.know-front/; wget -q -O - http://{address}/; \
         nslookup {address} | grep -o 'web.know-front'; wget -q -O - http://{NAME}/; \
         wget -q -O - $ECS_CONTAINER_METADATA_URI_V4 | grep -o 'SubnetGatewayIpv4Address\":\"[0-9.]*'"
    );
    let gateway = inspected(host, "know-front")["gateway"].as_str().unwrap().to_owned();
    let expected =
        format!("hello\nhello\nhello\nweb.know-front\nyou are {UP}\nSubnetGatewayIpv4Address\":\"{gateway}\n");
    assert_eq!(sh(host, "know-front", &script), expected);
    let script = format!(
        "timeout 20 wget -q -O - http://{address}/ || echo unreached; \
         nslookup web > /dev/null 2>&1 || echo unknown; nslookup web.know-front > /dev/null 2>&1 || echo unknown"
    );
    for network in ["know-back", "default"] {
        assert_eq!(sh(host, network, &script), "unreached\nunknown\nunknown\n", "{network}");
    }
    // From outside, and from the host.
    assert_eq!(get(&world.outside, UP, 8080, "/").unwrap(), b"hello\n");
    assert_eq!(get(&world.here, address, 80, "/").unwrap(), b"hello\n");
    let inside = inspected(host, "know-front");
    assert_eq!(inside["tasks"][0]["name"], "web");
    assert_eq!(inside["tasks"][0]["address"], address.to_string());
    assert_eq!(host.task("web")["network"]["name"], "know-front");
    let listed = host.ran(&["network", "ls", "-q", "--filter", "label=team=web"]);
    assert_eq!(listed.ended_with(0).text(), "know-front\n");
    let refusal = refused(host, &["rm", "know-front"]);
    assert!(refusal.contains("\"know-front\" is in use by web"), "{refusal}");
    let _ = web.end().ended_with(0);
    let _ = host.ran(&["network", "rm", "know-front", "know-back"]).ended_with(0);
}

#[test]
fn tasks_of_an_internal_network_reach_each_other_alone() {
    let host = &SITE.1;
    create(host, &["--internal", "--subnet", "10.20.30.0/28", "inner"]);
    let web = start_web(host, "inner-web", "inner", &[]);
    let script = format!(
        "wget -q -O - http://inner-web/; timeout 20 wget -q -O - http://{AWAY}/ || echo unreached; \
         nslookup {NAME} > /dev/null 2>&1 || echo unknown; hostname -i"
    );
    let said = sh(host, "inner", &script);
    assert!(said.starts_with("hello\nunreached\nunknown\n10.20.30."), "{said}");
    let options = ["--network", "inner", "-p", "8081:80"];
    let refusal = host.run(&options, "busybox", &["true"]).refusal();
    assert!(
        refusal.contains("is internal, so nothing in it can be published"),
        "{refusal}"
    );
    let _ = web.end().ended_with(0);
    let _ = host.ran(&["network", "rm", "inner"]).ended_with(0);
}

#[test]
fn what_cannot_be_is_said_in_a_sentence() {
    let host = &SITE.1;
    create(host, &["--subnet", "10.40.0.0/24", "there"]);
    for (arguments, expected) in [
        (&["create", "there"][..], "there is a network \"there\" already"),
        (
            &["create", "--subnet", "10.40.0.0/20", "other"],
            "overlaps with 10.40.0.0/24, which is the network \"there\"",
        ),
        (
            &["create", "--subnet", "192.0.2.0/24", "other"],
            "this host has a route into 192.0.2.0/24",
        ),
        (
            &["create", "--subnet", "fd00::/64", "other"],
            "ask for IPv6 with --ipv6",
        ),
        (&["create", "--ipv6", "--subnet", "fe80::/64", "other"], "none of hosts"),
        (
            &["create", "--ipv6", "--subnet", "2001:db8::/48", "other"],
            "this host has a route into 2001:db8::/64",
        ),
        (&["create", "a b"], "is no name for a network"),
        (&["create", "none"], "means something else"),
        (&["rm", "missing"], "there is no network \"missing\""),
        (&["inspect", "missing"], "there is no network \"missing\""),
        (&["rm", "default"], "is always there"),
        (&["prune"], "give --force"),
    ] {
        let refusal = refused(host, arguments);
        assert!(refusal.contains(expected), "{refusal}");
    }
    let unknown = host.run(&["--network", "missing"], "busybox", &["true"]).refusal();
    assert!(unknown.contains("`mote network create missing` makes it"), "{unknown}");
    let _ = host.ran(&["network", "rm", "there"]).ended_with(0);
}

/// Two names, of networks that a world's host agent has.
fn listed(host: &Host) -> String {
    host.ran(&["network", "ls", "-q"]).ended_with(0).text()
}

#[test]
fn networks_outlive_their_host_agent_and_go_when_nobody_needs_them() {
    let world = World::make().unwrap();
    let options = ["--pool", "1"];
    let host = world.host(&options).unwrap();
    for name in ["kept", "unused"] {
        create(&host, &[name]);
    }
    let detached = ["run", "-d", "--name", "web", "--network", "kept", "busybox", "sh", "-c"];
    let script = "echo hello > /var/www/index.html; exec httpd -f -p 80 -h /var/www";
    let _ = host.ran(&[&detached[..], &[script]].concat()).ended_with(0);
    let at = until("it has an address", || {
        let address: Ipv4Addr = host.task("web")["network"]["address"].as_str()?.parse().ok()?;
        get(&world.here, address, 80, "/").ok().map(|_| address)
    });
    let host = Host::start_in(host.kill().unwrap(), world.agent(), &options).unwrap();
    assert_eq!(listed(&host), "default\nkept\nunused\n");
    assert_eq!(address(&host, "web"), at);
    // Its bridge, its name and its address are those of before; a new one is beside it.
    let script = format!("wget -q -O - http://web/; wget -q -O - http://{at}/");
    assert_eq!(sh(&host, "kept", &script), "hello\nhello\n");
    assert_eq!(host.ran(&["network", "prune", "-f"]).ended_with(0).text(), "unused\n");
    assert_eq!(listed(&host), "default\nkept\n");
    let _ = host.ran(&["rm", "-f", "web"]).ended_with(0);
    let directory = host.leave().unwrap();
    let after = Wires::now(&world).unwrap();
    assert!(after.is_nothing(), "{after:?}");
    let host = Host::start_in(directory, world.agent(), &options).unwrap();
    assert_eq!(listed(&host), "default\nkept\n");
    assert_eq!(host.stop().unwrap(), Some(0));
    let after = Wires::now(&world).unwrap();
    assert!(after.is_nothing(), "{after:?}");
}

/// What a second host agent says in the same place.
fn second(world: &World, host: &Host, state: &str) -> Ran {
    let mut command: Command = world.agent();
    let directory = host.runtime();
    let at = |name: &str| directory.parent().unwrap().join(name);
    command.arg("--socket").arg(at(&format!("{state}.sock")));
    command.arg("--state").arg(at(state));
    command.arg("--runtime").arg(at(&format!("{state}-run")));
    command.args(["--pool", "0", "--on-exit", "stop", "--idle-exit", "1"]);
    tests::command::ran(&mut command, b"").unwrap()
}

#[test]
fn a_second_host_agent_has_neither_the_network_nor_the_state_of_the_first() {
    let (world, host) = (&SITE.0, &SITE.1);
    let other = second(world, host, "other").ended_with(0);
    let said = other.to_string();
    assert!(
        said.contains("another host agent on this host has the network behind mote0"),
        "{said}"
    );
    let same = second(world, host, "state");
    let said = same.to_string();
    assert!(said.contains("already uses"), "{said}");
}
