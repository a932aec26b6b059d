//! Networks with IPv6 addresses: among guests, to the outside and from it, and what nobody may do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use network::{Network, PortRequest, SharedNetwork};

use crate::ports::tcp;
use crate::shared::member;
use crate::world::{
    Guest, OUTSIDE_IPV6, UP, UP_IPV6, World, command, exchange, exchange_datagrams, listen, listen_datagrams, said,
};

const EVERYWHERE: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

/// A network with IPv6 that is made now.
async fn added(network: &Network, name: &str, is_internal: bool) -> SharedNetwork {
    let definition = SharedNetwork {
        name: name.to_owned(),
        subnet: network.choose(None).await.unwrap(),
        ipv6: Some(network.choose_ipv6(None, 7).await.unwrap()),
        is_internal,
    };
    network.add(&definition).await.unwrap();
    definition
}

fn ipv6(guest: &Guest) -> Ipv6Addr {
    guest.lease.address_ipv6.unwrap()
}

/// Forgets who is where, so that everybody is asked for again.
fn forget(guest: &Guest) {
    command(&format!("ip -n {} neighbour flush dev eth0", guest.namespace.name));
}

#[test]
fn guests_of_a_network_reach_each_other_and_nobody_else_does() {
    World::run(
        "ipv6::guests_of_a_network_reach_each_other_and_nobody_else_does",
        async |world| {
            world.add_ipv6();
            let network = world.open(&[]).await;
            let front = added(&network, "front", false).await;
            let back = added(&network, "back", false).await;
            assert!(!front.ipv6.unwrap().overlaps(back.ipv6.unwrap()));
            let web = world.guest_in(&network, member("front", "web"), &[]).await;
            let job = world.guest_in(&network, member("front", "job"), &[]).await;
            let other = world.guest_in(&network, member("back", "other"), &[]).await;
            let alone = world.guest(&network, &[]).await;
            assert_eq!(alone.lease.address_ipv6, None);
            let address = ipv6(&web);
            let _tcp = listen(&web.namespace, (EVERYWHERE, 80));
            let _udp = listen_datagrams(&web.namespace, (EVERYWHERE, 53));
            let heard = Ok(format!("you are {}", ipv6(&job)));
            for _ in 0..2 {
                assert_eq!(exchange(&job.namespace, (address, 80)), heard);
                assert_eq!(exchange_datagrams(&job.namespace, (address, 53)), heard);
                forget(&job);
            }
            exchange(&other.namespace, (address, 80)).unwrap_err();
            // Nor by asking its own bridge for it.
            command(&format!(
                "ip -n {} route add {address}/128 dev eth0",
                other.namespace.name
            ));
            exchange(&other.namespace, (address, 80)).unwrap_err();
            // Each reaches the outside, and the host reaches each.
            let _outside = listen(&world.outside, (OUTSIDE_IPV6, 80));
            let seen = Ok(format!("you are {UP_IPV6}"));
            assert_eq!(exchange(&web.namespace, (OUTSIDE_IPV6, 80)), seen);
            assert_eq!(exchange(&other.namespace, (OUTSIDE_IPV6, 80)), seen);
            exchange(&world.host, (address, 80)).unwrap();
            command(&format!(
                "ip -n outside route add {} via {UP_IPV6}",
                front.ipv6.unwrap()
            ));
            exchange(&world.outside, (address, 80)).unwrap_err();
            // Nothing of the host's is reached.
            let _private = listen(&world.host, (EVERYWHERE, 9000));
            exchange(&world.host, (UP_IPV6, 9000)).unwrap();
            for place in [UP_IPV6, front.ipv6.unwrap().gateway()] {
                exchange(&web.namespace, (place, 9000)).unwrap_err();
            }
        },
    );
}

