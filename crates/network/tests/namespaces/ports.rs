//! Published ports: from outside, from the host, by every address; TCP and UDP.

use std::net::{IpAddr, Ipv4Addr};

use network::PortRequest;

use crate::world::{OUTSIDE, UP, World, exchange, exchange_datagrams, listen, listen_datagrams};

/// Publishes a TCP port of the guest at every address of the host.
pub fn tcp(host_port: u16, port: u16) -> PortRequest {
    PortRequest {
        host_address: None,
        host_port: Some(host_port),
        port,
        is_udp: false,
    }
}

#[test]
fn a_published_port_is_reached_by_every_address_of_the_host() {
    World::run(
        "ports::a_published_port_is_reached_by_every_address_of_the_host",
        async |world| {
            let network = world.open(&[]).await;
            let udp = PortRequest {
                is_udp: true,
                ..tcp(8080, 53)
            };
            let guest = world.guest(&network, &[tcp(8080, 80), udp]).await;
            let other = world.guest(&network, &[]).await;
            let _tcp = listen(&guest.namespace, (Ipv4Addr::UNSPECIFIED, 80));
            let _udp = listen_datagrams(&guest.namespace, (guest.lease.address, 53));
            // From outside the guest sees who it is.
            let heard = Ok(format!("you are {OUTSIDE}"));
            assert_eq!(exchange(&world.outside, (UP, 8080)), heard);
            assert_eq!(exchange_datagrams(&world.outside, (UP, 8080)), heard);
            for address in [
                Ipv4Addr::LOCALHOST,
                Ipv4Addr::new(127, 8, 9, 1),
                UP,
                network.subnet().gateway(),
            ] {
                exchange(&world.host, (address, 8080)).unwrap();
                exchange_datagrams(&world.host, (address, 8080)).unwrap();
            }
            // A guest reaches another's published port as anybody does, and its own.
            exchange(&other.namespace, (UP, 8080)).unwrap();
            exchange(&guest.namespace, (UP, 8080)).unwrap();
            network.detach(&guest.lease).await.unwrap();
            exchange(&world.outside, (UP, 8080)).unwrap_err();
            exchange(&world.host, (Ipv4Addr::LOCALHOST, 8080)).unwrap_err();
        },
    );
}

#[test]
fn a_port_at_one_address_is_not_reached_by_others() {
    World::run("ports::a_port_at_one_address_is_not_reached_by_others", async |world| {
        let network = world.open(&[]).await;
        let local = PortRequest {
            host_address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            host_port: None,
            ..tcp(0, 80)
        };
        let guest = world.guest(&network, &[local]).await;
        let _service = listen(&guest.namespace, (Ipv4Addr::UNSPECIFIED, 80));
        let port = guest.lease.ports[0].host_port;
        exchange(&world.host, (Ipv4Addr::LOCALHOST, port)).unwrap();
        exchange(&world.host, (UP, port)).unwrap_err();
        exchange(&world.outside, (UP, port)).unwrap_err();
    });
}

#[test]
fn a_port_in_use_is_refused_and_nothing_is_taken() {
    World::run("ports::a_port_in_use_is_refused_and_nothing_is_taken", async |world| {
        let network = world.open(&[]).await;
        let service = listen(&world.host, (Ipv4Addr::LOCALHOST, 8080));
        let refused = network.attach(None, &[tcp(8081, 80), tcp(8080, 80)]).await.unwrap_err();
        assert!(refused.to_string().contains("port 8080/tcp"), "{refused}");
        exchange(&world.host, (Ipv4Addr::LOCALHOST, 8080)).unwrap();
        drop(service);
        network.attach(None, &[tcp(8081, 80)]).await.unwrap();
    });
}

#[test]
fn a_guest_that_talks_to_the_bridge_means_the_bridge() {
    World::run(
        "ports::a_guest_that_talks_to_the_bridge_means_the_bridge",
        async |world| {
            let network = world.open(&[]).await;
            let guest = world.guest(&network, &[tcp(80, 80)]).await;
            let _service = listen(&guest.namespace, (Ipv4Addr::UNSPECIFIED, 80));
            let other = world.guest(&network, &[]).await;
            exchange(&other.namespace, (UP, 80)).unwrap();
            exchange(&other.namespace, (network.subnet().gateway(), 80)).unwrap_err();
        },
    );
}
