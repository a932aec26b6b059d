//! Networks that guests share: who reaches whom, by address and by name, and what becomes of them.

use std::net::Ipv4Addr;

use network::{Lease, Member, Network, SharedNetwork};

use crate::ports::tcp;
use crate::world::{Guest, OUTSIDE, UP, World, command, exchange, exchange_datagrams, listen, listen_datagrams, said};

const EVERYWHERE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

/// Names with the lengths of their labels, as messages have them.
const WEB: &[u8] = b"\x03web\0";
const WEB_FRONT: &[u8] = b"\x03WEB\x05front\0";

fn network(name: &str, subnet: &str) -> SharedNetwork {
    SharedNetwork {
        name: name.to_owned(),
        subnet: subnet.parse().unwrap(),
        ipv6: None,
        is_internal: false,
    }
}

pub fn member(network: &str, name: &str) -> Option<Member> {
    Some(Member {
        network: network.to_owned(),
        name: name.to_owned(),
    })
}

/// A network that is made now, with the addresses that it gets.
async fn added(network: &Network, name: &str, is_internal: bool) -> SharedNetwork {
    let subnet = network.choose(None).await.unwrap();
    let name = name.to_owned();
    let definition = SharedNetwork {
        name,
        subnet,
        ipv6: None,
        is_internal,
    };
    network.add(&definition).await.unwrap();
    definition
}

/// The address that a guest is told for a name; `None` where it is told of none, the number where that is a failure.
#[track_caller]
fn looked_up(guest: &Guest, server: Ipv4Addr, name: &[u8]) -> Result<Ipv4Addr, u8> {
    let question = [&[1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], name, &[0, 1, 0, 1]].concat();
    let answer = said(&guest.namespace, (server, 53), &question).unwrap();
    match answer[3] & 15 {
        0 => Ok(Ipv4Addr::from_octets(*answer.last_chunk().unwrap())),
        code => Err(code),
    }
}

#[test]
fn guests_of_a_network_reach_each_other_and_nobody_else_does() {
    World::run(
        "shared::guests_of_a_network_reach_each_other_and_nobody_else_does",
        async |world| {
            let network = world.open(&[]).await;
            let front = added(&network, "front", false).await;
            let back = added(&network, "back", false).await;
            let web = world.guest_in(&network, member("front", "web"), &[]).await;
            let job = world.guest_in(&network, member("front", "job"), &[]).await;
            let other = world.guest_in(&network, member("back", "other"), &[]).await;
            let alone = world.guest(&network, &[]).await;
            let address = web.lease.address;
            let _tcp = listen(&web.namespace, (EVERYWHERE, 80));
            let _udp = listen_datagrams(&web.namespace, (EVERYWHERE, 53));
            let heard = Ok(format!("you are {}", job.lease.address));
            assert_eq!(exchange(&job.namespace, (address, 80)), heard);
            assert_eq!(exchange_datagrams(&job.namespace, (address, 53)), heard);
            for (stranger, subnet) in [(&other, back.subnet), (&alone, network.subnet())] {
                exchange(&stranger.namespace, (address, 80)).unwrap_err();
                // Not by the bridge either.
                let (name, gateway) = (&stranger.namespace.name, subnet.gateway());
                command(&format!("ip -n {name} route add {address}/32 via {gateway}"));
                exchange(&stranger.namespace, (address, 80)).unwrap_err();
            }
            let _back = listen(&other.namespace, (EVERYWHERE, 80));
            exchange(&web.namespace, (other.lease.address, 80)).unwrap_err();
            // Each reaches the outside, and the host reaches each.
            let _outside = listen(&world.outside, (OUTSIDE, 80));
            let seen = Ok(format!("you are {UP}"));
            assert_eq!(exchange(&web.namespace, (OUTSIDE, 80)), seen);
            assert_eq!(exchange(&other.namespace, (OUTSIDE, 80)), seen);
            exchange(&world.host, (address, 80)).unwrap();
            command(&format!("ip -n outside route add {} via {UP}", front.subnet));
            exchange(&world.outside, (address, 80)).unwrap_err();
        },
    );
}