#[test]
fn guests_of_an_internal_network_reach_each_other_alone() {
    World::run(
        "ipv6::guests_of_an_internal_network_reach_each_other_alone",
        async |world| {
            world.add_ipv6();
            let network = world.open(&[]).await;
            added(&network, "inner", true).await;
            let forwarding = "/proc/sys/net/ipv6/conf/all/forwarding";
            assert_eq!(std::fs::read_to_string(forwarding).unwrap(), "0\n");
            added(&network, "front", false).await;
            assert_eq!(std::fs::read_to_string(forwarding).unwrap(), "1\n");
            let web = world.guest_in(&network, member("inner", "web"), &[]).await;
            let job = world.guest_in(&network, member("inner", "job"), &[]).await;
            let _outside = listen(&world.outside, (OUTSIDE_IPV6, 80));
            let _web = listen(&web.namespace, (EVERYWHERE, 80));
            exchange(&job.namespace, (ipv6(&web), 80)).unwrap();
            exchange(&job.namespace, (OUTSIDE_IPV6, 80)).unwrap_err();
        },
    );
}

#[test]
fn a_guest_is_heard_under_its_own_addresses_only() {
    World::run("ipv6::a_guest_is_heard_under_its_own_addresses_only", async |world| {
        let network = world.open(&[]).await;
        let front = added(&network, "front", false).await;
        let web = world.guest_in(&network, member("front", "web"), &[]).await;
        let job = world.guest_in(&network, member("front", "job"), &[]).await;
        let third = world.guest_in(&network, member("front", "third"), &[]).await;
        let _web = listen_datagrams(&web.namespace, (EVERYWHERE, 80));
        let (own, to, stolen) = (ipv6(&job), ipv6(&web), ipv6(&third));
        let name = &job.namespace.name;
        command(&format!("ip -n {name} address add {stolen}/128 dev eth0 nodad"));
        for (source, is_heard) in [(stolen, false), (own, true), (stolen, false)] {
            command(&format!("ip -n {name} route replace {to}/128 dev eth0 src {source}"));
            assert_eq!(
                exchange_datagrams(&job.namespace, (to, 80)).is_ok(),
                is_heard,
                "{source}"
            );
        }
        // Who asks for the stolen address finds its owner, and who already knows that one is not told otherwise.
        let _third = listen_datagrams(&third.namespace, (EVERYWHERE, 80));
        for _ in 0..2 {
            exchange_datagrams(&web.namespace, (stolen, 80)).unwrap();
            let known = command(&format!("ip -n {} neighbour show {stolen}", web.namespace.name));
            let hardware = third.lease.mac.map(|byte| format!("{byte:02x}")).join(":");
            assert!(known.contains(&hardware), "{known}");
            // Announces all its addresses.
            command(&format!(
                "ip netns exec {name} sysctl -qw net.ipv6.conf.all.ndisc_notify=1"
            ));
            command(&format!(
                "ip netns exec {name} sysctl -qw net.ipv6.conf.eth0.ndisc_notify=1"
            ));
            command(&format!("ip -n {name} address del {stolen}/128 dev eth0"));
            command(&format!("ip -n {name} address add {stolen}/128 dev eth0 nodad"));
        }
        // The gateway's neither.
        let gateway = front.ipv6.unwrap().gateway();
        command(&format!("ip -n {name} address add {gateway}/128 dev eth0 nodad"));
        let _gateway = listen_datagrams(&job.namespace, (EVERYWHERE, 80));
        exchange_datagrams(&web.namespace, (gateway, 80)).unwrap_err();
        let others = third.lease.mac.map(|byte| format!("{byte:02x}")).join(":");
        command(&format!("ip -n {name} link set eth0 address {others}"));
        exchange_datagrams(&job.namespace, (to, 80)).unwrap_err();
        exchange_datagrams(&third.namespace, (to, 80)).unwrap();
    });
}

