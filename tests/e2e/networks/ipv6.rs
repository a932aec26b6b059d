//! Networks with IPv6: among tasks, to the outside and from it; and nothing of them is left.

use std::io::ErrorKind;
use std::net::Ipv6Addr;

use tests::host::Host;
use tests::patience::until;
use tests::wires::Wires;
use tests::world::{AWAY_IPV6, UP, UP_IPV6, World, get};

use super::{SITE, create, inspected, refused, sh, start_web};

fn address(host: &Host, task: &str) -> Ipv6Addr {
    host.task(task)["network"]["address_ipv6"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn tasks_reach_each_other_and_the_outside_by_ipv6_and_nobody_else_does() {
    let host = &SITE.1;
    create(host, &["--ipv6", "six-front"]);
    create(host, &["--ipv6", "--subnet", "fd00:6:7::/64", "six-back"]);
    let web = start_web(host, "six-web", "six-front", &[]);
    let address = address(host, "six-web");
    let script = format!(
        "wget -q -O - http://[{address}]/; ping -6 -c 1 six-web > /dev/null && echo pinged; \
         nslookup -type=aaaa six-web.six-front | grep -o '{address}'; nslookup {address} | grep -o six-web.six-front; \
         wget -q -O - http://[{AWAY_IPV6}]/; cat /proc/sys/net/ipv6/conf/eth0/accept_ra"
    );
    let expected = format!("hello\npinged\n{address}\nsix-web.six-front\nyou are {UP_IPV6}\n0\n");
    assert_eq!(sh(host, "six-front", &script), expected);
    let script =
        format!("timeout 5 wget -q -O - http://[{address}]/ || echo unreached; ip -6 -o address show scope global");
    let said = sh(host, "six-back", &script);
    assert!(said.starts_with("unreached\n") && said.contains("fd00:6:7::"), "{said}");
    assert!(!sh(host, "default", &script).contains("inet6"));
    let inside = inspected(host, "six-front");
    assert_eq!(inside["tasks"][0]["address_ipv6"], address.to_string());
    assert!(inside["subnet_ipv6"].as_str().unwrap().starts_with("fd"), "{inside}");
    assert_eq!(inspected(host, "six-back")["gateway_ipv6"], "fd00:6:7::1");
    let listed = host.ran(&["network", "ls"]).ended_with(0).text();
    assert!(listed.contains(", fd00:6:7::/64"), "{listed}");
    let refusal = refused(host, &["create", "--ipv6", "--subnet", "fd00:6:7::/56", "other"]);
    assert!(refusal.contains("which is the network \"six-back\""), "{refusal}");
    let _ = web.end().ended_with(0);
    let _ = host.ran(&["network", "rm", "six-front", "six-back"]).ended_with(0);
}

#[test]
fn a_task_is_not_heard_under_an_ipv6_address_of_another() {
    let host = &SITE.1;
    create(host, &["--ipv6", "--subnet", "fd00:6:8::/64", "six-spoof"]);
    let web = start_web(host, "six-spoofed", "six-spoof", &[]);
    let address = address(host, "six-spoofed");
    let script = format!(
        "wget -q -O - http://[{address}]/; ip -6 address add fd00:6:8::99/128 dev eth0 && \
         ip -6 route add {address}/128 dev eth0 src fd00:6:8::99; \
         timeout 5 wget -q -O - http://[{address}]/ || echo unheard; \
         ip -6 route del {address}/128 dev eth0; ip -6 address del fd00:6:8::99/128 dev eth0; wget -q -O - http://[{address}]/"
    );
    let options = ["--network", "six-spoof", "--cap-add", "NET_ADMIN"];
    assert_eq!(crate::network::sh(host, &options, &script), "hello\nunheard\nhello\n");
    let _ = web.end().ended_with(0);
    let _ = host.ran(&["network", "rm", "six-spoof"]).ended_with(0);
}

#[test]
fn a_published_port_is_reached_by_ipv6() {
    let (world, host) = (&SITE.0, &SITE.1);
    create(host, &["--ipv6", "six-ports"]);
    let at = format!("[{UP_IPV6}]:8092:80");
    let options = ["-p", "8090:80", "-p", "[::]:8091:80", "-p", &at];
    let web = start_web(host, "six-port", "six-ports", &options);
    for port in [8090, 8091, 8092] {
        for place in [&world.here, &world.outside] {
            assert_eq!(get(place, UP_IPV6, port, "/").unwrap(), b"hello\n", "{port}");
        }
    }
    assert_eq!(get(&world.outside, UP, 8090, "/").unwrap(), b"hello\n");
    get(&world.outside, UP, 8091, "/").unwrap_err();
    // So that a program goes on to 127.0.0.1.
    let refused = get(&world.here, Ipv6Addr::LOCALHOST, 8090, "/").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let ports = host.ran(&["port", "six-port", "80"]).ended_with(0).text();
    assert_eq!(ports, format!("0.0.0.0:8090\n[::]:8090\n[::]:8091\n[{UP_IPV6}]:8092\n"));
    let listed = host.ran(&["ps"]).ended_with(0).text();
    assert!(listed.contains("0.0.0.0:8090->80/tcp, [::]:8090->80/tcp"), "{listed}");
    for (network, place, expected) in [
        ("six-ports", "[::1]:8093:80", "cannot publish a port at ::1"),
        ("default", "[::]:8093:80", "the task has no IPv6 address"),
    ] {
        let refusal = host
            .run(&["--network", network, "-p", place], "busybox", &["true"])
            .refusal();
        assert!(refusal.contains(expected), "{refusal}");
    }
    let _ = web.end().ended_with(0);
    get(&world.outside, UP_IPV6, 8090, "/").unwrap_err();
    let _ = host.ran(&["network", "rm", "six-ports"]).ended_with(0);
}

#[test]
fn a_network_with_ipv6_outlives_its_host_agent_and_leaves_nothing() {
    let world = World::make().unwrap();
    let options = ["--pool", "0"];
    let host = world.host(&options).unwrap();
    create(&host, &["--ipv6", "kept"]);
    let before = Wires::now(&world).unwrap();
    let detached = [
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "kept",
        "-p",
        "8080:80",
        "busybox",
        "sh",
        "-c",
    ];
    let script = "echo hello > /var/www/index.html; exec httpd -f -p 80 -h /var/www";
    let _ = host.ran(&[&detached[..], &[script]].concat()).ended_with(0);
    let _ = until("the page is served", || get(&world.outside, UP_IPV6, 8080, "/").ok());
    let at = address(&host, "web");
    let directory = host.kill().unwrap();
    // While there is none, too.
    assert_eq!(get(&world.outside, UP_IPV6, 8080, "/").unwrap(), b"hello\n");
    let host = Host::start_in(directory, world.agent(), &options).unwrap();
    assert_eq!(address(&host, "web"), at);
    assert_eq!(get(&world.outside, UP_IPV6, 8080, "/").unwrap(), b"hello\n");
    assert_eq!(sh(&host, "kept", &format!("wget -q -O - http://[{at}]/")), "hello\n");
    let _ = host.ran(&["rm", "-f", "web"]).ended_with(0);
    get(&world.outside, UP_IPV6, 8080, "/").unwrap_err();
    let after = Wires::now(&world).unwrap();
    assert_eq!(after.published(), [""; 0]);
    assert_eq!(after.addresses, before.addresses);
    let _ = host.ran(&["network", "rm", "kept"]).ended_with(0);
    let after = Wires::now(&world).unwrap();
    assert!(
        after.addresses.iter().all(|address| !address.contains("::")),
        "{after:?}"
    );
    assert!(
        after.neighbours.iter().all(|neighbour| !neighbour.contains("::")),
        "{after:?}"
    );
    assert_eq!(host.stop().unwrap(), Some(0));
    let after = Wires::now(&world).unwrap();
    assert!(after.is_nothing(), "{after:?}");
}