#[test]
fn names_are_those_of_the_askers_network() {
    World::run("shared::names_are_those_of_the_askers_network", async |world| {
        let network = world.open(&[]).await;
        let front = added(&network, "front", false).await;
        let back = added(&network, "back", false).await;
        let web = world.guest_in(&network, member("front", "web"), &[]).await;
        let job = world.guest_in(&network, member("front", "job"), &[]).await;
        let other = world.guest_in(&network, member("back", "other"), &[]).await;
        let (asked, elsewhere) = (front.subnet.gateway(), back.subnet.gateway());
        for name in [WEB, WEB_FRONT] {
            assert_eq!(looked_up(&job, asked, name), Ok(web.lease.address));
            // There is no name server that could be asked further.
            assert_eq!(looked_up(&other, elsewhere, name), Err(2));
        }
        // Those of another network cannot be asked for there.
        let question = [&[1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], WEB, &[0, 1, 0, 1]].concat();
        said(&other.namespace, (asked, 53), &question).unwrap_err();
        network.detach(&web.lease).await.unwrap();
        assert_eq!(looked_up(&job, asked, WEB), Err(2));
        let around = network.surroundings(&job.lease).await.unwrap();
        assert_eq!(around.resolvers.servers, [asked]);
        assert_eq!(around.resolvers.options, ["ndots:0"]);
    });
}

#[test]
fn guests_of_an_internal_network_reach_each_other_alone() {
    World::run(
        "shared::guests_of_an_internal_network_reach_each_other_alone",
        async |world| {
            std::fs::write("/run/resolv.conf", format!("nameserver {OUTSIDE}\n")).unwrap();
            let network = world.open(&[]).await;
            let inner = added(&network, "front", true).await;
            let web = world.guest_in(&network, member("front", "web"), &[]).await;
            let job = world.guest_in(&network, member("front", "job"), &[]).await;
            let published = world.guest(&network, &[tcp(8080, 80)]).await;
            let _page = listen(&published.namespace, (EVERYWHERE, 80));
            let _outside = listen(&world.outside, (OUTSIDE, 80));
            let _names = listen_datagrams(&world.outside, (OUTSIDE, 53));
            let _web = listen(&web.namespace, (EVERYWHERE, 80));
            exchange(&job.namespace, (web.lease.address, 80)).unwrap();
            exchange(&world.host, (web.lease.address, 80)).unwrap();
            exchange(&job.namespace, (OUTSIDE, 80)).unwrap_err();
            exchange_datagrams(&job.namespace, (OUTSIDE, 53)).unwrap_err();
            exchange(&job.namespace, (UP, 8080)).unwrap_err();
            exchange(&world.outside, (UP, 8080)).unwrap();
            let server = inner.subnet.gateway();
            assert_eq!(looked_up(&job, server, WEB), Ok(web.lease.address));
            assert_eq!(looked_up(&job, server, b"\x04away\0"), Err(2));
        },
    );
}

#[test]
fn a_guest_of_a_network_is_heard_under_its_own_addresses_only() {
    World::run(
        "shared::a_guest_of_a_network_is_heard_under_its_own_addresses_only",
        async |world| {
            let network = world.open(&[]).await;
            added(&network, "front", false).await;
            let web = world.guest_in(&network, member("front", "web"), &[]).await;
            let job = world.guest_in(&network, member("front", "job"), &[]).await;
            let third = world.guest_in(&network, member("front", "third"), &[]).await;
            let _web = listen_datagrams(&web.namespace, (EVERYWHERE, 80));
            exchange_datagrams(&job.namespace, (web.lease.address, 80)).unwrap();
            let name = &job.namespace.name;
            let stolen = third.lease.address;
            command(&format!("ip -n {name} address add {stolen}/32 dev eth0"));
            let (own, to) = (job.lease.address, web.lease.address);
            command(&format!("ip -n {name} route add {to}/32 dev eth0 src {stolen}"));
            exchange_datagrams(&job.namespace, (to, 80)).unwrap_err();
            command(&format!("ip -n {name} route replace {to}/32 dev eth0 src {own}"));
            exchange_datagrams(&job.namespace, (to, 80)).unwrap();
            let others = third.lease.mac.map(|byte| format!("{byte:02x}")).join(":");
            command(&format!("ip -n {name} link set eth0 address {others}"));
            exchange_datagrams(&job.namespace, (to, 80)).unwrap_err();
            exchange_datagrams(&third.namespace, (to, 80)).unwrap();
        },
    );
}