#[test]
fn a_published_port_is_reached_by_addresses_of_both_kinds() {
    World::run(
        "ipv6::a_published_port_is_reached_by_addresses_of_both_kinds",
        async |world| {
            world.add_ipv6();
            let network = world.open(&[]).await;
            let front = added(&network, "front", false).await;
            let at = |address: &str, host_port| PortRequest {
                host_address: Some(address.parse().unwrap()),
                ..tcp(host_port, 80)
            };
            let ports = [
                tcp(8080, 80),
                at("0.0.0.0", 8081),
                at("::", 8082),
                at("2001:db8::1", 8083),
            ];
            let web = world.guest_in(&network, member("front", "web"), &ports).await;
            let job = world.guest_in(&network, member("front", "job"), &[]).await;
            let _web = listen(&web.namespace, (EVERYWHERE, 80));
            let gateway = front.ipv6.unwrap().gateway();
            let check = |port: u16, fourth: bool, sixth: bool| {
                for (address, expected) in [(IpAddr::V4(UP), fourth), (UP_IPV6.into(), sixth)] {
                    for place in [&world.host, &world.outside, &job.namespace] {
                        let heard = exchange(place, (address, port));
                        assert_eq!(heard.is_ok(), expected, "{} {address} {port} {heard:?}", place.name);
                    }
                }
            };
            check(8080, true, true);
            check(8081, true, false);
            check(8082, false, true);
            check(8083, false, true);
            exchange(&world.host, (gateway, 8080)).unwrap();
            exchange(&world.host, (gateway, 8083)).unwrap_err();
            exchange(&world.host, (Ipv4Addr::LOCALHOST, 8080)).unwrap();
            // So that a program goes on to the next address of localhost.
            let refused = exchange(&world.host, (Ipv6Addr::LOCALHOST, 8080)).unwrap_err();
            assert!(refused.contains("refused"), "{refused}");
            // Who asks from outside is seen as who it is.
            let seen = exchange(&world.outside, (UP_IPV6, 8080));
            assert_eq!(seen, Ok(format!("you are {OUTSIDE_IPV6}")));
            network.detach(&web.lease).await.unwrap();
            exchange(&world.outside, (UP_IPV6, 8080)).unwrap_err();
            let again = world.guest_in(&network, member("front", "again"), &ports).await;
            let _again = listen(&again.namespace, (EVERYWHERE, 80));
            check(8080, true, true);
        },
    );
}

#[test]
fn names_have_addresses_of_both_kinds() {
    World::run("ipv6::names_have_addresses_of_both_kinds", async |world| {
        let network = world.open(&[]).await;
        let front = added(&network, "front", false).await;
        let web = world.guest_in(&network, member("front", "web"), &[]).await;
        let job = world.guest_in(&network, member("front", "job"), &[]).await;
        let question = [1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, b'w', b'e', b'b', 0, 0, 28, 0, 1];
        let answer = said(&job.namespace, (front.subnet.gateway(), 53), &question).unwrap();
        assert!(answer.ends_with(&ipv6(&web).octets()), "{answer:?}");
    });
}

#[test]
fn networks_come_and_go_and_nothing_is_left() {
    World::run("ipv6::networks_come_and_go_and_nothing_is_left", async |world| {
        let network = world.open(&[]).await;
        let first = added(&network, "first", false).await;
        // Not the host's own addresses: those of its wires come into use while the test runs.
        let shown = || {
            let lines = [
                "ip neighbour show nud permanent",
                "ip -6 route",
                "ip -6 -oneline address",
            ]
            .map(|line| {
                let said = command(line);
                let ours = said.lines().filter(|line| line.contains("mote"));
                ours.map(str::to_owned).collect::<Vec<_>>()
            });
            (command("nft list ruleset"), lines.concat().join("\n"))
        };
        let before = shown();
        for _ in 0..2 {
            let front = added(&network, "front", false).await;
            let web = world.guest_in(&network, member("front", "web"), &[tcp(8080, 80)]).await;
            assert!(shown().1.contains(&ipv6(&web).to_string()));
            network.detach(&web.lease).await.unwrap();
            command(&format!("ip netns delete {}", web.namespace.name));
            let error = network.choose_ipv6(front.ipv6, 1).await.unwrap_err().to_string();
            assert!(error.ends_with("which is the network \"front\""), "{error}");
            network.remove("front").await.unwrap();
            assert_eq!(shown(), before);
        }
        // The host's own, which one that is chosen avoids.
        let next = network.choose_ipv6(None, 7).await.unwrap();
        command("ip link add away type bridge");
        command("ip link set away up");
        command(&format!("ip -6 route add {next} dev away"));
        assert_ne!(network.choose_ipv6(None, 7).await.unwrap(), next);
        let error = network.choose_ipv6(Some(next), 1).await.unwrap_err().to_string();
        assert!(error.contains("this host has a route into"), "{error}");
        let error = network.choose_ipv6(Some("fe80::/64".parse().unwrap()), 1).await;
        assert!(error.unwrap_err().to_string().contains("none of hosts"));
        // A process that dies in between, and one that takes over.
        let web = world.guest_in(&network, member("first", "web"), &[tcp(8080, 80)]).await;
        while network::taps::list().await.unwrap().len() < 4 {}
        drop(network);
        let network = world
            .open_with(std::slice::from_ref(&first), std::slice::from_ref(&web.lease))
            .await;
        let job = world.guest_in(&network, member("first", "job"), &[]).await;
        let _web = listen(&web.namespace, (EVERYWHERE, 80));
        exchange(&job.namespace, (ipv6(&web), 80)).unwrap();
        exchange(&world.host, (first.ipv6.unwrap().gateway(), 8080)).unwrap();
        for lease in [&web.lease, &job.lease] {
            network.detach(lease).await.unwrap();
        }
        network.close().await.unwrap();
        world.check_nothing_is_left();
        assert_eq!(command("ip neighbour show nud permanent"), "");
    });
}

