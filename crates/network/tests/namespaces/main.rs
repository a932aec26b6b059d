//! The network for real: bridge, rules, ports and names, in network namespaces of the tests' own.
//!
//! Each test runs in a process of its own with a fresh network: a host, an outside world behind its `up0`, and guests. A guest is a namespace
//! behind a pair of virtual Ethernet interfaces that takes the place of its TAP interface, which needs a VMM.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod ipv6;
mod ports;
mod shared;
mod world;

use std::net::Ipv4Addr;

use network::{Lease, NetworkError};
use world::{OUTSIDE, UP, World, command, exchange, exchange_datagrams, listen, listen_datagrams, said};

/// A service of the host's own that nobody has published.
const PRIVATE: u16 = 9000;

#[test]
fn a_guest_reaches_the_outside_under_the_hosts_address() {
    World::run("a_guest_reaches_the_outside_under_the_hosts_address", async |world| {
        let network = world.open(&[]).await;
        let guest = world.guest(&network, &[]).await;
        let service = listen(&world.outside, (OUTSIDE, 80));
        let heard = exchange(&guest.namespace, (OUTSIDE, 80));
        assert_eq!(heard, Ok(format!("you are {UP}")));
        drop(service);
        let _service = listen_datagrams(&world.outside, (OUTSIDE, 53));
        let heard = exchange_datagrams(&guest.namespace, (OUTSIDE, 53));
        assert_eq!(heard, Ok(format!("you are {UP}")));
    });
}

#[test]
fn nobody_reaches_a_guest_unasked_but_the_host() {
    World::run("nobody_reaches_a_guest_unasked_but_the_host", async |world| {
        let network = world.open(&[]).await;
        let guest = world.guest(&network, &[]).await;
        let other = world.guest(&network, &[]).await;
        let address = guest.lease.address;
        let _service = listen(&guest.namespace, (address, 80));
        command(&format!("ip -n outside route add {} via {UP}", network.subnet()));
        exchange(&world.outside, (address, 80)).unwrap_err();
        exchange(&other.namespace, (address, 80)).unwrap_err();
        // Not by way of the bridge either.
        let gateway = network.subnet().gateway();
        command(&format!(
            "ip -n {} route add {address}/32 via {gateway}",
            other.namespace.name
        ));
        exchange(&other.namespace, (address, 80)).unwrap_err();
        exchange(&world.host, (address, 80)).unwrap();
    });
}