#[test]
fn networks_come_and_go_and_nothing_is_left() {
    World::run("shared::networks_come_and_go_and_nothing_is_left", async |world| {
        let network = world.open(&[]).await;
        let before = command("nft list ruleset");
        for _ in 0..3 {
            let front = added(&network, "front", true).await;
            assert_eq!(front.subnet.to_string(), "172.30.0.0/24");
            let overlapping = Some("172.30.0.128/25".parse().unwrap());
            let error = network.choose(overlapping).await.unwrap_err().to_string();
            assert_eq!(
                error,
                "172.30.0.128/25 overlaps with 172.30.0.0/24, which is the network \"front\""
            );
            let web = world.guest_in(&network, member("front", "web"), &[]).await;
            // Its name server answers, each time.
            let job = world.guest_in(&network, member("front", "job"), &[]).await;
            assert_eq!(looked_up(&job, front.subnet.gateway(), WEB), Ok(web.lease.address));
            for guest in [web, job] {
                network.detach(&guest.lease).await.unwrap();
                command(&format!("ip netns delete {}", guest.namespace.name));
            }
            network.remove("front").await.unwrap();
            network.remove("front").await.unwrap();
            assert_eq!(command("nft list ruleset"), before);
            let unknown = network.attach(member("front", "web"), &[]).await.unwrap_err();
            assert!(
                unknown.to_string().contains("there is no network \"front\""),
                "{unknown}"
            );
        }
        for (wanted, expected) in [
            ("192.0.2.0/24", "a route into 192.0.2.0/24"),
            ("172.30.224.0/24", "the network \"default\""),
            ("224.0.0.0/24", "none of hosts"),
        ] {
            let error = network.choose(Some(wanted.parse().unwrap())).await.unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        added(&network, "front", false).await;
        network.close().await.unwrap();
        world.check_nothing_is_left();
    });
}

#[test]
fn networks_of_a_dead_process_are_taken_over_or_removed() {
    World::run(
        "shared::networks_of_a_dead_process_are_taken_over_or_removed",
        async |world| {
            let network = world.open(&[]).await;
            let front = added(&network, "front", false).await;
            added(&network, "forgotten", false).await;
            let web = world.guest_in(&network, member("front", "web"), &[tcp(8080, 80)]).await;
            let _lost = world.guest_in(&network, member("front", "lost"), &[]).await;
            let kept: [Lease; 1] = [web.lease.clone()];
            // A process that is dead makes no more interfaces: four that wait and two that guests have.
            while network::taps::list().await.unwrap().len() < 6 {}
            drop(network);
            let definitions = [front.clone(), network_in_the_way()];
            command("ip route add 10.20.0.0/16 via 192.0.2.2");
            let network = world.open_with(&definitions, &kept).await;
            let _web = listen(&web.namespace, (EVERYWHERE, 80));
            let job = world.guest_in(&network, member("front", "job"), &[]).await;
            exchange(&job.namespace, (web.lease.address, 80)).unwrap();
            exchange(&world.outside, (UP, 8080)).unwrap();
            assert_eq!(looked_up(&job, front.subnet.gateway(), WEB), Ok(web.lease.address));
            assert_eq!(looked_up(&job, front.subnet.gateway(), b"\x04lost\0"), Err(2));
            let bridges = network::bridge::list_shared();
            assert_eq!(bridges, [network::bridge::shared_name(front.subnet)]);
            let broken = network
                .attach(member("broken", "x"), &[])
                .await
                .unwrap_err()
                .to_string();
            assert!(
                broken.starts_with("the network \"broken\" is not there: this host has a route into 10.20.0.0/16"),
                "{broken}"
            );
            for lease in [&web.lease, &job.lease] {
                network.detach(lease).await.unwrap();
            }
            network.close().await.unwrap();
            world.check_nothing_is_left();
        },
    );
}

fn network_in_the_way() -> SharedNetwork {
    network("broken", "10.20.30.0/24")
}