#[test]
fn a_guest_outlives_the_ipv6_of_its_host() {
    World::run("ipv6::a_guest_outlives_the_ipv6_of_its_host", async |world| {
        let network = world.open(&[]).await;
        let front = added(&network, "front", false).await;
        let web = world.guest_in(&network, member("front", "web"), &[tcp(8080, 80)]).await;
        while network::taps::list().await.unwrap().len() < 4 {}
        drop(network);
        command("sysctl -qw net.ipv6.conf.all.disable_ipv6=1");
        let network = world.open_with(&[front], std::slice::from_ref(&web.lease)).await;
        let problem = network.problem("front").unwrap();
        assert!(
            problem.contains("this host's kernel has IPv6 switched off"),
            "{problem}"
        );
        let _usual = world.guest(&network, &[]).await;
        network.detach(&web.lease).await.unwrap();
        assert!(!command("nft list ruleset").contains(&ipv6(&web).to_string()));
    });
}

#[test]
fn a_host_that_takes_its_addresses_from_announcements_goes_on_to_do_so() {
    World::run(
        "ipv6::a_host_that_takes_its_addresses_from_announcements_goes_on_to_do_so",
        async |world| {
            let setting = |interface: &str| {
                let path = format!("/proc/sys/net/ipv6/conf/{interface}/accept_ra");
                std::fs::read_to_string(path).unwrap().trim().to_owned()
            };
            command("ip link add deaf type bridge");
            command("sysctl -qw net.ipv6.conf.deaf.accept_ra=0");
            let network = world.open(&[]).await;
            assert_eq!([setting("up0"), setting("deaf")], ["1", "0"]);
            let front = added(&network, "front", false).await;
            assert_eq!([setting("up0"), setting("deaf")], ["2", "0"]);
            assert_eq!(setting(&network::bridge::shared_name(front.subnet)), "0");
        },
    );
}

#[test]
fn without_ipv6_there_is_one_sentence() {
    World::run("ipv6::without_ipv6_there_is_one_sentence", async |world| {
        command("sysctl -qw net.ipv6.conf.all.disable_ipv6=1");
        let network = world.open(&[]).await;
        let definition = SharedNetwork {
            name: "front".to_owned(),
            subnet: network.choose(None).await.unwrap(),
            ipv6: Some("fd00::/64".parse().unwrap()),
            is_internal: false,
        };
        for error in [
            network.choose_ipv6(None, 1).await.unwrap_err(),
            network.add(&definition).await.unwrap_err(),
        ] {
            assert!(
                error
                    .to_string()
                    .starts_with("this host's kernel has IPv6 switched off; "),
                "{error}"
            );
        }
    });
}