#[test]
fn a_guest_reaches_nothing_of_the_hosts_but_names_and_itself() {
    World::run(
        "a_guest_reaches_nothing_of_the_hosts_but_names_and_itself",
        async |world| {
            let network = world.open(&[]).await;
            let guest = world.guest(&network, &[]).await;
            let gateway = network.subnet().gateway();
            let _private = listen(&world.host, (Ipv4Addr::UNSPECIFIED, PRIVATE));
            exchange(&world.host, (gateway, PRIVATE)).unwrap();
            let _metadata = listen(&world.host, (network.metadata(), 80));
            for address in [gateway, UP, network.metadata(), Ipv4Addr::LOCALHOST] {
                exchange(&guest.namespace, (address, PRIVATE)).unwrap_err();
            }
            // Even where it sends what is for the host's loopback interface to the bridge.
            let name = &guest.namespace.name;
            command(&format!(
                "ip netns exec {name} sysctl -qw net.ipv4.conf.all.route_localnet=1"
            ));
            command(&format!("ip -n {name} link set lo down"));
            command(&format!("ip -n {name} route add 127.0.0.0/8 via {gateway}"));
            exchange(&guest.namespace, (Ipv4Addr::LOCALHOST, PRIVATE)).unwrap_err();
            let heard = exchange(&guest.namespace, (network.metadata(), 80));
            assert_eq!(heard, Ok(format!("you are {}", guest.lease.address)));
            // The forwarder has no name servers, and says so.
            let answer = said(&guest.namespace, (gateway, 53), &[1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            assert_eq!(answer.unwrap()[..4], [1, 2, 0x81, 2]);
            // What clouds have at this address is for the host.
            command("ip address add 169.254.169.254/32 dev lo");
            let _cloud = listen(&world.host, (Ipv4Addr::new(169, 254, 169, 254), 80));
            exchange(&guest.namespace, (Ipv4Addr::new(169, 254, 169, 254), 80)).unwrap_err();
        },
    );
}

#[test]
fn a_guest_is_heard_under_its_own_addresses_only() {
    World::run("a_guest_is_heard_under_its_own_addresses_only", async |world| {
        let network = world.open(&[]).await;
        let guest = world.guest(&network, &[]).await;
        let other = world.guest(&network, &[]).await;
        let _service = listen(&world.outside, (OUTSIDE, 80));
        exchange(&guest.namespace, (OUTSIDE, 80)).unwrap();
        let name = &guest.namespace.name;
        let stolen = other.lease.address;
        command(&format!("ip -n {name} address add {stolen}/32 dev eth0"));
        command(&format!(
            "ip -n {name} route replace default via {} src {stolen}",
            network.subnet().gateway()
        ));
        exchange(&guest.namespace, (OUTSIDE, 80)).unwrap_err();
        command(&format!("ip -n {name} address del {stolen}/32 dev eth0"));
        command(&format!(
            "ip -n {name} route replace default via {}",
            network.subnet().gateway()
        ));
        exchange(&guest.namespace, (OUTSIDE, 80)).unwrap();
        command(&format!("ip -n {name} link set eth0 address 02:00:00:00:00:99"));
        exchange(&guest.namespace, (OUTSIDE, 80)).unwrap_err();
        exchange(&other.namespace, (OUTSIDE, 80)).unwrap();
    });
}

#[test]
fn the_host_says_nothing_to_a_guest_unasked() {
    World::run("the_host_says_nothing_to_a_guest_unasked", async |world| {
        let network = world.open(&[]).await;
        let lease = network.attach(None, &[]).await.unwrap();
        let shown = command(&format!("ip -details link show dev {}", lease.tap));
        assert!(shown.contains("addrgenmode none"), "{shown}");
        let bridge = command("ip -6 address show dev mote0");
        assert_eq!(bridge, "");
    });
}

#[test]
fn what_a_dead_process_left_is_taken_over_or_removed() {
    World::run("what_a_dead_process_left_is_taken_over_or_removed", async |world| {
        command("nft add table inet others");
        let network = world.open(&[]).await;
        let kept = world.guest(&network, &[ports::tcp(8080, 80)]).await;
        let _lost = world.guest(&network, &[ports::tcp(8081, 80)]).await;
        let leases = [kept.lease.clone()];
        // A process that is killed removes nothing.
        drop(network);
        let network = world.open(&leases).await;
        let _service = listen(&kept.namespace, (Ipv4Addr::UNSPECIFIED, 80));
        exchange(&world.outside, (UP, 8080)).unwrap();
        exchange(&world.outside, (UP, 8081)).unwrap_err();
        let again = network
            .attach(None, &[ports::tcp(8080, 80)])
            .await
            .unwrap_err()
            .to_string();
        assert!(again.starts_with("port 8080/tcp of the host is in use"), "{again}");
        network.attach(None, &[ports::tcp(8081, 80)]).await.unwrap();
        // Whoever ends in good order leaves what guests have, and nothing else.
        network.close().await.unwrap();
        exchange(&world.outside, (UP, 8080)).unwrap();
        let network = world.open(&leases).await;
        network.detach(&leases[0]).await.unwrap();
        network.detach(&leases[0]).await.unwrap();
        network.close().await.unwrap();
        world.check_nothing_is_left();
        assert_eq!(world::tables(), ["table inet others"]);
    });
}

#[test]
fn guests_come_and_go_until_the_network_is_full() {
    World::run("guests_come_and_go_until_the_network_is_full", async |world| {
        world.settings.subnet = Some("10.9.8.0/28".parse().unwrap());
        let network = world.open(&[]).await;
        let mut leases: Vec<Lease> = Vec::new();
        for _ in 0..13 {
            leases.push(network.attach(None, &[]).await.unwrap());
        }
        let error = network.attach(None, &[]).await.unwrap_err();
        assert!(matches!(error, NetworkError::Full { count: 13, .. }), "{error}");
        for round in 0..3 {
            for lease in leases.drain(..) {
                network.detach(&lease).await.unwrap();
            }
            for _ in 0..13 {
                leases.push(network.attach(None, &[]).await.unwrap());
            }
            let mut addresses: Vec<_> = leases.iter().map(|lease| lease.address).collect();
            addresses.sort_unstable();
            addresses.dedup();
            assert_eq!(addresses.len(), 13, "round {round}");
        }
        for lease in leases {
            network.detach(&lease).await.unwrap();
        }
        network.close().await.unwrap();
        world.check_nothing_is_left();
    });
}

#[test]
fn a_network_that_the_host_has_is_not_taken() {
    World::run("a_network_that_the_host_has_is_not_taken", async |world| {
        command("ip route add 172.30.0.0/16 via 192.0.2.2");
        command("ip link set up0 mtu 1400");
        let network = world.open(&[]).await;
        assert_eq!(network.subnet().to_string(), "10.213.224.0/20");
        assert_eq!(network.mtu(), 1400);
        network.close().await.unwrap();
        world.settings.subnet = Some("172.30.1.0/24".parse().unwrap());
        let error = network::Network::open(&world.settings, &world.claim, &[], &[])
            .await
            .unwrap_err();
        assert!(error.to_string().contains("overlaps"), "{error}");
        world.check_nothing_is_left();
    });
}
